"""From a timestamp to the snapshot it lists, and from a snapshot to the roles it lists.

Stored files were checked when they were published; here only the listed digest matters.
"""

from __future__ import annotations

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


def listed_digest(data: bytes, role: RoleName) -> Sha256Hex | None:
    """The SHA-256 that the timestamp or snapshot `data` lists for `role`; None if it lists none or is unreadable."""
    try:
        meta = _DECODER.decode(data).signed.meta
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    entry = meta.get(role)
    if entry is None or "sha256" not in entry.hashes:
        return None
    return Sha256Hex(entry.hashes["sha256"].hex())
