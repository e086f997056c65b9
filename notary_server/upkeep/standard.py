"""PURE: whether a stored TUF 1.0 repository holds: roots, listed files, signatures with their thresholds, expiry, keys."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Final

from tuf.api.exceptions import LengthOrHashMismatchError
from tuf.api.metadata import MetaFile, Root

from notary_server.inspection.examine import SOON, Finding, day, examine_rows
from notary_server.tuf.model import HeldKey
from notary_server.tuf.names import ROOT, SNAPSHOT, TARGETS, TIMESTAMP, KeyId, RoleName
from notary_server.tuf10 import freshness, online
from notary_server.tuf10.delegations import BadTargetsError, verify_tree
from notary_server.tuf10.file import BadFileError, StandardFile
from notary_server.tuf10.generate import instant
from notary_server.tuf10.verify import verify

from .evidence import Evidence
from .findings import broken_chain, expired

_BASE: Final = (ROOT, TARGETS, SNAPSHOT, TIMESTAMP)


def check_standard(
    evidence: Evidence, held: Mapping[KeyId, HeldKey] | None, now_ns: int
) -> Iterator[Finding]:
    """All findings; as `check.check`, for a repository whose latest root is TUF 1.0."""
    yield from examine_rows(evidence.stored)
    files = {role: StandardFile(role, data) for role, data in evidence.files.items()}
    if any(role not in files for role in _BASE):
        return  # What is not there is told of already.
    try:
        root = _root(evidence)
        for role in (TIMESTAMP, SNAPSHOT):
            _verify(root, files[role])
        _listed(files)
        verify_tree(root, {}, files.get, frozenset())
    except (BadTargetsError, BadFileError) as problem:
        yield broken_chain(evidence, str(problem))
        return
    yield from _versions(evidence)
    yield from _owners_expiry(evidence, files, now_ns)
    renewable = None if held is None else _renewable(evidence, root, held)
    ends = freshness.expiries(evidence.files[TIMESTAMP], evidence.files[SNAPSHOT])
    if ends is not None:
        yield from expired(evidence, zip((TIMESTAMP, SNAPSHOT), ends, strict=True), renewable, now_ns)
    for role in (TIMESTAMP, SNAPSHOT):
        if renewable is not None and role not in renewable:
            text = (
                f"the signer does not hold the {role} key that the root lists: nothing can be published or renewed; its "
                f"owner publishes a root with the key that GET /v2/{evidence.gun}/_trust/tuf/{role}.key.json gives"
            )
            yield Finding(evidence.gun, "broken", "key", text)


def _root(evidence: Evidence) -> Root:
    """The current root, once every stored one was verified by itself and by the one before.

    Raises:
        BadFileError: one cannot be trusted.
    """
    roots = [StandardFile(ROOT, data) for data in evidence.roots]
    for file in roots:
        _verify(file.root(), file)
    for before, after in pairwise(roots):
        # Across a gap nobody can tell: clients do not follow there either.
        if after.version == before.version + 1:
            _verify(before.root(), after)
    if not roots or roots[-1].data != evidence.files[ROOT]:
        raise BadFileError("the newest root is not the one that the snapshot lists")
    return roots[-1].root()


def _verify(root: Root, file: StandardFile) -> None:
    try:
        verify(root, file)
    except BadFileError as error:
        raise BadFileError(f"the {file.role} file is not valid: {error}") from None


def _listed(files: Mapping[RoleName, StandardFile]) -> None:
    """Raises: BadFileError: a file is not the one that is listed, or is missing."""
    entries: dict[str, MetaFile] = dict(files[SNAPSHOT].snapshot().meta)
    entries["snapshot.json"] = files[TIMESTAMP].timestamp().snapshot_meta
    for name, entry in entries.items():
        role = RoleName(name.removesuffix(".json"))
        file = files.get(role)
        if file is None:
            raise BadFileError(f"the snapshot lists a {role} that is not stored")
        try:
            entry.verify_length_and_hashes(file.data)
        except LengthOrHashMismatchError as error:
            raise BadFileError(f"the {role} file is not the one that is listed: {error}") from None
        if file.version != entry.version:
            raise BadFileError(
                f"the {role} file has version {file.version}, and is listed as {entry.version}"
            )


def _versions(evidence: Evidence) -> Iterator[Finding]:
    for role, data in evidence.stored.files.items():
        try:
            version = StandardFile(role, data).version
        except BadFileError:
            continue
        stored = evidence.stored.latest[role].version
        if version != stored:
            text = f"{role} says that it is version {version}, and is stored as {stored}"
            yield Finding(evidence.gun, "broken", "version-column", text)


def _owners_expiry(
    evidence: Evidence, files: Mapping[RoleName, StandardFile], now_ns: int
) -> Iterator[Finding]:
    for role, file in files.items():
        if role in {SNAPSHOT, TIMESTAMP}:
            continue
        expires = instant(file.metadata.signed.expires)
        if expires < now_ns + SOON:
            when = "expired on" if expires < now_ns else "expires on"
            yield Finding(
                evidence.gun, "owner", "expiry", f"{role} {when} {day(expires)}: its owner signs it anew"
            )


def _renewable(evidence: Evidence, root: Root, held: Mapping[KeyId, HeldKey]) -> set[RoleName]:
    return {role for role in (SNAPSHOT, TIMESTAMP) if online.signers(evidence.gun, root, role, held)}
