"""Make the next snapshot and timestamp: what is to be signed, and the file once it is."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256, sha512
from typing import Final

from ..errors import SignerRefused
from . import canonical
from .instant import SECOND
from .keys import verifies
from .model import FileMeta, HeldKey, NewFile, Signature, SigningOrder, Snapshot, TrustState
from .names import MAX_VERSION, ROOT, SNAPSHOT, TARGETS, TIMESTAMP, Gun, RoleName, Sha256Hex, is_delegation

METHODS: Final = {"ecdsa": "ecdsa", "rsa": "rsapss", "ed25519": "eddsa"}
"""How a held key of each type signs (docs/reference/protocol.md, 6)."""


class VersionsExhaustedError(Exception):
    """The stored version is the highest that Notary's tables can hold; there is no next one."""


@dataclass(frozen=True, slots=True)
class NextTimestamp:
    """All of a timestamp except the snapshot it vouches for. `expires` is in ns since 1970-01-01T00:00:00Z."""

    gun: Gun
    version: int
    expires: int
    keys: tuple[HeldKey, ...]

    def over(self, snapshot: bytes) -> SigningOrder:
        """The order to sign a timestamp for exactly these bytes."""
        meta = {SNAPSHOT: describe(snapshot)}
        payload = _payload("Timestamp", meta, self.version, self.expires)
        return SigningOrder(self.gun, TIMESTAMP, self.version, payload, self.keys)


def describe(data: bytes) -> FileMeta:
    """How a snapshot or timestamp lists a file: SHA-256, SHA-512 and length of the very bytes."""
    return FileMeta({"sha256": sha256(data).digest(), "sha512": sha512(data).digest()}, len(data))


def same_hashes(entry: FileMeta, actual: FileMeta) -> bool:
    """Whether each hash of `entry` that can be checked is that of the file `actual` describes, and there is one."""
    known = entry.hashes.keys() & actual.hashes.keys()
    return bool(known) and all(entry.hashes[algorithm] == actual.hashes[algorithm] for algorithm in known)


def matches(entry: FileMeta, actual: FileMeta) -> bool:
    """Whether `entry` lists the file that `actual` describes, length included."""
    return entry.length == actual.length and same_hashes(entry, actual)


def listable(role: str) -> bool:
    """Whether a snapshot may list a file of this name."""
    return role in {ROOT, TARGETS} or is_delegation(role)


def kept_entries(snapshot: Snapshot) -> dict[RoleName, FileMeta]:
    """The entries that the next snapshot takes over as they are, hashes of unknown algorithms included.

    What could not name or describe a file anyway is left behind.
    """
    return {
        RoleName(name): FileMeta(
            {algorithm: digest for algorithm, digest in entry.hashes.items() if algorithm.isprintable()},
            entry.length,
        )
        for name, entry in snapshot.meta.items()
        if listable(name)
    }


def following(state: TrustState, role: RoleName, keys: Iterable[HeldKey]) -> int:
    """The version after the highest one that is stored, or that one of `keys` has signed; 1 if there is none.

    They differ where a repository was deleted, or the database restored. Clients may have seen the higher one, and
    take no lower one any more.

    Raises:
        VersionsExhaustedError: there is none after it.
    """
    stored = state.latest.get(role)
    highest = max((key.highest_version for key in keys), default=0)
    version = max(highest, 0 if stored is None else stored.version) + 1
    if version > MAX_VERSION:
        raise VersionsExhaustedError(f"{role} has reached version {MAX_VERSION}, the last that can be stored")
    return version


def next_snapshot(
    gun: Gun, entries: Mapping[RoleName, FileMeta], version: int, expires: int, keys: tuple[HeldKey, ...]
) -> SigningOrder:
    """The order to sign a snapshot that lists `entries`; `expires` is in ns since 1970-01-01T00:00:00Z."""
    payload = _payload("Snapshot", entries, version, expires)
    return SigningOrder(gun, SNAPSHOT, version, payload, keys)


def seal(order: SigningOrder, signatures: Sequence[Signature]) -> bytes:
    """The finished file in Notary's travelling form (docs/reference/protocol.md, 4); each signature is verified first.

    Raises:
        SignerRefused: a signature does not verify, or one is missing.
    """
    if tuple(signature.keyid for signature in signatures) != tuple(key.key_id for key in order.keys):
        raise SignerRefused(f"the signer did not sign the {order.role} with each of its keys")
    for held, signature in zip(order.keys, signatures, strict=True):
        if signature.method != METHODS.get(held.key.keytype) or not verifies(
            held.key, signature, order.payload
        ):
            raise SignerRefused(f"the signer returned a {order.role} signature that does not verify")
    spelled = b",".join(
        b'{"keyid":"%b","method":"%b","sig":"%b"}'
        % (signature.keyid.encode(), signature.method.encode(), b64encode(signature.sig))
        for signature in signatures
    )
    return b'{"signed":%b,"signatures":[%b]}' % (canonical.travelling(order.payload), spelled)


def new_file(role: RoleName, version: int, data: bytes) -> NewFile:
    """The row that stores exactly these bytes."""
    return NewFile(role, version, data, Sha256Hex(sha256(data).hexdigest()))


def _payload(kind: str, meta: Mapping[RoleName, FileMeta], version: int, expires: int) -> bytes:
    entries = {
        role: {"hashes": _base64(entry.hashes), "length": entry.length} for role, entry in meta.items()
    }
    return canonical.encode_plain(
        {"_type": kind, "expires": _rfc3339(expires), "meta": entries, "version": version}
    )


def _base64(hashes: Mapping[str, bytes]) -> dict[str, str]:
    return {algorithm: b64encode(digest).decode() for algorithm, digest in hashes.items()}


def _rfc3339(instant: int) -> str:
    """A time as Go writes it: UTC, up to nine digits of fraction without trailing zeros."""
    seconds, nanoseconds = divmod(instant, SECOND)
    fraction = f".{nanoseconds:09d}".rstrip("0").rstrip(".")
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}{fraction}Z"
