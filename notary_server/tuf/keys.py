"""Keys of every type: key IDs, and the verification of one signature (PROTOCOL.md, 5 and 6)."""

from __future__ import annotations

from .model import PublicKey, Signature
from .names import KeyId


def key_id(key: PublicKey) -> KeyId:
    """Lower-case hex SHA-256 of the key's canonical form, `"private":null` included."""
    raise NotImplementedError


def material(key: PublicKey) -> bytes:
    """What tells two keys apart however they are wrapped: the DER of the bare public key.

    For a type that never verifies anything, the public bytes themselves.
    """
    raise NotImplementedError


def verifies(key: PublicKey, signature: Signature, message: bytes) -> bool:
    """Whether one signature is valid; an unknown method, a wrong type or length is simply not."""
    raise NotImplementedError
