"""PURE: may this key sign this payload? A key signs only what it was made for.

A payload is the canonical form of the `signed` member of a snapshot or a timestamp (docs/reference/protocol.md,
4 and 8), exactly as the trust server makes it, in Notary's dialect or in that of TUF 1.0. Anything else, however valid elsewhere, is refused: so a
server that was taken over cannot have a root, a targets file, a token or another repository's metadata signed.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from unicodedata import category

from notary_common.wire import OnlineRole

from . import standard_payload
from .ports import Dialect

MAX_PAYLOAD_BYTES: Final = 8 * 1024 * 1024
"""A snapshot entry takes some 250 bytes: room for 30,000 delegations."""
MAX_VERSION: Final = 2**31 - 1
"""The largest version that Notary's integer column can hold."""
MAX_LIFETIME: Final[Mapping[OnlineRole, timedelta]] = {
    # Servers ask for 3 x 365 days and 14 days; the rest is room for clocks and for other settings.
    "snapshot": timedelta(days=4 * 366),
    "timestamp": timedelta(days=60),
}
"""How far in the future `expires` may lie unless configured otherwise: the harm of one stolen signature ends there."""
MAX_GUN_LENGTH: Final = 255
"""Characters; the width of the registry's column."""

_INVISIBLE: Final = frozenset({"Cc", "Cf", "Zl", "Zp"})
"""Categories of characters that let two names look alike: control and format characters, separators of lines and paragraphs."""
_TYPES: Final[Mapping[OnlineRole, str]] = {"snapshot": "Snapshot", "timestamp": "Timestamp"}
_NOTARY_BEGINNINGS: Final = tuple(f'{{"_type":"{kind}"'.encode() for kind in _TYPES.values())
_MEMBERS: Final = {"_type", "expires", "meta", "version"}
_FILE_MEMBERS: Final = {"hashes", "length"}
_DIGEST_BYTES: Final = {"sha256": 32, "sha512": 64}
_FOLLOWED: Final = {"root", "targets", "snapshot"}
_MAX_LENGTH: Final = 2**63 - 1
_DELEGATION: Final = re.compile(r"targets(?:/[a-z0-9_-]+)+", re.ASCII)
_MAX_ROLE_LENGTH: Final = 255
_EXPIRES: Final = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.[0-9]{0,8}[1-9])?Z", re.ASCII
)


def gun_problem(gun: str) -> str | None:
    """Why no key can be made for `gun`, or None if one can.

    What could not be stored, or would make one record or line look like another. The trust server is stricter about
    names that addresses cannot reach (stars, backslashes, empty segments): it would never serve them, and to the signer,
    which compares names as they are, they are names like any other.
    """
    if not gun or len(gun) > MAX_GUN_LENGTH:
        return f"the repository name must have 1 to {MAX_GUN_LENGTH} characters"
    if any(c == "\0" or 0xD800 <= ord(c) <= 0xDFFF for c in gun):
        return "the repository name holds a NUL or is not UTF-8"
    if any(category(c) in _INVISIBLE for c in gun):
        return "the repository name holds a control character or an invisible one"
    return None


def key_problem(key_gun: str, key_role: OnlineRole, gun: str, role: OnlineRole) -> str | None:
    """Why a key made for one GUN and role may not sign for another, or None if they are the same."""
    if key_gun != gun:
        return "the key was made for another repository"
    if key_role != role:
        return f"the key was made for the role {key_role}"
    return None


def version_problem(highest: int | None, version: int) -> str | None:
    """Why a key that signed `highest` last (None: nothing yet) may not sign `version`, or None if it may.

    The same version again is no rollback: a publish whose commit failed is planned again with the same number.
    """
    if highest is not None and version < highest:
        return f"the key has signed version {highest} already; a payload of version {version} would be a rollback"
    return None


def dialect_problem(signed_before: Dialect | None, dialect: Dialect) -> str | None:
    """Why a key whose signatures are of one dialect (None: there are none) may not sign another's, None if it may."""
    if signed_before not in {None, dialect}:
        return f"the key signs metadata of the dialect {signed_before}, and the payload is of {dialect}"
    return None


def payload_dialect(payload: bytes) -> Dialect:
    """The dialect of a payload that `payload_problem` found sound: canonical form begins with the type."""
    return "notary" if payload.startswith(_NOTARY_BEGINNINGS) else "tuf-1.0"


def payload_version(payload: bytes) -> int:
    """The version in a payload that `payload_problem` found sound: canonical form puts it last."""
    return int(payload[payload.rindex(b":") + 1 : -1])


