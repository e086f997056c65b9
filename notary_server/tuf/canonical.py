"""Docker's Go canonical JSON, and the travelling form of files (PROTOCOL.md, 4)."""

from __future__ import annotations


def encode(value: object) -> bytes:
    """The canonical form of a JSON value: None, bool, int, str, list or dict with str keys.

    Raises:
        ValueError: a number that canonical JSON cannot carry.
    """
    raise NotImplementedError


def travelling(canonical: bytes) -> bytes:
    """How Go's encoder spells canonical bytes on the wire: `<`, `>`, `&`, U+2028 and U+2029 escaped."""
    raise NotImplementedError
