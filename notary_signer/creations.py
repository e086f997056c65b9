"""How many keys each client may have made: a moving window of one hour, counted by this process."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from limits import RateLimitItemPerHour
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from .errors import TooManyKeys

_SCOPE: Final = "notary-signer-keys"


class CreationLimit:
    """Counts new keys by client. For one event loop.

    Several signer processes each count for themselves: whoever asks all of them gets the limit once from each, which
    bounds the same harm (rows, and objects in a token, that are collected when they stay unused) in the same order
    of magnitude, and spares every creation a turn in the database.
    """

    def __init__(self, keys_per_hour: int) -> None:
        self._limit = RateLimitItemPerHour(keys_per_hour)
        self._window = MovingWindowRateLimiter(MemoryStorage())
        self._under_way: Counter[str] = Counter()

    @contextmanager
    def room(self, client: str) -> Iterator[None]:
        """Hold a place for one key while it is made; `made` counts it.

        Raises:
            TooManyKeys: the client has had its share.
        """
        # Those that are being made count, or a burst would all see the same free place.
        if not self._window.test(self._limit, _SCOPE, client, cost=self._under_way[client] + 1):
            raise TooManyKeys(
                f"this client had {self._limit.amount} keys made within an hour; "
                "the signer's limits.max_keys_per_client_per_hour says how many it may",
                self._retry_after(client),
            )
        self._under_way[client] += 1
        try:
            yield
        finally:
            self._under_way[client] -= 1
            if not self._under_way[client]:
                del self._under_way[client]

    def made(self, client: str) -> None:
        """Count one new key."""
        self._window.hit(self._limit, _SCOPE, client)

    def _retry_after(self, client: str) -> int:
        reset = self._window.get_window_stats(self._limit, _SCOPE, client).reset_time
        return min(max(1, int(reset - time.time()) + 1), self._limit.get_expiry())
