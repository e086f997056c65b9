"""PURE: which old versions nobody can still be led to (docs/adr/0046)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from notary_server.inspection.holdings import Indexed
from notary_server.tuf.names import ROOT, SNAPSHOT, TIMESTAMP, RoleName, Sha256Hex

Lists = Mapping[int, Mapping[RoleName, Sha256Hex]]
"""What timestamps and snapshots list, by the ID of their row."""


def recent(rows: Iterable[Indexed], old: Collection[int]) -> list[Indexed]:
    """The rows that were the latest of their role at some moment of the grace period.

    Of each role these are the newest that is older than the period, which was the latest when it began, and all above.

    Args:
        rows: of one repository.
        old: the IDs of those that were stored before the grace period began.
    """
    rows = list(rows)
    base: dict[str, int] = {}
    for row in rows:
        if row.id in old:
            base[row.role] = max(base.get(row.role, 0), row.version)
    return [row for row in rows if row.version >= base.get(row.role, 0)]


def superfluous(rows: Sequence[Indexed], old: Collection[int], lists: Lists) -> list[Indexed]:
    """The rows to be deleted: all but roots, recent rows, and what a recent timestamp or snapshot leads to.

    A row without a digest stays: nobody can say what lists it.

    Args:
        rows, old: as `recent`.
        lists: of every row that `first_look` and `second_look` name.
    """
    kept = {row.id for row in recent(rows, old)}
    kept |= {row.id for row in rows if row.role == ROOT or not row.sha256}
    by_digest: dict[tuple[str, str], list[Indexed]] = {}
    for row in rows:
        by_digest.setdefault((row.role, row.sha256), []).append(row)
    waiting = [row for row in rows if row.id in kept and row.role in {TIMESTAMP, SNAPSHOT}]
    while waiting:
        for role, digest in lists.get(waiting.pop().id, {}).items():
            found = [row for row in by_digest.get((role, digest), ()) if row.id not in kept]
            kept |= {row.id for row in found}
            waiting += [row for row in found if row.role == SNAPSHOT]
    return [row for row in rows if row.id not in kept]


def first_look(rows: Sequence[Indexed], old: Collection[int]) -> list[Indexed]:
    """The rows whose bytes must be read first: recent timestamps and snapshots."""
    return [row for row in recent(rows, old) if row.role in {TIMESTAMP, SNAPSHOT}]


def second_look(rows: Sequence[Indexed], lists: Lists) -> list[Indexed]:
    """The snapshots that these timestamps list and that were not read yet."""
    digests = {listed[SNAPSHOT] for listed in lists.values() if SNAPSHOT in listed}
    return [row for row in rows if row.role == SNAPSHOT and row.sha256 in digests and row.id not in lists]


def torn(rows: Sequence[Indexed], lists: Lists) -> bool:
    """Whether the latest timestamp does not lead to files that are all stored: then nothing is to be deleted."""
    stored = {(row.role, row.sha256): row.id for row in rows}
    timestamp = max((row for row in rows if row.role == TIMESTAMP), key=lambda row: row.version, default=None)
    if timestamp is None or ROOT not in {row.role for row in rows}:
        return True
    snapshot = stored.get((SNAPSHOT, lists.get(timestamp.id, {}).get(SNAPSHOT, "")))
    if snapshot is None:
        return True
    listed = lists.get(snapshot, {})
    return not listed or any((role, digest) not in stored for role, digest in listed.items())
