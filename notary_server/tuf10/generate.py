"""Make the next snapshot and timestamp of a TUF 1.0 repository: what is to be signed, and the file once it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import cast

from tuf.api.metadata import Metadata, MetaFile, Snapshot, Timestamp

from notary_common.tuf_keys import standard_signature
from notary_common.wire import Algorithm

from ..errors import SignerRefused
from ..tuf.generate import METHODS
from ..tuf.instant import SECOND
from ..tuf.keys import verifies
from ..tuf.model import Signature, SigningOrder
from ..tuf.names import SNAPSHOT, TIMESTAMP, Gun, RoleName
from .names import listed_as
from .online import OnlineKey


@dataclass(frozen=True, slots=True)
class StandardOrder(SigningOrder):
    """An order to sign TUF 1.0 metadata. `keyids`: under which ID root files each of `keys`."""

    keyids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NextTimestamp:
    """All of a timestamp except the snapshot it vouches for, of which it has the version.

    `expires` is in nanoseconds since 1970-01-01T00:00:00Z.
    """

    gun: Gun
    version: int
    expires: int
    keys: tuple[OnlineKey, ...]
    snapshot_version: int

    def over(self, snapshot: bytes) -> StandardOrder:
        """The order to sign a timestamp for exactly these bytes."""
        meta = describe(self.snapshot_version, snapshot)
        signed = Timestamp(version=self.version, expires=moment(self.expires), snapshot_meta=meta)
        return _order(self.gun, TIMESTAMP, self.version, Metadata(signed).signed_bytes, self.keys)


def describe(version: int, data: bytes) -> MetaFile:
    """How a snapshot or timestamp lists a file: its version, and SHA-256 and length of the very bytes."""
    return MetaFile(version, len(data), {"sha256": sha256(data).hexdigest()})


def next_snapshot(
    gun: Gun, entries: Mapping[str, MetaFile], version: int, expires: int, keys: tuple[OnlineKey, ...]
) -> StandardOrder:
    """The order to sign a snapshot that lists `entries`; `expires` is in ns since 1970-01-01T00:00:00Z."""
    signed = Snapshot(version=version, expires=moment(expires), meta=dict(entries))
    return _order(gun, SNAPSHOT, version, Metadata(signed).signed_bytes, keys)


def seal(order: StandardOrder, signatures: Sequence[Signature]) -> bytes:
    """The finished file; each signature is verified first.

    Raises:
        SignerRefused: a signature does not verify, or one is missing.
    """
    if tuple(signature.keyid for signature in signatures) != tuple(key.key_id for key in order.keys):
        raise SignerRefused(f"the signer did not sign the {order.role} with each of its keys")
    spelled = []
    for keyid, held, signature in zip(order.keyids, order.keys, signatures, strict=True):
        algorithm = held.key.keytype
        if signature.method != METHODS.get(algorithm) or not verifies(held.key, signature, order.payload):
            raise SignerRefused(f"the signer returned a {order.role} signature that does not verify")
        sig = standard_signature(cast(Algorithm, algorithm), signature.sig)
        spelled.append(b'{"keyid":"%b","sig":"%b"}' % (_escaped(keyid), sig.hex().encode()))
    return b'{"signatures":[%b],"signed":%b}' % (b",".join(spelled), order.payload)


def following_expiry(now_ns: int, lifetime: int) -> int:
    """When what is signed now expires: TUF 1.0 knows whole seconds."""
    return now_ns + lifetime * SECOND


def moment(instant: int) -> datetime:
    """A time as python-tuf takes it."""
    return datetime.fromtimestamp(instant // SECOND, UTC)


def instant(moment: datetime) -> int:
    """A time as everything else here takes it."""
    return int(moment.timestamp()) * SECOND


def entry_of(role: RoleName, version: int, data: bytes) -> tuple[str, MetaFile]:
    """A file's entry in a snapshot."""
    return listed_as(role), describe(version, data)


def _order(
    gun: Gun, role: RoleName, version: int, payload: bytes, keys: tuple[OnlineKey, ...]
) -> StandardOrder:
    held = tuple(key.held for key in keys)
    return StandardOrder(gun, role, version, payload, held, tuple(key.keyid for key in keys))


def _escaped(keyid: str) -> bytes:
    return keyid.replace("\\", "\\\\").replace('"', '\\"').encode()
