"""PURE: what is said of repositories of both dialects in the same words: what is so, and how it is mended."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from notary_server.inspection.examine import Finding, day
from notary_server.tuf.names import RoleName

from .evidence import Evidence


def missing(evidence: Evidence, role: RoleName, *, reachable: bool) -> Finding:
    """The finding for a delegation that is listed and not stored."""
    if reachable:
        text = (
            f"the snapshot lists a {role} that is not stored: clients cannot read it until its owner publishes it "
            "again, or its row is restored from a backup"
        )
        return Finding(evidence.gun, "broken", "torn", text)
    text = f"the snapshot lists a {role} that is not stored, and nobody delegates to it: nothing need be done"
    return Finding(evidence.gun, "note", "torn-unused", text)


def broken_chain(evidence: Evidence, problem: str) -> Finding:
    """The finding for a signature, a threshold or a succession of roots that does not hold."""
    text = (
        f"{problem}: clients refuse the repository, or what hangs on that file; its owner publishes the file anew, or "
        "its row is restored from a backup"
    )
    return Finding(evidence.gun, "broken", "chain", text)


def expired(
    evidence: Evidence, ends: Iterable[tuple[RoleName, int]], renewable: set[RoleName] | None, now_ns: int
) -> Iterator[Finding]:
    """The findings for online roles that have expired; `renewable`: those that the signer's keys can sign."""
    for role, end in ends:
        if end >= now_ns:
            continue
        when = f"the {role} expired on {day(end)}"
        if renewable is None:
            text = f"{when}: whether it can be renewed only the signer can tell, which could not be asked"
            yield Finding(evidence.gun, "broken", "expired", text)
        elif role in renewable:
            text = f"{when}: the server renews it in the background, or when it is next read"
            yield Finding(evidence.gun, "note", "expired", text)
        else:
            text = f"{when}, and the signer does not hold its key: its owner publishes again, or rotates that key"
            yield Finding(evidence.gun, "broken", "expired", text)
