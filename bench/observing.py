"""What a side's processes use while something is measured."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType

from . import processes
from .figures import Cpu, Figures
from .sides import Side


class Observation:
    """CPU time and memory of a side between entering and leaving the block."""

    def __init__(self, side: Side) -> None:
        self._side = side
        self._pids = side.pids
        self._used: dict[str, float] = {}
        self._peak = 0.0

    def __enter__(self) -> Observation:
        processes.forget_peaks(self._pids["server"])
        self._before = {name: processes.cpu_ms(pid) for name, pid in self._pids.items()}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._side.alive:
            after = {name: processes.cpu_ms(pid) for name, pid in self._pids.items()}
            self._used = {name: after[name] - self._before[name] for name in after}
            self._peak = max(processes.peaks_mib(self._pids["server"]))

    def figures(
        self,
        *,
        value: float,
        units: float,
        p50: float,
        p99: float,
        statuses: Mapping[str, int],
        problems: tuple[str, ...],
    ) -> Figures:
        """The figures of a run of `units` units of work."""
        cpu = Cpu(**{name: used / units for name, used in self._used.items()}) if units else Cpu()
        return Figures(value, p50, p99, cpu, self._peak, statuses, problems)
