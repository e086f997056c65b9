"""PURE: a repository as a client gets it, put together and verified link by link."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from itertools import pairwise

from notary_server.tuf import verify
from notary_server.tuf.certificates import BadRootError, check_succession, stored_root
from notary_server.tuf.delegations import BadTargetsError, verify_uploaded
from notary_server.tuf.document import Document
from notary_server.tuf.generate import new_file
from notary_server.tuf.model import FileMeta, NewFile, Parsed, Root, Snapshot, Targets, Timestamp, Trusted
from notary_server.tuf.names import (
    ROOT,
    SNAPSHOT,
    TARGETS,
    TIMESTAMP,
    Gun,
    RoleName,
    depth_order,
    is_role,
    parent,
)
from notary_server.tuf.parse import ParseError, parse_root, parse_snapshot, parse_timestamp


class BrokenChain(Exception):
    """The files do not belong together, or are not signed as root says; the text says which and why."""


def listed_snapshot(timestamp: bytes) -> str:
    """The digest of the snapshot that a timestamp lists.

    Raises:
        BrokenChain: it cannot be read.
    """
    try:
        return _digest(parse_timestamp(timestamp).body.meta[SNAPSHOT])
    except ParseError as problem:
        raise BrokenChain(f"the timestamp cannot be read: {problem}") from None


def listed_files(snapshot: bytes) -> dict[RoleName, str]:
    """The digests of the files that a snapshot lists, by role.

    Raises:
        BrokenChain: it cannot be read, or lists what is no role.
    """
    try:
        meta = parse_snapshot(snapshot).body.meta
    except ParseError as problem:
        raise BrokenChain(f"the snapshot cannot be read: {problem}") from None
    strange = next((name for name in meta if not is_role(name)), None)
    if strange is not None:
        raise BrokenChain(f"the snapshot lists {strange!r}, which is no role")
    return {RoleName(name): _digest(entry) for name, entry in meta.items()}


def verified(
    gun: Gun, roots: Sequence[bytes], timestamp: bytes, snapshot: bytes, files: Mapping[RoleName, bytes]
) -> list[NewFile]:
    """All files as they are stored, root first, once everything was verified. Dates are not looked at.

    Args:
        roots: every version, the current one last; each signed by its own certificates and by those before.
        files: what the snapshot lists, `root` and `targets` among them.

    Raises:
        BrokenChain: a digest or a signature is wrong, or a file cannot be read.
    """
    try:
        trusted = [stored_root(gun, parse_root(data)) for data in roots]
        for before, after in pairwise(trusted):
            # Across a gap nobody can tell: clients do not follow there either.
            if after.body.version == before.body.version + 1:
                check_succession(gun, after.parsed, before)
        if not trusted or files.get(ROOT) != roots[-1]:
            raise BrokenChain("the newest root is not the one that the snapshot lists")
        root = trusted[-1].body
        snapshot_file = verify.trust(parse_snapshot(snapshot), root.keys, *_signers(root, SNAPSHOT))
        timestamp_file = verify.trust(parse_timestamp(timestamp), root.keys, *_signers(root, TIMESTAMP))
        _check(SNAPSHOT, snapshot, listed_snapshot(timestamp))
        for role, digest in listed_files(snapshot).items():
            _check(role, files.get(role, b""), digest)
        targets = _targets(root, {role: Document(role, data) for role, data in files.items() if role != ROOT})
    except (ParseError, BadRootError, BadTargetsError, verify.BadSignaturesError) as problem:
        raise BrokenChain(str(problem)) from None
    every: list[Trusted[Root] | Parsed[Targets] | Trusted[Snapshot] | Trusted[Timestamp]]
    every = [*trusted, *targets, snapshot_file, timestamp_file]
    parsed = [one.parsed if isinstance(one, Trusted) else one for one in every]
    return [new_file(one.role, one.body.version, one.data) for one in parsed]


def _targets(root: Root, files: Mapping[RoleName, Document]) -> list[Parsed[Targets]]:
    """Targets and delegations from the top down. A snapshot goes on listing delegations that were removed: nobody is
    led to those, and they are only read.

    Raises:
        BadTargetsError, ParseError: one cannot be trusted, or read.
    """
    delegated: dict[RoleName, Document] = {}
    found: dict[RoleName, Parsed[Targets]] = {}
    for role in sorted(files, key=depth_order):
        found[role] = files[role].targets()
        above = found.get(parent(role)) if role != TARGETS else None
        if role == TARGETS or (
            parent(role) in delegated and above and any(one.name == role for one in above.body.roles)
        ):
            delegated[role] = files[role]
    verify_uploaded(root, delegated, {}, now_ns=0)
    return list(found.values())


def _check(role: RoleName, data: bytes, digest: str) -> None:
    if hashlib.sha256(data).hexdigest() != digest:
        raise BrokenChain(f"the {role} that was sent is not the one that is listed")


def _signers(root: Root, role: RoleName) -> tuple[Sequence[str], int]:
    return root.roles[role].keyids, root.roles[role].threshold


def _digest(entry: FileMeta) -> str:
    return entry.hashes.get("sha256", b"").hex()
