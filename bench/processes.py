"""CPU time and memory of a daemon with all processes below it, read from /proc."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_GONE = (FileNotFoundError, ProcessLookupError)
"""A process may end between listing and reading."""


def tree(pid: int) -> list[int]:
    """`pid` and all its living descendants."""
    children: dict[int, list[int]] = defaultdict(list)
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(*_GONE):
                children[int(_stat(int(entry.name))[1])].append(int(entry.name))
    found = [pid]
    for parent in found:
        found.extend(children[parent])
    return found


def cpu_ms(pid: int) -> float:
    """CPU time that `pid` and its descendants used so far, ended ones included, in milliseconds."""
    ticks = 0
    for member in tree(pid):
        with suppress(*_GONE):
            # utime, stime, and the same two of children that ended and were waited for.
            ticks += sum(int(field) for field in _stat(member)[11:15])
    return ticks * 1000 / _TICKS_PER_SECOND


def peaks_mib(pid: int) -> list[float]:
    """The largest resident size since `forget_peaks`, of `pid` and each descendant, in MiB."""
    return [kib / 1024 for member in tree(pid) for kib in _high_water(member)]


def forget_peaks(pid: int) -> None:
    """Let `peaks_mib` count from the present sizes on."""
    for member in tree(pid):
        with suppress(*_GONE):
            Path(f"/proc/{member}/clear_refs").write_text("5")


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the program's name: state, parent, and so on."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _high_water(pid: int) -> Iterator[int]:
    with suppress(*_GONE):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                yield int(line.split()[1])
