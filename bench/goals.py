"""What a row has to reach, and whether it did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from .figures import Figures, ratio, summary

OURS, NOTARY, MARIADB = "ours", "notary", "notary-mariadb"
"""The three sides of the usual row: this project, the reference on PostgreSQL, the reference on MariaDB."""
Rounds = Mapping[str, Sequence[Figures]]
"""Every round's figures by side."""


@dataclass(frozen=True)
class Verdict:
    """How one goal came out. `reached` is None when it could not be judged."""

    measured: str
    goal: str
    reached: bool | None


class Goal(Protocol):
    """A condition on the figures of one row."""

    def judge(self, rounds: Rounds) -> Verdict:
        """Whether the figures meet it."""
        ...


@dataclass(frozen=True)
class Times:
    """Our value is at least `factor` times that of the side `over`."""

    factor: float
    over: str = NOTARY

    def judge(self, rounds: Rounds) -> Verdict:
        """Implements `Goal`."""
        found = ratio(rounds[OURS], rounds[self.over]) if self.over in rounds else None
        measured = "-" if found is None else f"{found:.2f}x {self.over}"
        return Verdict(measured, f">= {self.factor:g}x", None if found is None else found >= self.factor)


@dataclass(frozen=True)
class AtMost:
    """Our value does not exceed `limit`, in the row's unit, in any round."""

    limit: float
    unit: str

    def judge(self, rounds: Rounds) -> Verdict:
        """Implements `Goal`."""
        sound = [one.value for one in rounds[OURS] if not one.problems]
        goal = f"<= {self.limit:g} {self.unit}"
        return (
            Verdict(f"{max(sound):.2f} {self.unit}", goal, max(sound) <= self.limit)
            if sound
            else Verdict("-", goal, None)
        )


@dataclass(frozen=True)
class Flat:
    """The value of the side `grown` is within `share` of ours, or better."""

    grown: str
    share: float = 0.2

    def judge(self, rounds: Rounds) -> Verdict:
        """Implements `Goal`."""
        found = ratio(rounds[self.grown], rounds[OURS]) if self.grown in rounds else None
        measured = "-" if found is None else f"{found:.2f}x at {self.grown}"
        least = 1 - self.share
        return Verdict(measured, f">= {least:g}x", None if found is None else found >= least)


@dataclass(frozen=True)
class OnlyStatuses:
    """We answered nothing but these."""

    allowed: tuple[str, ...]

    def judge(self, rounds: Rounds) -> Verdict:
        """Implements `Goal`. A status counts by its first word: `400 VERSION` is a 400."""
        seen = summary(rounds[OURS]).statuses
        goal = "only " + ", ".join(self.allowed)
        if not seen:
            return Verdict("-", goal, None)
        others = [
            f"{count} x {status}" for status, count in seen.items() if status.split()[0] not in self.allowed
        ]
        return Verdict(", ".join(others) or "none else", goal, not others)
