"""PURE: what an archive adds to what is stored of a repository, and what it must not do to it (docs/adr/0045)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from notary_server.tuf.names import ROOT, TIMESTAMP, RoleName

from .format import Entry


class Refused(Exception):
    """The archive's repository is not taken; the text says why."""


class Row(NamedTuple):
    """A stored row of the repository; `deleted`: an old server marked it, and nobody is served it."""

    id: int
    entry: Entry
    deleted: bool


Place = tuple[str, int]
"""Role and version."""


def place(entry: Entry) -> Place:
    """Where it is stored."""
    return entry.role, entry.version


def missing(entries: Iterable[Entry], rows: Sequence[Row]) -> list[Entry]:
    """Those of the archive's files that are not stored.

    Raises:
        Refused: another file is stored in the place of one.
    """
    stored = {place(row.entry): row for row in rows}
    found: list[Entry] = []
    for entry in entries:
        row = stored.get(place(entry))
        if row is None:
            found.append(entry)
        elif row.deleted:
            raise Refused(
                f"version {entry.version} of {entry.role} is stored and marked as deleted: remove that row, which no "
                "server of today makes"
            )
        elif row.entry.sha256 != entry.sha256:
            raise Refused(
                f"another {entry.role} of version {entry.version} is stored (SHA-256 {row.entry.sha256}, the archive has "
                f"{entry.sha256}): the two have parted, and only their owner can say which one counts"
            )
    return found


def check_roots(stored: Collection[int], added: Collection[int]) -> None:
    """Whether each new root hangs on a stored one by a row of successors without a gap: nobody else's root may come in.

    Raises:
        Refused: one does not.
    """
    every = {*stored, *added}
    for version in added if stored else ():
        below = max((one for one in stored if one < version), default=None)
        above = min((one for one in stored if one > version), default=None)
        # One after the other: the first gap ends it, however far it is to the next version.
        linked = (below is not None and all(one in every for one in range(below, version))) or (
            above is not None and all(one in every for one in range(version, above))
        )
        if not linked:
            raise Refused(
                f"root version {version} does not follow from a root that is stored: versions between are missing from "
                "the archive too, so nobody can tell whether the same owner signed it"
            )


def check_direction(
    stored: Collection[Entry], added: Collection[Entry], current: Mapping[RoleName, str]
) -> None:
    """Whether the newer of the two timestamps leads to the newest of every role: else clients would be taken back, or
    what one of the two knows would be lost.

    Args:
        current: the digests of what clients get afterwards, by role.

    Raises:
        Refused: it does not.
    """
    head, new_head = _newest(stored, TIMESTAMP), _newest(added, TIMESTAMP)
    if not stored:
        return
    forward = new_head > head
    listed = {
        entry.role: entry.version
        for entry in (*stored, *added)
        if current.get(RoleName(entry.role)) == entry.sha256
    }
    whose, other = ("archive", "stored") if forward else ("stored repository", "in the archive")
    for entry in stored if forward else added:
        if entry.role != ROOT and entry.version > listed.get(entry.role, 0):
            raise Refused(
                f"version {entry.version} of {entry.role} is {other}, and the newest timestamp, which is of the {whose}, "
                f"leads to {_version(listed.get(entry.role))}: one does not follow from the other"
            )


def _newest(entries: Iterable[Entry], role: str) -> int:
    return max((entry.version for entry in entries if entry.role == role), default=0)


def _version(number: int | None) -> str:
    return "none" if number is None else f"version {number}"
