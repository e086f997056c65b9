"""From a timestamp to the snapshot it lists, and from a snapshot to the roles it lists.

Stored files were checked when they were published; here only the listed digests matter. TUF 1.0 lists files as
`ROLE.json`, and digests in hexadecimal, which is base64 of something else: that is undone.
"""

from __future__ import annotations

from base64 import b64encode
from typing import Final

import msgspec

from notary_server.tuf.names import RoleName, Sha256Hex


class _Listed(msgspec.Struct):
    hashes: dict[str, bytes]


class _Signed(msgspec.Struct):
    meta: dict[str, _Listed]


class _File(msgspec.Struct):
    signed: _Signed


_DECODER: Final = msgspec.json.Decoder(_File)


def listed_digests(data: bytes) -> dict[RoleName, Sha256Hex]:
    """The SHA-256 that the timestamp or snapshot `data` lists for each role; empty if it is unreadable."""
    try:
        meta = _DECODER.decode(data).signed.meta
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return {}
    return dict(
        _listed(name, entry.hashes["sha256"]) for name, entry in meta.items() if "sha256" in entry.hashes
    )


def _listed(name: str, digest: bytes) -> tuple[RoleName, Sha256Hex]:
    if name.endswith(".json"):
        return RoleName(name.removesuffix(".json")), Sha256Hex(b64encode(digest).decode())
    return RoleName(name), Sha256Hex(digest.hex())
