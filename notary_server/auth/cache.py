"""Tokens that were found good, so that a reader's next request costs a look-up instead of a verification."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import Final

from .token.keys import KeyRing
from .token.verify import Verified

KEPT_BYTES: Final = 4 << 20
"""Bytes of the tokens whose outcome is remembered in one process; what is kept of each is of about that size."""
_OVERHEAD: Final = 512


class VerifiedTokens:
    """Good tokens by their SHA-256, the least recently used forgotten first. Never holds a token itself."""

    def __init__(self, kept_bytes: int = KEPT_BYTES) -> None:
        self._kept_bytes = kept_bytes
        self._bytes = 0
        self._known: OrderedDict[bytes, tuple[Verified, KeyRing, int]] = OrderedDict()

    def get(self, digest: bytes, now: float) -> tuple[Verified, KeyRing] | None:
        """What a token was found to say, and by which keys, unless its time is over."""
        found = self._known.get(digest)
        if found is None:
            return None
        if now > found[0].until:
            self.forget(digest)
            return None
        self._known.move_to_end(digest)
        return found[0], found[1]

    def put(self, digest: bytes, size: int, verified: Verified, ring: KeyRing) -> None:
        """Remember a token of `size` bytes that was verified by the keys of `ring`."""
        self.forget(digest)
        weight = size + _OVERHEAD
        self._known[digest] = verified, ring, weight
        self._bytes += weight
        while self._bytes > self._kept_bytes:
            self._bytes -= self._known.popitem(last=False)[1][2]

    def forget(self, digest: bytes) -> None:
        """Forget a token, if it is known."""
        found = self._known.pop(digest, None)
        if found is not None:
            self._bytes -= found[2]


def digest_of(token: str) -> bytes:
    """The name of a token here."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
