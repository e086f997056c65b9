"""The checker of histories accepts what one copy could answer and refuses what it could not."""

from __future__ import annotations

import pytest

from .linearizable import NEVER, Call, contradiction


def read(began: float, ended: float, value: int) -> Call[int]:
    """A read of a register that gave `value`."""
    return Call(began, ended, lambda state: [state] if state == value else [], f"read {value}")


def write(began: float, ended: float, value: int) -> Call[int]:
    """A write that is known to have happened, or one of which nobody knows."""
    return Call(began, ended, lambda _: [value], f"write {value}")


@pytest.mark.parametrize(
    "history",
    [
        [],
        [write(0, 1, 1), read(2, 3, 1)],
        [write(0, 9, 1), read(1, 2, 1), read(3, 4, 1)],
        [write(0, 9, 1), read(1, 2, 0), read(3, 4, 1)],
        [write(0, 9, 1), write(1, 8, 2), read(2, 3, 2), read(4, 5, 1)],
        [write(0, NEVER, 1), read(1, 2, 0)],
        [write(0, NEVER, 1), read(1, 2, 0), read(5, 6, 1)],
    ],
)
def test_histories_of_one_copy(history: list[Call[int]]) -> None:
    """Concurrent calls may take effect in either order, unanswered ones late or never."""
    assert contradiction(0, history) is None


@pytest.mark.parametrize(
    "history",
    [
        [write(0, 1, 1), read(2, 3, 0)],
        [write(0, 9, 1), read(1, 2, 1), read(3, 4, 0)],
        [write(0, 1, 1), write(2, 3, 2), read(4, 5, 1)],
        [read(0, 1, 1), write(2, 3, 1)],
        [write(0, NEVER, 1), read(1, 2, 1), read(3, 4, 0)],
    ],
)
def test_histories_of_no_copy(history: list[Call[int]]) -> None:
    """A stale read, a step back, a read before its write: each is found."""
    assert contradiction(0, history) is not None
