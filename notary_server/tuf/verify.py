"""Threshold verification: which of a role's keys signed a file, and were they enough?"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from .model import Body, Parsed, PublicKey, Trusted


class BadSignatures(Exception):
    """The file does not meet its role's threshold; the text is for people."""


@dataclass(frozen=True, slots=True)
class Verification:
    """How a file stands: the distinct keys that signed it, against the threshold."""

    threshold: int
    valid: frozenset[str]

    def __bool__(self) -> bool:
        return len(self.valid) >= self.threshold


def trust(
    parsed: Parsed[Body], keys: Mapping[str, PublicKey], keyids: Collection[str], threshold: int
) -> Trusted[Body]:
    """Verify a file with the keys of its role, `keys` by filed ID (PROTOCOL.md, 6).

    Distinct key *material* counts, not distinct IDs.

    Raises:
        BadSignatures: the threshold is not met, there is no signature at all, or a key that signed is filed
            under an ID that is not its own.
    """
    raise NotImplementedError
