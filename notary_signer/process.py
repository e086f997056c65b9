"""What protects the process that can use the keys: no core dumps, no peeking by other processes of its user, no way
to more rights than it was started with."""

from __future__ import annotations

import ctypes
import os
import resource
import sys
from typing import Final

_PR_SET_DUMPABLE: Final = 4
"""prctl(2): 0 also keeps ptrace and /proc/PID/mem from processes without CAP_SYS_PTRACE."""
_PR_SET_NO_NEW_PRIVS: Final = 38
"""prctl(2): 1 makes setuid programs and file capabilities count for nothing, here and in every child."""
_UMASK: Final = 0o077
"""What the signer writes is its user's alone, unless it says otherwise."""


def harden() -> list[str]:
    """Forbid core dumps, tracing and new rights as far as the system can; what it could not do, for the log."""
    problems: list[str] = []
    os.umask(_UMASK)
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (OSError, ValueError):
        problems.append("core dumps could not be forbidden")
    if sys.platform != "linux":
        return [*problems, "tracing of the process can be forbidden on Linux only"]
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    if prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        problems.append("tracing of the process could not be forbidden")
    if prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        problems.append("new privileges could not be forbidden")
    return problems


def rights_problem() -> str | None:
    """Why this process has more rights than the signer needs, or None."""
    if os.geteuid() != 0:
        return None
    return "the signer runs as root and needs no rights at all; run it as a user of its own that may use the token"