def payload_problem(
    role: OnlineRole,
    payload: bytes,
    now: datetime,
    lifetimes: Mapping[OnlineRole, timedelta] = MAX_LIFETIME,
) -> str | None:
    """Why `payload` is no metadata of `role` that may be signed at `now` (aware), or None if it is.

    Args:
        lifetimes: how far after `now` the `expires` of each role may lie.
    """
    if len(payload) > MAX_PAYLOAD_BYTES:
        return f"the payload is longer than {MAX_PAYLOAD_BYTES} bytes"
    try:
        signed = json.loads(payload.decode("utf-8"))
        if _canonical(signed) != payload:
            return "the payload is not canonical JSON"
    except (ValueError, RecursionError, TypeError):
        return "the payload is not JSON of the kind that is signed"
    standard = standard_payload.is_standard(signed)
    members = standard_payload.MEMBERS if standard else _MEMBERS
    if not isinstance(signed, dict) or set(signed) != members:
        return "the payload must have exactly the members " + ", ".join(sorted(members))
    named = role if standard else _TYPES[role]
    if signed["_type"] != named:
        return f"the payload's _type is not {named}"
    version = signed["version"]
    if type(version) is not int or not 1 <= version <= MAX_VERSION:
        return f"the payload's version is not between 1 and {MAX_VERSION}"
    problem = _expiry_problem(signed["expires"], now, lifetimes[role])
    if problem is None and standard:
        return standard_payload.problem(role, signed, MAX_VERSION)
    return problem or _meta_problem(role, signed["meta"])


def _expiry_problem(expires: object, now: datetime, lifetime: timedelta) -> str | None:
    matched = _EXPIRES.fullmatch(expires) if isinstance(expires, str) else None
    if matched is None:
        return "the payload's expires is not a UTC time"
    try:
        year, month, day, hour, minute, second = map(int, matched.groups())
        moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return "the payload's expires is not a UTC time"
    if moment <= now:
        return "the payload has expired"
    if moment - now > lifetime:
        return f"the payload would be valid for more than {lifetime.days} days"
    return None


def _meta_problem(role: OnlineRole, meta: object) -> str | None:
    if not isinstance(meta, dict):
        return "the payload's meta is not an object"
    if role == "timestamp" and set(meta) != {"snapshot"}:
        return "a timestamp lists exactly the snapshot"
    if role == "snapshot" and not {"root", "targets"} <= set(meta):
        return "a snapshot lists root and targets"
    for name, entry in meta.items():
        if role == "snapshot" and name not in {"root", "targets"} and not _is_delegation(name):
            return "a snapshot lists only root, targets and delegations"
        problem = _entry_problem(entry, followed=name in _FOLLOWED)
        if problem is not None:
            return problem
    return None


def _is_delegation(name: str) -> bool:
    return len(name) <= _MAX_ROLE_LENGTH and _DELEGATION.fullmatch(name) is not None


def _entry_problem(entry: object, *, followed: bool) -> str | None:
    """What is wrong with a file entry; `followed` if clients check the file by this very entry."""
    if not isinstance(entry, dict) or set(entry) != _FILE_MEMBERS:
        return "an entry of the payload's meta must have exactly hashes and length"
    length, hashes = entry["length"], entry["hashes"]
    if type(length) is not int or not 0 <= length <= _MAX_LENGTH:
        return "a length in the payload's meta is not a size"
    if not isinstance(hashes, dict) or not all(_digest(digest) is not None for digest in hashes.values()):
        return "a hash in the payload's meta is not base64"
    if followed and "sha256" not in hashes:
        return "an entry of the payload's meta has no sha256"
    for algorithm, size in _DIGEST_BYTES.items():
        # Entries of delegations are taken over from earlier snapshots, whoever made them.
        if followed and algorithm in hashes and len(_digest(hashes[algorithm]) or b"") != size:
            return f"a {algorithm} in the payload's meta is not {size} bytes long"
    return None


def _digest(digest: object) -> bytes | None:
    """The bytes in canonical base64, None if it is not that."""
    if not isinstance(digest, str):
        return None
    try:
        raw = base64.b64decode(digest, validate=True)
    except (binascii.Error, ValueError):
        return None
    return raw if base64.b64encode(raw).decode("ascii") == digest else None


def _canonical(value: Any) -> bytes:
    """Docker's canonical JSON of what a payload may hold: objects, strings and integers.

    Raises:
        TypeError: `value` holds something else.
        UnicodeEncodeError: a string holds a lone surrogate.
    """
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return b'"' + escaped.encode("utf-8") + b'"'
    if type(value) is int:
        return str(value).encode("ascii")
    if isinstance(value, dict):
        members = sorted((name.encode("utf-8"), name, member) for name, member in value.items())
        return (
            b"{"
            + b",".join(_canonical(name) + b":" + _canonical(member) for _, name, member in members)
            + b"}"
        )
    raise TypeError(f"a payload holds no {type(value).__name__}")
