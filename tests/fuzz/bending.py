"""Good inputs made bad: bytes cut, doubled, replaced, or mixed with what is known to be awkward."""

from __future__ import annotations

import random
from collections.abc import Sequence

from hypothesis import strategies as st

AWKWARD = (
    b"\0", b"\xff", b"\xc0\xae", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\r", b"\n", b"\r\n\r\n", b"\\", b'"', b"%00", b"%2e%2e",
    b"/../", b"[" * 300, b"{" * 300, b"1" * 400, b"1e999", b"-0", b"null", b"\\ud800", b"9223372036854775808", b",,", b"*",
)  # fmt: skip
SEEDS = st.integers(0, 2**63)
LENGTHS = (0, 1, 2, 8, 64, 4096)


def bent(data: st.DataObject, good: bytes, awkward: Sequence[bytes] = AWKWARD) -> bytes:
    """`good` after one to four changes; one in sixteen as it is, which shows that good inputs do get through.

    Hypothesis chooses one number, and that the changes: a choice of its own for each would cost ten times the input.
    """
    chance = random.Random(data.draw(SEEDS))
    for _ in range(chance.randint(1, 4) if chance.randrange(16) else 0):
        begin = chance.randint(0, len(good))
        end = min(len(good), begin + chance.choice(LENGTHS))
        match chance.randrange(5):
            case 0:
                good = good[:begin] + good[end:]
            case 1:
                good = good[:end] + good[begin:end] + good[end:]
            case 2:
                good = good[:begin] + chance.randbytes(chance.randint(1, 4)) + good[end:]
            case 3:
                good = good[:begin] + chance.choice(awkward) + good[end:]
            case _:
                other = chance.randint(0, len(good))
                good = good[:begin] + good[other : other + 64] + good[end:]
    return good
