"""One TUF 1.0 file, received or stored: its bytes, and what they say to every reader."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from typing import Any, Final, cast

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Key, Metadata, Root, Snapshot, Targets, Timestamp
from tuf.api.serialization import SerializationError

from ..errors import MalformedJson
from ..tuf import canonical
from ..tuf.generate import describe
from ..tuf.model import FileMeta
from ..tuf.names import MAX_VERSION, ROOT, SNAPSHOT, TARGETS, TIMESTAMP, RoleName
from .names import MAX_FILE_BYTES, kind
from .shape import check_shape

SCHEMES: Final = frozenset(
    {
        ("ed25519", "ed25519"),
        ("ecdsa", "ecdsa-sha2-nistp256"),
        ("ecdsa", "ecdsa-sha2-nistp384"),
        ("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256"),
        ("rsa", "rsassa-pss-sha256"),
        ("rsa", "rsa-pkcs1v15-sha256"),
    }
)
"""Types of keys, each with its scheme, that clients in all languages verify by themselves."""

_MEMBERS: Final = frozenset(
    {
        "signed", "signatures", "keyid", "sig", "_type", "spec_version", "version", "expires", "consistent_snapshot",
        "keys", "roles", "keyids", "threshold", "keytype", "scheme", "keyval", "public", "meta", "targets",
        "delegations", "name", "paths", "path_hash_prefixes", "terminating", "succinct_roles", "bit_length",
        "name_prefix", "length", "hashes",
    }
)  # fmt: skip


class BadFileError(Exception):
    """The file cannot be read, or not by everybody alike; the text is for people."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on one file.

    Attributes:
        lengths: bytes, by type. They are what python-tuf's client reads at most unless told otherwise: a longer file
            would be published for nobody.
        signatures, keys, roles: of one file; each costs a look at least.
        depth: nested values. The specification's own are nested eight deep; the rest is for what is custom.
    """

    lengths: Mapping[str, int] = field(
        default_factory=lambda: {
            ROOT: 512_000,
            TARGETS: MAX_FILE_BYTES,
            SNAPSHOT: 2_000_000,
            TIMESTAMP: 16_384,
        }
    )
    signatures: int = 64
    keys: int = 256
    roles: int = 4096
    depth: int = 64


LIMITS: Final = Limits()


class StandardFile:
    """A file of a role. Never changes; it is read once, when that is first needed.

    Attributes:
        role: a valid role name; the file is read as one of that role.
        data: the bytes exactly as received.
    """

    def __init__(self, role: RoleName, data: bytes, limits: Limits = LIMITS) -> None:
        self.role = role
        self.data = data
        self._limits = limits

    @cached_property
    def meta(self) -> FileMeta:
        """Hashes and length of the bytes."""
        return describe(self.data)

    @cached_property
    def metadata(self) -> Metadata[Any]:
        """What the file says; of the type that its role asks for. Raises: BadFileError."""
        return _read(self.role, self.data, self._limits)

    @property
    def message(self) -> bytes:
        """The canonical form of `signed`: what signatures are over. Raises: BadFileError."""
        return self.metadata.signed_bytes

    @property
    def version(self) -> int:
        """Raises: BadFileError."""
        return int(self.metadata.signed.version)

    def check(self) -> None:
        """Raises: MalformedJson: the file cannot be read."""
        try:
            _ = self.metadata
        except BadFileError as error:
            raise MalformedJson(f"the {self.role} file is not valid: {error}") from None

    def root(self) -> Root:
        """The content of a file whose role is root. Raises: BadFileError."""
        return cast(Root, self.metadata.signed)

    def targets(self) -> Targets:
        """The content of a file whose role is targets or a delegation. Raises: BadFileError."""
        return cast(Targets, self.metadata.signed)

    def snapshot(self) -> Snapshot:
        """The content of a file whose role is snapshot. Raises: BadFileError."""
        return cast(Snapshot, self.metadata.signed)

    def timestamp(self) -> Timestamp:
        """The content of a file whose role is timestamp. Raises: BadFileError."""
        return cast(Timestamp, self.metadata.signed)


def _read(role: RoleName, data: bytes, limits: Limits) -> Metadata[Any]:
    longest = limits.lengths[kind(role)]
    if len(data) > longest:
        raise BadFileError(f"it is longer than the {longest} bytes that clients read of it")
    try:
        document = json.loads(
            data.decode(), object_pairs_hook=_members, parse_constant=_refuse, parse_float=_refuse
        )
        if not isinstance(document, dict) or set(document) != {"signed", "signatures"}:
            raise BadFileError("it must have exactly the members signed and signatures")
        _refuse_deeper(document, limits.depth)
        _refuse_misspelled(document["signed"])
        message = canonical.encode(document["signed"])
        if len(document["signatures"]) > limits.signatures:
            raise BadFileError(f"it has more than {limits.signatures} signatures")
        check_shape(document)
        metadata: Metadata[Any] = Metadata.from_dict(document)
        if metadata.signed_bytes != message:
            raise BadFileError(
                "it is not written as the specification has it: readers would see different files"
            )
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise BadFileError(_reason(error)) from None
    except (SerializationError, RepositoryError) as error:
        raise BadFileError(_reason(error)) from None
    _check(role, metadata, limits)
    return metadata


def _check(role: RoleName, metadata: Metadata[Any], limits: Limits) -> None:
    signed = metadata.signed
    if signed.type != kind(role):
        raise BadFileError(f"its _type is {signed.type}, not {kind(role)}")
    if signed.version > MAX_VERSION:
        raise BadFileError(f"its version is higher than {MAX_VERSION}")
    if isinstance(signed, Root):
        _check_keys(list(signed.keys.values()), limits)
    if isinstance(signed, Targets) and signed.delegations is not None:
        delegations = signed.delegations
        _check_keys(list(delegations.keys.values()), limits)
        if len(delegations.roles or ()) > limits.roles:
            raise BadFileError(f"it delegates to more than {limits.roles} roles")
        succinct = delegations.succinct_roles
        if succinct is not None and succinct.number_of_bins > limits.roles:
            raise BadFileError(f"it delegates to more than {limits.roles} bins")


def _check_keys(keys: Sequence[Key], limits: Limits) -> None:
    if len(keys) > limits.keys:
        raise BadFileError(f"it holds more than {limits.keys} keys")
    for key in keys:
        if (key.keytype, key.scheme) not in SCHEMES:
            raise BadFileError(f"it holds a key of a type or scheme that is not taken here: {key.scheme}")


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object's members; refused where readers would disagree on them: some take the first, the last, or any case."""
    members = dict(pairs)
    if len(members) < len(pairs):
        raise BadFileError("an object has two members of one name")
    lower = {name.lower() for name in members}
    if len(lower) < len(members):
        doubled = lower & _MEMBERS
        if any(sum(name.lower() == each for name in members) > 1 for each in doubled):
            raise BadFileError("an object has two members whose names differ only in case")
    return members


def _refuse_misspelled(signed: dict[str, Any]) -> None:
    """Refuse members that readers written in Go would take for known ones, whatever their case."""
    delegations = signed.get("delegations") or {}
    for structure in (signed, delegations, *(delegations.get("roles") or ())):
        for name in structure:
            if name.lower() in _MEMBERS and name not in _MEMBERS:
                raise BadFileError("a member has a known name in another case")


def _refuse_deeper(document: dict[str, Any], depth: int) -> None:
    level: list[Any] = [document]
    for _ in range(depth):
        inside = chain.from_iterable(each.values() if isinstance(each, dict) else each for each in level)
        level = [each for each in inside if isinstance(each, dict | list)]
        if not level:
            return
    raise BadFileError("it is nested too deeply")


def _refuse(text: str) -> Any:
    raise BadFileError("it holds a number that cannot be signed")


def _reason(error: Exception) -> str:
    match error:
        case RecursionError():
            return "it is nested too deeply"
        case KeyError():
            return f"it has no {error.args[0]}"
        case AttributeError():
            return "a member has the wrong type"
        case _:
            return str(error) or type(error).__name__
