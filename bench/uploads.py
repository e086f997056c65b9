"""Targets files in many versions, signed ahead at little cost, and the forms that carry them."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from functools import cache

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature

from tests.publisher import Key, canonical, entry, expires_in, form

_MARK = b"@@file@@"
_CURVE_BYTES = 32


class Targets:
    """A targets file with `tags` tags in every version.

    `version` is the last member of the canonical form, so all versions share what comes before, and the
    state of the hash after it: signing one costs the same whatever its size.
    """

    def __init__(self, tags: int) -> None:
        signed = {
            "_type": "Targets",
            "delegations": {"keys": {}, "roles": []},
            "expires": expires_in(1095),
            "targets": {f"v{tag}": entry(f"image {tag}".encode()) for tag in range(tags)},
            "version": 0,
        }
        self._start = canonical(signed).removesuffix(b"0}")
        self._hashed = hashes.Hash(hashes.SHA256())
        self._hashed.update(self._start)
        content_type, empty = form({"targets": _MARK})
        before, self._after = empty.split(_MARK)
        self.content_type = content_type
        self.before = before + b'{"signed":' + self._start

    def ending(self, key: Key, version: int) -> bytes:
        """What follows `before` in the form that uploads `version`, signed with an ECDSA P-256 key."""
        if not isinstance(key.private, ec.EllipticCurvePrivateKey):
            raise TypeError("the bench signs targets with P-256 keys")
        last = b"%d}" % version
        hashed = self._hashed.copy()
        hashed.update(last)
        r, s = decode_dss_signature(key.private.sign(hashed.finalize(), ec.ECDSA(Prehashed(hashes.SHA256()))))
        raw = r.to_bytes(_CURVE_BYTES, "big") + s.to_bytes(_CURVE_BYTES, "big")
        signature = f'{{"keyid":"{key.id}","method":"ecdsa","sig":"{base64.b64encode(raw).decode()}"}}'
        return last + b',"signatures":[' + signature.encode() + b"]}" + self._after

    def file(self, key: Key, version: int) -> bytes:
        """The whole file."""
        ending = self.ending(key, version).removesuffix(self._after)
        return b'{"signed":' + self._start + ending

    def endings(self, key: Key, first: int, count: int) -> Iterator[tuple[int, bytes]]:
        """`count` versions from `first` on, each with its ending."""
        return ((version, self.ending(key, version)) for version in range(first, first + count))


@cache
def targets(tags: int) -> Targets:
    """The one `Targets` of that size: 10,000 tags take a second to make."""
    return Targets(tags)
