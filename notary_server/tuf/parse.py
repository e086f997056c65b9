"""Bytes to typed metadata. The one place where JSON errors of any kind are caught.

Two stages, as clients see two kinds of refusal: `check_part` for what makes a part MALFORMED_JSON
(docs/reference/protocol.md, 3), `parse_*` for everything the role's own structure asks for (there, 8). `read` does
both with one look at the bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar, cast

import msgspec

from ..errors import MalformedJson
from . import canonical, instant, shape, tree, written
from .model import (
    AnyParsed,
    DelegatedRole,
    FileMeta,
    Parsed,
    PublicKey,
    Role,
    Root,
    Signature,
    Snapshot,
    Targets,
    Timestamp,
)
from .names import (
    BASE_ROLES,
    MAX_VERSION,
    ROOT,
    SNAPSHOT,
    TARGETS,
    TIMESTAMP,
    RoleName,
    is_delegation,
    parent,
)
from .shape import Common, Key, MetaBody, RootBody, Shape, TargetsBody
from .written import Listed, PlainTargets

_DIGEST_SIZES: Final = {"sha256": 32, "sha512": 64}
"""Bytes; `sha256` is the one that must be there."""
_PRIVATE_PEM: Final = b"PRIVATE KEY-----"


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on what is read of one file.

    The defaults are what holds for stored files, too: far beyond what was ever published. For uploads an operator may
    only ask for less, so that nothing can be accepted that could not be read afterwards.

    Attributes:
        max_bytes: its length.
        max_values: JSON values, counted by the commas and brackets in it; each costs up to 100 bytes of memory.
        max_depth: nested JSON values, the outermost object included.
        max_signatures: signatures; each may cost a verification.
        max_keys: keys that root lists, or targets list for their delegations.
        max_delegations: roles that targets or a delegation delegate to.
    """

    max_bytes: int = 1 << 30
    max_values: int = 1 << 26
    max_depth: int = 256
    max_signatures: int = 256
    max_keys: int = 10_000
    max_delegations: int = 10_000


DEFAULT_LIMITS: Final = Limits()

_PLACES: Final = {RootBody: shape.ROOT_SHAPE, TargetsBody: shape.TARGETS_SHAPE, MetaBody: shape.META_SHAPE}

_T = TypeVar("_T")
_C = TypeVar("_C", bound=Common)


class ParseError(Exception):
    """The file is not well-formed metadata of its role; the text says where and why, for people."""


class LimitError(ParseError):
    """The file is beyond one of `Limits`. It may be well-formed, and whoever published it can do something about it."""


class AmbiguousError(ParseError):
    """Readers disagree about what the file says: members twice or in another case, or text that is not UTF-8."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What the bytes of one file turned out to be.

    Attributes:
        malformed: why it is MALFORMED_JSON, None if it is not.
        problem: why it is not well-formed metadata of its role, None if it is.
        parsed: the file, None if there is a problem.
    """

    malformed: str | None
    problem: str | None
    parsed: AnyParsed | None


@dataclass(frozen=True, slots=True)
class _Envelope:
    """A part whose common members have the right types.

    Attributes:
        signed: None if it is missing; typed if `message` is known, which is its canonical form; else the tree.
        plain, complete: those of the tree.
    """

    limits: Limits
    signed: Common | dict[str, Any] | None
    signatures: tuple[Signature, ...]
    expires: int
    message: bytes | None = None
    plain: bool = True
    complete: bool = True


def read(role: RoleName, data: bytes, limits: Limits = DEFAULT_LIMITS) -> Reading:
    """All that `check_part` and the `parse_*` of the role say. Never raises."""
    try:
        envelope = _open(role, data, limits)
    except (AmbiguousError, LimitError) as error:
        return Reading(None, str(error), None)
    except ParseError as error:
        return Reading(f"The {role} file cannot be read: {error}.", str(error), None)
    try:
        return Reading(None, None, _parsed(role, data, envelope))
    except ParseError as error:
        return Reading(None, str(error), None)


def check_part(role: RoleName, data: bytes, limits: Limits = DEFAULT_LIMITS) -> None:
    """Accept or refuse the common members of a part: its first JSON value, whatever follows.

    Members that are missing or null pass here, and fail in `parse_*`. So does what readers disagree about, as
    Notary's server can read it, and what is over a limit: whoever uploads it learns what is wrong in the error of
    the file's role, which clients show.

    Raises:
        MalformedJson: it is not JSON, or too deep, or a common member has a wrong type.
    """
    try:
        _open(role, data, limits)
    except (AmbiguousError, LimitError):
        return
    except ParseError as error:
        raise MalformedJson(f"The {role} file cannot be read: {error}.") from None


def parse_root(data: bytes, limits: Limits = DEFAULT_LIMITS) -> Parsed[Root]:
    """Raises: ParseError."""
    return _root(data, _open(ROOT, data, limits))


