"""What the first look at a part found out, kept for the second look, which follows at once.

Reading two megabytes of JSON takes longer than everything else that a publish does with them. A result is
handed over once, to whoever asks about the very same bytes object, and never changes an answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock
from typing import Generic, TypeVar

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class _Left(Generic[_T]):
    """A result, with the bytes it is about: they stay alive, so that no other object can have their identity."""

    data: bytes
    result: _T


class Handover(Generic[_T]):
    """Results that wait to be taken, oldest forgotten first once their bytes exceed `capacity`. Thread-safe."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._lock = Lock()
        self._left: dict[int, _Left[_T]] = {}
        self._size = 0

    def leave(self, data: bytes, result: _T) -> None:
        """Keep `result` for the next who asks about `data`, if there is room for it at all."""
        if len(data) > self._capacity:
            return
        with self._lock:
            self._remove(id(data))
            self._left[id(data)] = _Left(data, result)
            self._size += len(data)
            while self._size > self._capacity:
                self._remove(next(iter(self._left)))

    def take(self, data: bytes) -> _T | None:
        """What was left for this bytes object, if it still is; nobody else gets it."""
        with self._lock:
            left = self._remove(id(data))
        return None if left is None else left.result

    def _remove(self, key: int) -> _Left[_T] | None:
        left = self._left.pop(key, None)
        if left is not None:
            self._size -= len(left.data)
        return left
