"""PURE: when the files that clients get of one repository end, and the certificates of its root."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

import msgspec

from notary_server.inspection.examine import Stored
from notary_server.tuf import instant
from notary_server.tuf.certificates import BadRootError, certificate_end, stored_root
from notary_server.tuf.names import BASE_ROLES, ROOT, Gun, RoleName
from notary_server.tuf.parse import ParseError, parse_root

Kind = Literal["root", "targets", "delegation", "snapshot", "timestamp", "root_certificate"]
KINDS: Final[tuple[Kind, ...]] = (
    "root",
    "targets",
    "delegation",
    "snapshot",
    "timestamp",
    "root_certificate",
)
LATEST: Final = 2**63 - 1
"""Nanoseconds since 1970: the year 2262. What ends later is said to end then."""


@dataclass(frozen=True, slots=True)
class End:
    """When something ends, in nanoseconds since 1970-01-01T00:00:00Z."""

    kind: Kind
    role: RoleName
    ends_ns: int


class _Body(msgspec.Struct):
    expires: str


class _Dated(msgspec.Struct):
    """What both dialects have in common. Everything else is skipped, so that ten megabytes of targets cost little."""

    signed: _Body


def ends(stored: Stored) -> list[End]:
    """Of the current files; of delegations the one that ends first. What cannot be read is left out.

    A file that no snapshot lists is not current, but for root, which TUF 1.0 does not list, and for a repository without
    a timestamp yet.
    """
    found: dict[Kind, End] = {}
    for role, data in stored.files.items():
        if role in BASE_ROLES or role in stored.current:
            for end in _of_file(stored.gun, role, data):
                known = found.get(end.kind)
                if known is None or end.ends_ns < known.ends_ns:
                    found[end.kind] = end
    return [found[kind] for kind in KINDS if kind in found]


def _of_file(gun: Gun, role: RoleName, data: bytes) -> Iterator[End]:
    try:
        moment = instant.parse(msgspec.json.decode(data, type=_Dated).signed.expires)
    except (msgspec.MsgspecError, ValueError):
        return
    kind: Kind = role if role in BASE_ROLES else "delegation"  # type: ignore[assignment]
    yield End(kind, role, _storable(moment))
    if role == ROOT:
        certificates = _certificates(gun, data)
        if certificates is not None:
            yield End("root_certificate", role, _storable(certificates))


def _certificates(gun: Gun, data: bytes) -> int | None:
    """None where there are none, as in TUF 1.0, or they do not verify the root."""
    try:
        return certificate_end(gun, stored_root(gun, parse_root(data)))
    except (ParseError, BadRootError):
        return None


def _storable(moment: int) -> int:
    return max(-LATEST, min(moment, LATEST))
