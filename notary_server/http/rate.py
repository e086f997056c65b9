"""How often one client may write, and one repository be written to: a moving window of a minute in this process.

Several processes do not count together (docs/adr/0033): N of them allow up to N times as much.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from notary_common.network import network
from notary_server.errors import TooManyRequests

if TYPE_CHECKING:
    from limits.storage import MemoryStorage

    from .call import Call

Kind = Literal["writes", "keys"]
"""Publishes and deletions; requests for a server key, each of which may make one in the signer."""
WINDOW: Final = 60
"""Seconds."""
SWEEP: Final = 1024
"""Requests after which the names of those that have long been quiet are forgotten."""

_WHAT: Final = {"writes": "publishes and deletions", "keys": "requests for server keys"}
_OF: Final = {"client": "by one client", "repository": "to one repository"}


@dataclass(frozen=True, slots=True)
class RateLimits:
    """Requests in a minute; 0: any number."""

    client_writes: int = 0
    repository_writes: int = 0
    client_keys: int = 0
    repository_keys: int = 0


class Rates:
    """Counts the writes of one process. For its event loop only."""

    def __init__(self, limits: RateLimits | None = None) -> None:
        """Without limits everything is admitted and nothing is counted."""
        allowed = limits or RateLimits()
        self._allowed = {
            ("writes", "client"): allowed.client_writes,
            ("writes", "repository"): allowed.repository_writes,
            ("keys", "client"): allowed.client_keys,
            ("keys", "repository"): allowed.repository_keys,
        }
        self._storage: MemoryStorage | None = None
        self._told: dict[str, float] = {}
        self._asked = 0

    def admit(self, kind: Kind, call: Call) -> None:
        """Count one request of its sender, and then one to its repository.

        A request that is refused for its sender is not held against the repository.

        Raises:
            TooManyRequests: there were as many as allowed within the last minute.
        """
        identity = call.identity
        sender = f"{identity.issuer}\n{identity.name}" if identity.name else network(call.client)
        self._count(kind, "client", sender)
        self._count(kind, "repository", call.gun)

    def _count(self, kind: Kind, whose: Literal["client", "repository"], name: str) -> None:
        allowed = self._allowed[kind, whose]
        if not allowed:
            return
        storage = self._opened()
        key = f"{kind}/{whose}/{name}"
        if storage.acquire_entry(key, allowed, WINDOW):
            return
        now = time.time()
        repeated = now - self._told.get(key, 0.0) < WINDOW
        if not repeated:
            self._told[key] = now
        began, _ = storage.get_moving_window(key, allowed, WINDOW)
        wait = max(1, math.ceil(began + WINDOW - now))
        raise TooManyRequests(
            f"more than {allowed} {_WHAT[kind]} in a minute {_OF[whose]}; try again in {wait} seconds",
            wait,
            repeated=repeated,
        )

    def _opened(self) -> MemoryStorage:
        if self._storage is None:
            # It starts a thread, which nobody needs who counts nothing; and threads do not survive a fork.
            from limits.storage import MemoryStorage  # noqa: PLC0415

            self._storage = MemoryStorage()
        self._asked += 1
        if self._asked % SWEEP == 0:
            # The storage empties the windows of the quiet, but keeps their names for ever.
            for key in [key for key, entries in list(self._storage.events.items()) if not entries]:
                self._storage.clear(key)
                self._told.pop(key, None)
        return self._storage
