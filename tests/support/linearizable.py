"""Whether a history of concurrent calls could have come from one copy of the data that works on one call at a time.

Each call is an interval: it took effect at one moment between its begin and its end. A history is linearizable if
moments can be chosen so that every answer is the one that the calls in that order give (Herlihy and Wing, 1990; the
search is that of Wing and Gong with the visited states of Lowe remembered). A call whose answer does not say
whether it happened has no end: it may take effect at any time later, or never.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

State = TypeVar("State", bound=Hashable)

NEVER = math.inf
"""The end of a call whose outcome nobody knows."""


@dataclass(frozen=True)
class Call(Generic[State]):
    """One call.

    Attributes:
        began, ended: by one clock, any unit.
        after: the states in which the given answer can leave a state; none if it cannot be given there.
        text: what was asked and answered, for people.
    """

    began: float
    ended: float
    after: Callable[[State], Iterable[State]]
    text: str


def contradiction(start: State, calls: Sequence[Call[State]]) -> str | None:
    """Why no order of `calls` explains their answers: the longest explanation and what cannot follow; None if one does."""
    ordered = sorted(calls, key=lambda call: call.began)
    visited: set[tuple[int, State]] = set()
    stack: list[tuple[int, State, tuple[int, ...]]] = [(0, start, ())]
    longest: tuple[int, ...] = ()
    while stack:
        done, state, path = stack.pop()
        if (done, state) in visited:
            continue
        visited.add((done, state))
        longest = max(longest, path, key=len)
        open_calls = [number for number in range(len(ordered)) if not done >> number & 1]
        first_end = min((ordered[number].ended for number in open_calls), default=NEVER)
        if first_end == NEVER:
            return None
        for number in open_calls:
            call = ordered[number]
            if call.began > first_end:
                break
            stack += [(done | 1 << number, after, (*path, number)) for after in call.after(state)]
    explained = [ordered[number].text for number in longest]
    rest = [call.text for number, call in enumerate(ordered) if number not in longest]
    return f"after {explained} nothing explains {rest[:8]}"
