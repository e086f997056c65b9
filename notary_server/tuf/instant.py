"""RFC 3339 times as Go reads and writes them, exact to the nanosecond (docs/reference/protocol.md, 3)."""

from __future__ import annotations

import re
from datetime import date
from typing import Final

SECOND: Final = 1_000_000_000
"""Nanoseconds."""

_EPOCH: Final = date(1970, 1, 1).toordinal()
_CYCLE_YEARS: Final = 400
_CYCLE_DAYS: Final = 146_097
"""The Gregorian calendar repeats after 400 years of so many days."""

# Go also takes a comma before the fraction, an hour of one digit and any number of digits in the fraction.
_TIME: Final = re.compile(
    r"(\d{4})-(\d{2})-(\d{2})T(\d{1,2}):(\d{2}):(\d{2})(?:[.,](\d+))?(?:Z|([+-])(\d{2}):(\d{2}))", re.ASCII
)


def parse(text: str) -> int:
    """Nanoseconds since 1970-01-01T00:00:00Z; digits beyond the ninth of a fraction are dropped.

    Raises:
        ValueError: not a time as Go's RFC 3339 layout has it.
    """
    found = _TIME.fullmatch(text)
    if found is None:
        raise ValueError("it is not an RFC 3339 time")
    year, month, day, hour, minute, second = (int(digits) for digits in found.group(1, 2, 3, 4, 5, 6))
    if hour > 23 or minute > 59 or second > 59:
        raise ValueError("it has a time of day that does not exist")
    # Python's calendar begins with year 1, Go's with year 0, which is a leap year like 400.
    days = date(year or _CYCLE_YEARS, month, day).toordinal() - _EPOCH - (0 if year else _CYCLE_DAYS)
    fraction = int((found[7] or "0")[:9].ljust(9, "0"))
    return ((days * 24 + hour) * 60 + minute - _offset(found)) * 60 * SECOND + second * SECOND + fraction


def _offset(found: re.Match[str]) -> int:
    """Minutes east of Greenwich."""
    if found[8] is None:
        return 0
    minutes = int(found[9]) * 60 + int(found[10])
    return -minutes if found[8] == "-" else minutes


ZERO: Final = parse("0001-01-01T00:00:00Z")
"""Go's zero time: what a missing `expires` is read as."""
