"""Whether one signer is worth asking, from how the calls to it ended. PURE: time and chance come from outside."""

from __future__ import annotations

from typing import Final

STRIKES: Final = 3
"""Failures in a row that open the circuit where a single one proves nothing: a token that is slow for a moment
must not send everybody to the next one."""
FIRST_PAUSE: Final = 0.5
"""Seconds from the opening to the first probe: a signer that is restarted is back in a second or two."""
LONGEST_PAUSE: Final = 30.0
"""Seconds between two probes of a signer that stays away; a probe costs it a signature."""


class Circuit:
    """Closed while the signer answers, open from the failure that shows that it does not until it answers again."""

    def __init__(self) -> None:
        self._open = False
        self._strikes = 0
        self._pauses = 0

    @property
    def open(self) -> bool:
        """Whether others are to be asked first."""
        return self._open

    def failed(self, *, certain: bool) -> bool:
        """Take note of a failure; whether the circuit opened by it. `certain`: this one alone is enough."""
        self._strikes += 1
        if self._open or not (certain or self._strikes >= STRIKES):
            return False
        self._open = True
        self._pauses = 0
        return True

    def answered(self) -> bool:
        """Take note of an answer; whether the circuit closed by it."""
        self._strikes = 0
        was_open, self._open = self._open, False
        return was_open

    def pause(self, chance: float) -> float:
        """Seconds until the next probe: twice the last one's at most, half of it spread by `chance` (0 to 1)."""
        longest = min(FIRST_PAUSE * 2.0**self._pauses, LONGEST_PAUSE)
        self._pauses = min(self._pauses + 1, 16)
        return longest * (1 + chance) / 2
