"""The four kinds of metadata, and what is known of a repository, as frozen values.

Default values are what Go reads for a missing or null member (docs/reference/protocol.md, 3).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

import msgspec

from .names import Gun, KeyId, RoleName, Sha256Hex


class PublicKey(msgspec.Struct, frozen=True):
    """A key object: `keytype` and the decoded bytes of `keyval.public` (PROTOCOL.md, 5)."""

    keytype: str
    public: bytes


class Role(msgspec.Struct, frozen=True):
    """Who signs a role: key IDs as filed, and how many of them must."""

    keyids: tuple[str, ...] = ()
    threshold: int = 0


class DelegatedRole(msgspec.Struct, frozen=True):
    """One entry of `delegations.roles`. `paths` are prefixes."""

    name: str = ""
    keyids: tuple[str, ...] = ()
    threshold: int = 0
    paths: tuple[str, ...] = ()


class FileMeta(msgspec.Struct, frozen=True, gc=False):
    """Hashes (algorithm to digest bytes) and length in bytes of a file; `custom` is not looked at."""

    hashes: dict[str, bytes] = {}
    length: int = 0


class Signature(msgspec.Struct, frozen=True):
    """One signature as filed: key ID, method as spelled, signature bytes."""

    keyid: str = ""
    method: str = ""
    sig: bytes = b""


class Root(msgspec.Struct, frozen=True):
    """Root metadata; `keys` by filed key ID, `roles` by name (others than the base roles included)."""

    version: int
    expires: int
    keys: dict[str, PublicKey]
    roles: dict[str, Role]


class Targets(msgspec.Struct, frozen=True):
    """Targets or delegation metadata, without what it lists: that is checked and then of no use to the server.

    Of two delegated roles of one name only the first is kept.
    """

    version: int
    expires: int
    keys: dict[str, PublicKey]
    roles: tuple[DelegatedRole, ...]


class Snapshot(msgspec.Struct, frozen=True):
    """Snapshot metadata; `meta` by role name, without `.json`."""

    version: int
    expires: int
    meta: dict[str, FileMeta]


class Timestamp(msgspec.Struct, frozen=True):
    """Timestamp metadata; `meta` holds exactly `snapshot`."""

    version: int
    expires: int
    meta: dict[str, FileMeta]


Body = TypeVar("Body", Root, Targets, Snapshot, Timestamp)


@dataclass(frozen=True, slots=True)
class Parsed(Generic[Body]):
    """A well-formed file whose signatures nobody has looked at yet.

    Attributes:
        role: the role it was uploaded or stored as.
        data: the bytes exactly as received.
        message: the canonical form of `signed`: what its signatures are over.
        signatures: as filed, in file order.
        body: the typed content. `body.expires` is in nanoseconds since 1970-01-01T00:00:00Z.
    """

    role: RoleName
    data: bytes
    message: bytes
    signatures: tuple[Signature, ...]
    body: Body


AnyParsed = Parsed[Root] | Parsed[Targets] | Parsed[Snapshot] | Parsed[Timestamp]


@dataclass(frozen=True, slots=True)
class Trusted(Generic[Body]):
    """A file that met its threshold. Only `tuf/verify.py` and `tuf/certificates.py` make one."""

    parsed: Parsed[Body]

    @property
    def body(self) -> Body:
        """The typed content."""
        return self.parsed.body


@dataclass(frozen=True, slots=True)
class FileSummary:
    """What a file must look like to be listed: version, lower-case hex SHA-256 and length in bytes."""

    version: int
    sha256: Sha256Hex
    length: int


@dataclass(frozen=True, slots=True)
class TrustState:
    """What is stored of one GUN, read in one consistent look.

    Attributes:
        latest: the highest stored version of every role of the GUN; empty for a new repository.
        files: the bytes of the latest version of root, snapshot, timestamp, targets and of every role that
            was asked for besides; a role that is not stored is absent.
    """

    gun: Gun
    latest: dict[RoleName, FileSummary]
    files: dict[RoleName, bytes]


@dataclass(frozen=True, slots=True)
class HeldKey:
    """A key that the signer holds, and what it was made for.

    Attributes:
        highest_version: of what it has signed, as far as is known; 0 if that is nothing. It signs no version below.
    """

    key_id: KeyId
    key: PublicKey
    gun: Gun
    role: RoleName
    highest_version: int = 0


@dataclass(frozen=True, slots=True)
class SigningOrder:
    """A checked intent to sign: made only by `tuf/generate.py`, redeemed by the signer, sealed once.

    Attributes:
        gun, role, version: what is signed.
        payload: the canonical form of `signed`, the very bytes to be signed.
        keys: the held keys that must all sign.
    """

    gun: Gun
    role: RoleName
    version: int
    payload: bytes
    keys: tuple[HeldKey, ...]


@dataclass(frozen=True, slots=True)
class NewFile:
    """A row to be committed. `sha256` is the digest of `data`."""

    role: RoleName
    version: int
    data: bytes
    sha256: Sha256Hex
