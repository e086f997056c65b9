"""Which dialect a file is in, and what its roles may be called."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from ..tuf.names import BASE_ROLES, MAX_ROLE_LENGTH, ROOT, SNAPSHOT, TARGETS, TIMESTAMP, RoleName

_SEGMENT: Final = r"[A-Za-z0-9_~-][A-Za-z0-9._~-]*"
ROLE_PATTERN: Final = rf"{_SEGMENT}(?:/{_SEGMENT})*"
"""What the addresses of metadata can carry without being changed by a proxy on the way. The specification allows any name;
no segment begins with a dot, so none is `.` or `..`."""
_ROLE: Final = re.compile(ROLE_PATTERN, re.ASCII)
_RESERVED: Final = "_trust"
"""The segment that ends a repository's name in an address."""
MAX_FILE_BYTES: Final = 5_000_000
"""What python-tuf's client reads of the longest kind of file, targets, unless told otherwise."""
_MARK: Final = b'"spec_version"'


class _Common(msgspec.Struct, rename={"kind": "_type"}):
    kind: str
    spec_version: str


class _Marked(msgspec.Struct):
    signed: _Common


_DECODER: Final = msgspec.json.Decoder(_Marked)
_KINDS: Final = frozenset({ROOT, TARGETS, SNAPSHOT, TIMESTAMP})


def is_standard(data: bytes | None) -> bool:
    """Whether a file is TUF 1.0: what is signed says which version of the specification it follows.

    Files of Notary's dialect say nothing of the kind, and write their types with a capital letter. A file that is too
    long for TUF 1.0 is not searched.
    """
    if data is None or len(data) > MAX_FILE_BYTES or _MARK not in data:
        return False
    try:
        return _DECODER.decode(data).signed.kind in _KINDS
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return False


def is_role(role: str) -> bool:
    """Whether a role of a TUF 1.0 repository may have this name here."""
    return (
        len(role) <= MAX_ROLE_LENGTH
        and _ROLE.fullmatch(role) is not None
        and _RESERVED not in role.split("/")
    )


def is_delegation(role: str) -> bool:
    """Whether it is a role that other targets roles delegate to."""
    return role not in BASE_ROLES and is_role(role)


def kind(role: RoleName) -> str:
    """The `_type` of a role's files."""
    return role if role in BASE_ROLES else TARGETS


def listed_as(role: str) -> str:
    """How snapshot and timestamp name a role's file."""
    return f"{role}.json"