def parse_targets(role: RoleName, data: bytes, limits: Limits = DEFAULT_LIMITS) -> Parsed[Targets]:
    """Targets or a delegation, by `role`. Raises: ParseError."""
    return _targets(role, data, _open(role, data, limits))


def parse_snapshot(data: bytes, limits: Limits = DEFAULT_LIMITS) -> Parsed[Snapshot]:
    """Raises: ParseError."""
    return _snapshot(data, _open(SNAPSHOT, data, limits))


def parse_timestamp(data: bytes, limits: Limits = DEFAULT_LIMITS) -> Parsed[Timestamp]:
    """Raises: ParseError."""
    return _timestamp(data, _open(TIMESTAMP, data, limits))


def listed_targets(role: RoleName, data: bytes) -> dict[str, FileMeta]:
    """What targets or a delegation list, by name: for people to look at, since deciding needs none of it.

    Raises: ParseError.
    """
    return _body(_open_any(role, data, DEFAULT_LIMITS), TargetsBody, "Targets").targets


def _parsed(role: RoleName, data: bytes, envelope: _Envelope) -> AnyParsed:
    match role:
        case "root":
            return _root(data, envelope)
        case "snapshot":
            return _snapshot(data, envelope)
        case "timestamp":
            return _timestamp(data, envelope)
        case _:
            return _targets(role, data, envelope)


def _root(data: bytes, envelope: _Envelope) -> Parsed[Root]:
    raw = _body(envelope, RootBody, "Root")
    roles = {name: role for name, role in raw.roles.items() if role is not None}
    keys = _keys(raw.keys, envelope.limits)
    for name in BASE_ROLES:
        if name not in roles:
            raise ParseError(f"it does not say who signs {name}")
        _check_role(name, roles[name], keys)
    body = Root(version=raw.version, expires=envelope.expires, keys=keys, roles=roles)
    return Parsed(ROOT, data, _message(envelope), envelope.signatures, body)


def _targets(role: RoleName, data: bytes, envelope: _Envelope) -> Parsed[Targets]:
    raw: TargetsBody | PlainTargets = _body(envelope, TargetsBody, "Targets")
    _check_lengths(raw.targets.values())
    keys = _keys(raw.delegations.keys, envelope.limits)
    _check_count("delegated roles", len(raw.delegations.roles), envelope.limits.max_delegations)
    body = Targets(
        version=raw.version,
        expires=envelope.expires,
        keys=keys,
        roles=_delegated(role, raw.delegations.roles, keys),
    )
    return Parsed(role, data, _message(envelope), envelope.signatures, body)


def _snapshot(data: bytes, envelope: _Envelope) -> Parsed[Snapshot]:
    raw = _body(envelope, MetaBody, "Snapshot")
    _check_lengths(raw.meta.values())
    for name in (ROOT, TARGETS):
        _check_listed(name, raw.meta)
    body = Snapshot(version=raw.version, expires=envelope.expires, meta=raw.meta)
    return Parsed(SNAPSHOT, data, _message(envelope), envelope.signatures, body)


def _timestamp(data: bytes, envelope: _Envelope) -> Parsed[Timestamp]:
    raw = _body(envelope, MetaBody, "Timestamp")
    _check_lengths(raw.meta.values())
    _check_listed(SNAPSHOT, raw.meta)
    body = Timestamp(version=raw.version, expires=envelope.expires, meta=raw.meta)
    return Parsed(TIMESTAMP, data, _message(envelope), envelope.signatures, body)


def _open(role: RoleName, data: bytes, limits: Limits) -> _Envelope:
    _check_size(data, limits)
    found = written.read(role, data) if limits.max_depth >= written.DEPTH else None
    if found is None:
        return _open_any(role, data, limits)
    _check_count("signatures", len(found.signatures), limits.max_signatures)
    return _Envelope(limits, found.signed, found.signatures, _expires(found.signed, data), found.message)


def _open_any(role: RoleName, data: bytes, limits: Limits) -> _Envelope:
    try:
        read = tree.load(data, limits.max_depth)
    except tree.AmbiguousError as error:
        raise AmbiguousError(str(error)) from None
    except tree.TreeError as error:
        raise ParseError(str(error)) from None
    document = {} if read.value is None else read.value
    if type(document) is not dict:
        raise ParseError("it is not a JSON object")
    signed = document.get("signed")
    if signed is not None and type(signed) is not dict:
        raise ParseError("its member signed is not an object")
    signatures = _convert(
        document.get("signatures", []), tuple[Signature, ...], shape.SIGNATURES_SHAPE, "signatures"
    )
    _check_count("signatures", len(signatures), limits.max_signatures)
    common = _convert(signed or {}, Common, shape.of_role(role), "signed")
    if not -(2**63) <= common.version < 2**63:
        raise ParseError("its version is out of range")
    expires = _expires(common, data)
    _check_spelling(document, shape.ENVELOPE_SHAPE)
    _check_spelling(signed, shape.of_role(role))
    _check_spelling(document.get("signatures"), shape.SIGNATURES_SHAPE)
    return _Envelope(limits, signed, signatures, expires, None, read.plain, read.complete)


