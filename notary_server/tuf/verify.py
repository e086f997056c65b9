"""Threshold verification: which of a role's keys signed a file, and were they enough?"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from . import keys as key_types
from .model import Body, Parsed, PublicKey, Trusted


class BadSignaturesError(Exception):
    """The file does not meet its role's threshold; the text is for people."""


@dataclass(frozen=True, slots=True)
class Verification:
    """How a file stands: the distinct keys that signed it, against the threshold.

    `valid` holds one ID for each distinct key material.
    """

    threshold: int
    valid: frozenset[str]

    def __bool__(self) -> bool:
        return len(self.valid) >= self.threshold


def examine(
    parsed: Parsed[Body], keys: Mapping[str, PublicKey], keyids: Collection[str], threshold: int
) -> Verification:
    """Look at every signature of a file, with the keys of its role, `keys` by filed ID.

    Raises:
        BadSignaturesError: there is no signature at all, or a key that signed is filed under an ID that is
            not its own.
    """
    if not parsed.signatures:
        raise BadSignaturesError("it has no signatures")
    role_keys = {keyid: keys[keyid] for keyid in keyids if keyid in keys}
    valid: dict[bytes, str] = {}
    for signature in parsed.signatures:
        key = role_keys.get(signature.keyid)
        if key is None:
            continue
        if key_types.key_id(key) != signature.keyid:
            raise BadSignaturesError("a key that signed it is filed under an ID that is not its own")
        if signature.keyid not in valid.values() and key_types.verifies(key, signature, parsed.message):
            valid.setdefault(key_types.material(key), signature.keyid)
    return Verification(threshold, frozenset(valid.values()))


def trust(
    parsed: Parsed[Body], keys: Mapping[str, PublicKey], keyids: Collection[str], threshold: int
) -> Trusted[Body]:
    """Verify a file with the keys of its role, `keys` by filed ID (docs/reference/protocol.md, 6).

    Distinct key *material* counts, not distinct IDs.

    Raises:
        BadSignaturesError: the threshold is not met, there is no signature at all, or a key that signed is
            filed under an ID that is not its own.
    """
    verification = examine(parsed, keys, keyids, threshold)
    if not verification:
        raise BadSignaturesError(
            f"it has {len(verification.valid)} valid signatures of distinct keys where {threshold} are needed"
        )
    return Trusted(parsed)
