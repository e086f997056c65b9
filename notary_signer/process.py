"""What protects the process that can use the keys: no core dumps, no peeking by other processes of its user."""

from __future__ import annotations

import ctypes
import resource
import sys
from typing import Final

_PR_SET_DUMPABLE: Final = 4
"""prctl(2): 0 also keeps ptrace and /proc/PID/mem from processes without CAP_SYS_PTRACE."""


def harden() -> list[str]:
    """Forbid core dumps and tracing as far as the system can; what it could not do, for the log."""
    problems: list[str] = []
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (OSError, ValueError):
        problems.append("core dumps could not be forbidden")
    if sys.platform != "linux":
        return [*problems, "tracing of the process can be forbidden on Linux only"]
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        problems.append("tracing of the process could not be forbidden")
    return problems
