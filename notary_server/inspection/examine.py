"""PURE: what there is to know of one stored repository, before another server takes it over or at any time."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Final, Literal

import msgspec

from notary_server.tuf import online
from notary_server.tuf.certificates import BadRootError, certificate_end, stored_root
from notary_server.tuf.instant import SECOND
from notary_server.tuf.model import FileSummary, HeldKey, Parsed, Root, Snapshot, Targets, Timestamp
from notary_server.tuf.names import (
    MAX_VERSION,
    ROOT,
    SNAPSHOT,
    TARGETS,
    TIMESTAMP,
    Gun,
    KeyId,
    RoleName,
    gun_problem,
    is_delegation,
)
from notary_server.tuf.parse import ParseError, parse_root, parse_snapshot, parse_targets, parse_timestamp

from .advice import rotation

Weight = Literal["broken", "owner", "note"]
"""Clients or publishers fail, now or after the takeover; its owner must do something; good to know."""
WEIGHTS: Final[tuple[Weight, ...]] = ("broken", "owner", "note")

SOON: Final = 30 * 86_400 * SECOND
"""Nanoseconds before its end at which a file is reported."""
CERTIFICATE_SOON: Final = 2 * 365 * 86_400 * SECOND
"""The same for a root certificate: only a new root replaces it, and only before its end do clients follow."""
VERSIONS_LEFT: Final = 1_000_000
"""A version so close to the largest possible one was not reached by counting."""
_NAMED: Final = 5
"""Root versions, or members, that a finding names."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing about one repository, or about all of them if `gun` is empty.

    `kind` is for programs, `text` for people: what is so, and what to do.
    """

    gun: str
    weight: Weight
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Stored:
    """What is stored of a repository.

    Attributes:
        latest: the highest version of each role.
        files: the bytes of these.
        current: the digests of the files that clients get: the latest timestamp, and what it leads to.
        roots: the versions of root that are stored.
    """

    gun: Gun
    latest: Mapping[RoleName, FileSummary]
    files: Mapping[RoleName, bytes]
    current: Mapping[RoleName, str]
    roots: Collection[int]


def examine(stored: Stored, held: Mapping[KeyId, HeldKey] | None, now_ns: int) -> list[Finding]:
    """Everything worth a word, what is broken first.

    Args:
        held: the keys of the signer; None if they are of no interest.
        now_ns: nanoseconds since 1970-01-01T00:00:00Z.
    """
    found = [
        *examine_rows(stored),
        *_contents(stored, now_ns),
        *_root(stored, held, now_ns),
    ]
    return by_weight(found)


def examine_rows(stored: Stored) -> list[Finding]:
    """What the rows tell without what is in the files: of both dialects alike."""
    return [*_names(stored), *_chain(stored), *_versions(stored)]


def by_weight(findings: Iterable[Finding]) -> list[Finding]:
    """What is broken first."""
    return sorted(findings, key=lambda finding: WEIGHTS.index(finding.weight))


def _names(stored: Stored) -> Iterator[Finding]:
    problem = gun_problem(stored.gun)
    if problem is not None:
        yield Finding(stored.gun, "broken", "name", f"{problem}: this server does not serve it")


def _chain(stored: Stored) -> Iterator[Finding]:
    """Whether the latest timestamp leads to files that are there, and to the latest ones."""
    for role in (TIMESTAMP, SNAPSHOT, ROOT, TARGETS):
        if role not in stored.latest:
            yield Finding(
                stored.gun, "broken", "missing", f"no {role} is stored: clients cannot use the repository"
            )
        elif role not in stored.current:
            yield Finding(
                stored.gun,
                "broken",
                "torn",
                f"the file that is listed as {role} is not stored: clients cannot use the repository until its owner "
                "publishes again",
            )
    for role in sorted(stored.latest):
        if is_delegation(role) and role not in stored.current:
            yield Finding(stored.gun, "note", "unlisted", f"{role} is stored, but no snapshot lists it")
    for role, digest in stored.current.items():
        latest = stored.latest.get(role)
        if latest is not None and latest.sha256 and latest.sha256 != digest:
            yield Finding(
                stored.gun,
                "note",
                "superfluous",
                f"version {latest.version} of {role} is stored, but an older one is listed and served",
            )


def _versions(stored: Stored) -> Iterator[Finding]:
    for role, summary in stored.latest.items():
        if summary.version > MAX_VERSION - VERSIONS_LEFT:
            yield Finding(
                stored.gun,
                "owner",
                "version",
                f"version {summary.version} of {role} leaves {MAX_VERSION - summary.version} more",
            )
    latest_root = stored.latest.get(ROOT)
    if latest_root is not None:
        there = {version for version in stored.roots if version < latest_root.version}
        # A version may be two thousand millions: only the first gaps are counted out.
        first = list(islice((v for v in range(1, latest_root.version) if v not in there), _NAMED))
        gaps = latest_root.version - 1 - len(there)
        if gaps > 0:
            yield Finding(
                stored.gun,
                "note",
                "root-gap",
                f"root versions {_shown(first, gaps)} are not stored: clients that stopped there cannot follow",
            )


def _contents(stored: Stored, now_ns: int) -> Iterator[Finding]:
    for role, data in stored.files.items():
        digest = stored.latest[role].sha256
        if digest and hashlib.sha256(data).hexdigest() != digest:
            yield Finding(
                stored.gun, "broken", "digest", f"the stored digest of {role} is not that of its bytes"
            )
        try:
            version, expires = _version_and_expiry(role, data)
        except ParseError as problem:
            yield Finding(
                stored.gun,
                "owner",
                "unreadable",
                f"{role} is served as it is, but nothing can be built on it ({problem}): its owner publishes it anew",
            )
            continue
        if version != stored.latest[role].version:
            yield Finding(
                stored.gun,
                "broken",
                "version-column",
                f"{role} says that it is version {version}, and is stored as {stored.latest[role].version}",
            )
        extra = _extra_members(data)
        if extra:
            yield Finding(
                stored.gun,
                "note",
                "extra-member",
                f"{role} has members beside signed and signatures ({_shown(extra)}): it is served as it is; the old server "
                "listed such files under the digest of another spelling, which nobody stores",
            )
        if role in {SNAPSHOT, TIMESTAMP}:
            continue
        if expires < now_ns + SOON:
            when = "expired on" if expires < now_ns else "expires on"
            yield Finding(stored.gun, "owner", "expiry", f"{role} {when} {day(expires)}: its owner signs it")


def _root(stored: Stored, held: Mapping[KeyId, HeldKey] | None, now_ns: int) -> Iterator[Finding]:
    if ROOT not in stored.files:
        return
    try:
        parsed = parse_root(stored.files[ROOT])
    except ParseError:
        return
    yield from _certificates(stored.gun, parsed, now_ns)
    if held is not None:
        for role in (TIMESTAMP, SNAPSHOT):
            yield from _online_key(stored.gun, parsed.body, role, held)


def _certificates(gun: Gun, parsed: Parsed[Root], now_ns: int) -> Iterator[Finding]:
    try:
        end = certificate_end(gun, stored_root(gun, parsed))
    except BadRootError as problem:
        yield Finding(gun, "broken", "root", f"its own certificates do not verify the root: {problem}")
        return
    if end < now_ns:
        yield Finding(
            gun,
            "broken",
            "certificate",
            f"the root certificate ended on {day(end)}: clients refuse the repository; its owner publishes a root with "
            "a new certificate, signed with the old root key too, and clients remove what they have cached of it",
        )
    elif end < now_ns + CERTIFICATE_SOON:
        yield Finding(
            gun,
            "owner",
            "certificate",
            f"the root certificate ends on {day(end)}: its owner rotates the root key before (notary key rotate {shlex.quote(gun)} root)",
        )


def _online_key(gun: Gun, root: Root, role: RoleName, held: Mapping[KeyId, HeldKey]) -> Iterator[Finding]:
    if online.signers(gun, root, role, held):
        return
    listed = [computed for _, computed, _ in online.listed(root, role)]
    foreign = [key for key in listed if key in held]
    rotate = rotation(gun, role)
    if foreign:
        yield Finding(
            gun,
            "owner",
            "foreign-key",
            f"the root gives {role} a key that the signer made for {held[foreign[0]].gun} {held[foreign[0]].role}; it "
            f"signs nothing here: its owner runs {rotate}",
        )
    elif role == SNAPSHOT:
        yield Finding(
            gun, "note", "client-snapshot", "its owner holds the snapshot key, and goes on signing it"
        )
    else:
        yield Finding(
            gun,
            "broken",
            "key",
            f"the signer does not hold the {role} key that the root lists: the repository is readable until its "
            f"timestamp expires; its owner runs {rotate}",
        )


def _version_and_expiry(role: RoleName, data: bytes) -> tuple[int, int]:
    """Raises: ParseError."""
    if role == ROOT:
        body: Root | Snapshot | Timestamp | Targets = parse_root(data).body
    elif role == SNAPSHOT:
        body = parse_snapshot(data).body
    elif role == TIMESTAMP:
        body = parse_timestamp(data).body
    else:
        body = parse_targets(role, data).body
    return body.version, body.expires


def _extra_members(data: bytes) -> list[str]:
    """The names of the members beside `signed` and `signatures` of a file that could be parsed."""
    return sorted(set(msgspec.json.decode(data, type=dict[str, msgspec.Raw])) - {"signed", "signatures"})


def _shown(some: Sequence[object], count: int | None = None) -> str:
    """The first of these; `count`: how many there are, if not all are given."""
    few = ", ".join(map(str, some[:_NAMED]))
    more = (len(some) if count is None else count) - _NAMED
    return f"{few} and {more} more" if more > 0 else few


def day(moment_ns: int) -> str:
    """A moment in nanoseconds since 1970-01-01T00:00:00Z, as people read it."""
    try:
        return f"{_EPOCH + timedelta(seconds=moment_ns // SECOND):%Y-%m-%d}"
    except OverflowError:
        return "a day beyond the year 9999"
