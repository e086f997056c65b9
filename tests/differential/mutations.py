"""Random damage to a good upload: seeded, so that every run does the same."""

from __future__ import annotations

import random

TOKENS = (
    b"null",
    b"true",
    b"{}",
    b"[]",
    b'""',
    b"-1",
    b"0",
    b"1e999",
    b"99999999999999999999999999",
    b"0.1",
    b'"a":',
    b"\\ud800",
    b"\xff\xfe",
    b"\x00",
    b"\r\n",
    b"--",
    b"[" * 300,
    b'{"a":' * 300,
    b'"signed":',
    b'"signatures":[],',
    b'"version":2,',
    b'"Version":2,',
    b"filename=",
    b";",
    b"..",
    b"targets/",
)
"""Pieces that parsers stumble over."""


class Mutator:
    """Damages bytes.

    Args:
        seed: the same seed gives the same damage.
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def mutate(self, data: bytes) -> bytes:
        """One to three kinds of damage to `data`."""
        for _ in range(self._random.choice((1, 1, 1, 2, 3))):
            data = self._random.choice(
                (
                    self._flip,
                    self._replace,
                    self._cut,
                    self._repeat,
                    self._insert,
                    self._end,
                    self._swap,
                    self._digit,
                )
            )(data)
        return data

    def _place(self, data: bytes) -> int:
        return self._random.randrange(len(data) + 1)

    def _range(self, data: bytes) -> tuple[int, int]:
        start = self._place(data)
        return start, min(len(data), start + self._random.choice((1, 2, 5, 20, 100, 1000)))

    def _flip(self, data: bytes) -> bytes:
        if not data:
            return data
        at = self._random.randrange(len(data))
        return data[:at] + bytes([data[at] ^ (1 << self._random.randrange(8))]) + data[at + 1 :]

    def _replace(self, data: bytes) -> bytes:
        start, end = self._range(data)
        return data[:start] + self._random.randbytes(end - start) + data[end:]

    def _cut(self, data: bytes) -> bytes:
        start, end = self._range(data)
        return data[:start] + data[end:]

    def _repeat(self, data: bytes) -> bytes:
        start, end = self._range(data)
        return data[:end] + data[start:end] + data[end:]

    def _insert(self, data: bytes) -> bytes:
        at = self._place(data)
        return data[:at] + self._random.choice(TOKENS) + data[at:]

    def _end(self, data: bytes) -> bytes:
        return data[: self._place(data)]

    def _swap(self, data: bytes) -> bytes:
        start, end = self._range(data)
        piece, rest = data[start:end], data[:start] + data[end:]
        at = self._place(rest)
        return rest[:at] + piece + rest[at:]

    def _digit(self, data: bytes) -> bytes:
        places = [at for at, byte in enumerate(data) if 48 <= byte <= 57]
        if not places:
            return data
        at = self._random.choice(places)
        return (
            data[:at]
            + self._random.choice((b"0", b"9", b"-", b".", b"e", b"00", b"18446744073709551616"))
            + data[at + 1 :]
        )