def _check_size(data: bytes, limits: Limits) -> None:
    """Before anything is built from the bytes: what is built may take fifty times their memory."""
    if len(data) > limits.max_bytes:
        raise LimitError(f"it is larger than {limits.max_bytes} bytes")
    # Every value but the outermost follows a comma or the bracket of what holds it.
    if len(data) > limits.max_values and sum(map(data.count, (b",", b"[", b"{"))) > limits.max_values:
        raise LimitError(f"it holds more than {limits.max_values} values; split it into delegations")


def _check_count(what: str, number: int, limit: int) -> None:
    if number > limit:
        raise LimitError(f"it has more than {limit} {what}")


def _expires(common: Common, data: bytes) -> int:
    if common.expires is None:
        return instant.ZERO
    # Go reads a time from its spelling, not from the string: with escapes in it, it is none.
    if f'"{common.expires}"'.encode() not in data:
        raise ParseError("expires is spelled with escapes")
    try:
        return instant.parse(common.expires)
    except ValueError as error:
        raise ParseError(f"expires is wrong: {error}") from None


def _check_spelling(value: object, place: Shape) -> None:
    name = shape.misspelled(value, place)
    if name is not None:
        raise AmbiguousError(f"its member {name} is spelled in another case")


def _convert(value: object, kind: type[_T], place: Shape, name: str) -> _T:
    """`value` as `kind`; what is null where a value is due is read as Go reads it."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError:
        pass
    try:
        return msgspec.convert(shape.as_go_reads(value, place), kind)
    except msgspec.ValidationError as error:
        _, _, where = str(error).partition(" - at `$")
        raise ParseError(f"a value of the wrong type stands at {name}{where.rstrip('`')}") from None


def _body(envelope: _Envelope, kind: type[_C], type_name: str) -> _C:
    """`signed` as `kind`; `PlainTargets` may stand for `TargetsBody`, which they resemble."""
    if not envelope.complete:
        raise ParseError("something follows the end of its JSON object")
    if envelope.signed is None:
        raise ParseError("it has no member signed")
    if isinstance(envelope.signed, Common):
        body = cast(_C, envelope.signed)
    else:
        body = _convert(envelope.signed, kind, _PLACES[kind], "signed")
    if body.kind != type_name:
        raise ParseError(f"its _type is not {type_name}")
    if body.version < 1:
        raise ParseError("its version is below 1")
    if body.version > MAX_VERSION:
        raise ParseError(f"its version is above {MAX_VERSION}")
    return body


def _message(envelope: _Envelope) -> bytes:
    if envelope.message is not None:
        return envelope.message
    try:
        return (canonical.encode_plain if envelope.plain else canonical.encode)(envelope.signed)
    except ValueError as error:
        raise ParseError(str(error)) from None


def _keys(keys: Mapping[str, Key], limits: Limits) -> dict[str, PublicKey]:
    _check_count("keys", len(keys), limits.max_keys)
    if any(key.keyval.private or _PRIVATE_PEM in key.keyval.public for key in keys.values()):
        raise ParseError("it carries a private key; that key is no secret any more and must be replaced")
    return {keyid: PublicKey(key.keytype, key.keyval.public) for keyid, key in keys.items()}


def _check_role(name: str, role: Role | DelegatedRole, keys: Mapping[str, PublicKey]) -> None:
    if role.threshold < 1:
        raise ParseError(f"the threshold of {name} is below 1")
    if not keys.keys() >= set(role.keyids):
        raise ParseError(f"a key of {name} is missing among its keys")


def _delegated(
    role: RoleName, entries: Iterable[DelegatedRole | None], keys: Mapping[str, PublicKey]
) -> tuple[DelegatedRole, ...]:
    first: dict[str, DelegatedRole] = {}
    for entry in entries:
        if entry is None:
            raise ParseError("one of its delegated roles is null")
        if not is_delegation(entry.name) or parent(RoleName(entry.name)) != role:
            raise ParseError(f"one of its delegated roles is not named as a child of {role}")
        _check_role(entry.name, entry, keys)
        first.setdefault(entry.name, entry)
    return tuple(first.values())


def _check_lengths(files: Iterable[FileMeta | Listed]) -> None:
    if any(file.length < 0 for file in files):
        raise ParseError("a file in it has a negative length")


def _check_listed(name: str, meta: Mapping[str, FileMeta]) -> None:
    hashes = meta[name].hashes if name in meta else {}
    if "sha256" not in hashes:
        raise ParseError(f"it does not list the SHA-256 of {name}")
    for algorithm, size in _DIGEST_SIZES.items():
        if algorithm in hashes and len(hashes[algorithm]) != size:
            raise ParseError(f"the {algorithm} of {name} has the wrong length")
