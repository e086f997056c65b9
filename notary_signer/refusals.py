"""How many refusals of one client have records of their own: nobody needs rights for these, so they could fill the disk."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from typing import Final

MAX_RECORDED: Final = 100
"""Of one client in one minute. The log has a line for each request, and the metrics count them all."""


class Refusals:
    """Counts by client and minute. For one event loop."""

    def __init__(self) -> None:
        self._minute = _minute()
        self._counts: Counter[str] = Counter()

    def ended(self) -> Mapping[str, int]:
        """If a minute is over since the last call: how many of each client were not recorded in it."""
        minute = _minute()
        if minute == self._minute:
            return {}
        left_out = {
            client: count - MAX_RECORDED for client, count in self._counts.items() if count > MAX_RECORDED
        }
        self._minute = minute
        self._counts.clear()
        return left_out

    def takes(self, client: str) -> bool:
        """Count one; whether it is to be recorded."""
        self._counts[client] += 1
        return self._counts[client] <= MAX_RECORDED


def _minute() -> int:
    return int(time.monotonic() // 60)
