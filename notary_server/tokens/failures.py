"""Failed attempts, counted by user and by address, so that nobody can guess passwords one after the other.

Counted for any name that is given, whether or not somebody has it. A correct password does not count, and does not help
either while the user or the address has to wait.
"""

from __future__ import annotations

import ipaddress
import time
from math import ceil
from typing import Final

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter

_USER: Final = "user"
_ADDRESS: Final = "address"
_NAME_LENGTH: Final = 65
"""Characters of a name that count: longer ones belong to nobody."""


class Failures:
    """Failures of the last minute, in this process."""

    def __init__(self, per_user: int, per_address: int) -> None:
        """So many failures are allowed in a minute."""
        self._limiter = FixedWindowRateLimiter(MemoryStorage())
        self._bounds = {
            _USER: RateLimitItemPerMinute(per_user),
            _ADDRESS: RateLimitItemPerMinute(per_address),
        }

    def wait(self, user: str | None, address: str) -> int | None:
        """Seconds to wait before the next attempt; None: it may be made now.

        Args:
            user: None for secrets that cannot be guessed: then nobody can lock a robot out by failing in its name.
        """
        ends = [
            self._limiter.get_window_stats(self._bounds[what], what, who).reset_time
            for what, who in _counted(user, address)
            if not self._limiter.test(self._bounds[what], what, who)
        ]
        return max(1, ceil(max(ends) - time.time())) if ends else None

    def count(self, user: str | None, address: str) -> None:
        """An attempt has failed."""
        for what, who in _counted(user, address):
            self._limiter.hit(self._bounds[what], what, who)


def _counted(user: str | None, address: str) -> list[tuple[str, str]]:
    keys = [(_ADDRESS, _network(address))]
    return keys if user is None else [*keys, (_USER, user[:_NAME_LENGTH])]


def _network(address: str) -> str:
    """What one client may have many addresses of: with IPv6 a whole /64."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if parsed.version == 4:
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((int(parsed), 64), strict=False))
