"""PURE: when a delivery that failed is tried again."""

from __future__ import annotations

from typing import Final

TRIES: Final = 12
"""Until an event is put with the dead letters: after some 16 hours."""
FIRST: Final = 5.0
"""Seconds until the second try; each further wait is three times as long."""
LONGEST: Final = 6 * 3600.0
"""Seconds between two tries at most."""


def wait(tries: int, spread: float) -> float:
    """Seconds until the next try after so many that failed, one at least. `spread`: from 0 to 1, so that not all come at once."""
    longest = min(FIRST * 3.0 ** (tries - 1), LONGEST)
    return float(longest * (0.75 + spread / 4))
