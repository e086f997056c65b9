"""PURE: everything that is wrong with one stored repository, as its clients and its owner would meet it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from notary_server.inspection import chain
from notary_server.inspection.examine import Finding, by_weight, examine
from notary_server.tuf import online
from notary_server.tuf.generate import describe, matches
from notary_server.tuf.model import HeldKey, Root
from notary_server.tuf.names import ROOT, SNAPSHOT, TARGETS, TIMESTAMP, KeyId, RoleName
from notary_server.tuf.parse import ParseError, parse_root, parse_snapshot, parse_targets, parse_timestamp
from notary_server.tuf10.names import is_standard

from .evidence import Evidence
from .findings import broken_chain, expired, missing
from .standard import check_standard

_WHOLE = frozenset({ROOT, TARGETS, SNAPSHOT, TIMESTAMP})


def check(evidence: Evidence, held: Mapping[KeyId, HeldKey] | None, now_ns: int) -> list[Finding]:
    """All findings, what is broken first.

    Args:
        held: the signer's answer about the keys that the root lists; None if it could not be asked.
        now_ns: nanoseconds since 1970-01-01T00:00:00Z.
    """
    if is_standard(evidence.stored.files.get(ROOT)):
        return by_weight(check_standard(evidence, held, now_ns))
    return by_weight(
        [
            *examine(evidence.stored, held, now_ns),
            *_missing(evidence),
            *_lengths(evidence),
            *_chain(evidence),
            *_expired(evidence, held, now_ns),
        ]
    )


def _missing(evidence: Evidence) -> Iterator[Finding]:
    """Delegations that the snapshot lists and nobody stores; of root and targets `examine` tells."""
    delegated = _delegated(evidence.files)
    for role in evidence.missing:
        if role not in _WHOLE:
            yield missing(evidence, role, reachable=role in delegated)


def _delegated(files: Mapping[RoleName, bytes]) -> set[str]:
    found: set[str] = set()
    for role, data in files.items():
        if role in {ROOT, SNAPSHOT, TIMESTAMP}:
            continue
        try:
            found |= {one.name for one in parse_targets(role, data).body.roles}
        except ParseError:
            continue
    return found


def _lengths(evidence: Evidence) -> Iterator[Finding]:
    """Files that are stored under the SHA-256 that is listed, and yet are not what is listed."""
    try:
        listed = {
            TIMESTAMP: parse_timestamp(evidence.files[TIMESTAMP]).body.meta,
            SNAPSHOT: parse_snapshot(evidence.files[SNAPSHOT]).body.meta,
        }
    except (KeyError, ParseError):
        return
    for lister, entries in listed.items():
        for name, entry in entries.items():
            data = evidence.files.get(RoleName(name))
            if data is not None and not matches(entry, describe(data)):
                yield Finding(
                    evidence.gun,
                    "broken",
                    "listed-otherwise",
                    f"the {lister} lists {name} with another length or hash than it has: clients refuse it until its "
                    "owner publishes again",
                )


def _chain(evidence: Evidence) -> Iterator[Finding]:
    files = evidence.files
    if evidence.missing or not evidence.roots or not files.keys() >= _WHOLE:
        return  # What is not there is told of already.
    listed = {role: data for role, data in files.items() if role not in {SNAPSHOT, TIMESTAMP}}
    try:
        chain.verified(evidence.gun, evidence.roots, files[TIMESTAMP], files[SNAPSHOT], listed)
    except chain.BrokenChain as problem:
        yield broken_chain(evidence, str(problem))


def _expired(evidence: Evidence, held: Mapping[KeyId, HeldKey] | None, now_ns: int) -> Iterator[Finding]:
    """Timestamps and snapshots: the server renews them, if it can."""
    try:
        root = parse_root(evidence.files[ROOT]).body
        ends = (
            (SNAPSHOT, parse_snapshot(evidence.files[SNAPSHOT]).body.expires),
            (TIMESTAMP, parse_timestamp(evidence.files[TIMESTAMP]).body.expires),
        )
    except (KeyError, ParseError):
        return
    yield from expired(evidence, ends, None if held is None else _renewable(evidence, root, held), now_ns)


def _renewable(evidence: Evidence, root: Root, held: Mapping[KeyId, HeldKey]) -> set[RoleName]:
    return {role for role in (SNAPSHOT, TIMESTAMP) if online.signers(evidence.gun, root, role, held)}
