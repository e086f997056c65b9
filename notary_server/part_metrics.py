"""What parts of one process count for themselves, taken over whenever metrics are shown: reading costs them nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal

from prometheus_client import CollectorRegistry, Counter, Gauge

Name = Literal[
    "cache_hits",
    "cache_misses",
    "cache_bytes",
    "cache_limit_bytes",
    "database_connections_in_use",
    "database_connections_limit",
    "database_waits",
]

_COUNTERS: Final[dict[Name, tuple[str, str]]] = {
    "cache_hits": ("notary_server_cache_hits", "Files that were served and whose bytes were in memory."),
    "cache_misses": (
        "notary_server_cache_misses",
        "Files that were served and whose bytes the database was asked for.",
    ),
    "database_waits": (
        "notary_server_database_waits",
        "Times that work waited for a connection as all of the pool were taken.",
    ),
}
_GAUGES: Final[dict[Name, tuple[str, str]]] = {
    "cache_bytes": ("notary_server_cache_bytes", "Memory that kept files take, of all processes together."),
    "cache_limit_bytes": ("notary_server_cache_limit_bytes", "Memory that kept files may take, likewise."),
    "database_connections_in_use": (
        "notary_server_database_connections_in_use",
        "Connections to the database that are taken, of all processes together.",
    ),
    "database_connections_limit": (
        "notary_server_database_connections_limit",
        "Connections to the database that there may be, likewise.",
    ),
}


class PartMetrics:
    """The numbers of one process's parts; part of `Metrics`."""

    def __init__(self, registry: CollectorRegistry | None) -> None:
        """`registry`: where to show them; None where the files of several processes are put together."""
        self._counters = {
            key: Counter(name, about, registry=registry) for key, (name, about) in _COUNTERS.items()
        }
        self._gauges = {
            key: Gauge(name, about, registry=registry, multiprocess_mode="livesum")
            for key, (name, about) in _GAUGES.items()
        }
        self._watched: dict[Name, Callable[[], int]] = {}
        self._counted: dict[Name, int] = {}

    def watch(self, name: Name, read: Callable[[], int]) -> None:
        """Take this number over from now on. What counts starts at 0 and never goes down."""
        self._watched[name] = read

    def take_over(self) -> None:
        """Look at all numbers."""
        for name, read in self._watched.items():
            now = read()
            if name in self._gauges:
                self._gauges[name].set(now)
            else:
                self._counters[name].inc(now - self._counted.get(name, 0))
                self._counted[name] = now
