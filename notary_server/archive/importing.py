"""`repo import`: first the whole archive is read, then each repository is verified as it will be, and stored at once."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from notary_common.database import Database, DatabaseConflict, DatabaseTarget
from notary_common.progress import progress_bar
from notary_server.app import open_context
from notary_server.config import ServerConfig
from notary_server.errors import HeadMoved, SignerRefused, SignerUnavailable
from notary_server.inspection.whole import opened
from notary_server.operations.context import Context
from notary_server.ports import KeyChange
from notary_server.storage import retirements
from notary_server.storage.statements import gun_turn, is_storable
from notary_server.tuf.instant import SECOND
from notary_server.tuf.model import HeldKey
from notary_server.tuf.names import ROOT, TIMESTAMP, Gun, KeyId
from notary_server.tuf10.publish import listed_keys

from .evidence import evidence, faults
from .format import BadArchive, Entry
from .history import checker
from .imported import Imported, Outcome, Taken
from .keys import lacking
from .merge import Refused, Row, check_direction, check_roots, missing, place
from .reading import Archive, Member, Place
from .rows import BYTES_AT_ONCE, add, read_data, read_rows, tell

ATTEMPTS: Final = 3
"""How often a repository is looked at that somebody publishes to at that moment."""
ASKED_AT_ONCE: Final = 50
"""Repositories whose keys the signer is asked about together."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is to be stored of a repository that looked like this.

    Attributes:
        stored: all its rows.
        added: the files that are missing, of the archive.
        root: the newest root afterwards.
        timestamp: the newest timestamp afterwards, if that is a new one.
        keys: what a new newest root does to the server's keys.
    """

    stored: frozenset[Row]
    added: Sequence[Member]
    root: bytes
    timestamp: Entry | None
    keys: KeyChange | None


async def import_archive(
    config: ServerConfig, target: DatabaseTarget, path: Path, *, dry_run: bool
) -> Imported:
    """Store what is missing of the repositories in an archive.

    Raises:
        BadArchive: the file is none, or damaged; nothing is stored unless it was changed meanwhile.
        OSError: it cannot be opened.
        DatabaseError, TlsError: something cannot be opened or read; what was done so far stays, run it again.
    """
    with path.open("rb") as file:
        if not file.seekable():
            raise BadArchive("it cannot be read twice: write it to a file first")
        archive = Archive(file, config.limits.max_file_bytes)
        with progress_bar("reading", file.seek(0, os.SEEK_END)) as progress:
            places = archive.places(progress)
        async with open_context(config) as context, opened(target) as database:
            with progress_bar("importing", len(places)) as progress:
                return await take_in(archive, places, database, context, progress, dry_run=dry_run)


async def take_in(
    archive: Archive,
    places: Sequence[Place],
    database: Database,
    context: Context,
    progress: Callable[[int], None],
    *,
    dry_run: bool,
) -> Imported:
    """Store what is missing of these repositories, which `Archive.places` found.

    Args:
        progress: is told how many more repositories are done.

    Raises:
        BadArchive: the archive was changed meanwhile; what was done so far stays.
        DatabaseError: the database cannot be read or written; likewise.
    """
    importing = _Importing(archive, database, context, Imported(dry_run))
    for begin in range(0, len(places), ASKED_AT_ONCE):
        some = places[begin : begin + ASKED_AT_ONCE]
        await importing.take(some)
        progress(len(some))
    return importing.result


class _Importing:
    """One run, and what it did so far."""

    def __init__(self, archive: Archive, database: Database, context: Context, result: Imported) -> None:
        self._archive = archive
        self._database = database
        self._context = context
        self.result = result

    async def take(self, places: Sequence[Place]) -> None:
        """Take these repositories, and ask the signer for their keys."""
        roots: dict[Gun, bytes] = {}
        for one in places:
            try:
                plan = await self._take(Gun(one.gun), {m.entry: m for m in self._archive.members(one)})
            except Refused as refusal:
                self.result.repositories.append(Taken(one.gun, "refused", reason=str(refusal)))
                continue
            roots[Gun(one.gun)] = plan.root
            size = sum(member.entry.length for member in plan.added)
            outcome: Outcome = "imported" if plan.added else "current"
            self.result.repositories.append(Taken(one.gun, outcome, len(plan.added), size))
        held = await self._held(roots)
        if held is not None:
            for gun, root in roots.items():
                found = lacking(gun, root, held)
                if found:
                    self.result.lacking[gun] = found

    async def _take(self, gun: Gun, members: Mapping[Entry, Member]) -> _Plan:
        """Raises: Refused."""
        if not is_storable(self._database.dialect, gun):
            raise Refused("the database cannot hold its name")
        for _ in range(ATTEMPTS):
            plan = await self._plan(gun, members)
            if self.result.dry_run or not plan.added:
                return plan
            try:
                await self._store(gun, plan)
            except (HeadMoved, DatabaseConflict):
                continue
            return plan
        raise Refused("others publish to it without a pause: run the import again")

    async def _plan(self, gun: Gun, members: Mapping[Entry, Member]) -> _Plan:
        """Verify what the repository will be. Raises: Refused."""
        async with self._database.statement() as session:
            rows = await read_rows(session, gun)
        added = [members[entry] for entry in missing(members, rows)]
        new = {member.entry: member for member in added}
        stored = {row.entry: row for row in rows if not row.deleted}

        async def read(entries: Collection[Entry]) -> Mapping[Entry, bytes]:
            found = {entry: self._archive.data(new[entry]) for entry in entries if entry in new}
            ids = {stored[entry].id: entry for entry in entries if entry not in new}
            if ids:
                async with self._database.statement() as session:
                    data = await read_data(session, ids)
                if data.keys() != ids.keys():
                    raise Refused("it is being deleted or pruned at this moment: run the import again")
                found |= {ids[number]: one for number, one in data.items()}
            return found

        check_roots(_versions(stored), _versions(new))
        result = await evidence(gun, [*stored, *new], read)
        found = faults(result, time.time_ns())
        if found:
            raise Refused(found[0])
        check_direction(stored, new, result.stored.current)
        verify = checker(gun, result.roots)
        for member in added:
            verify(member.entry, self._archive.data(member))
        before = await read([max(_of(ROOT, stored), key=place)]) if _of(ROOT, stored) else {}
        root = result.files[ROOT]
        head = max(_of(TIMESTAMP, [*stored, *new]), key=place)
        return _Plan(
            stored=frozenset(rows),
            added=added,
            root=root,
            timestamp=head if head in new else None,
            keys=self._key_change(next(iter(before.values()), None), root),
        )

    def _key_change(self, before: bytes | None, root: bytes) -> KeyChange | None:
        """As a publish of the new root would have it."""
        if before == root:
            return None
        listed = listed_keys(root)
        dropped = frozenset() if before is None else listed_keys(before) - listed
        now_ns = self._context.clock.now_ns()
        return KeyChange(listed, dropped, now_ns, now_ns + self._context.key_grace * SECOND)

    async def _store(self, gun: Gun, plan: _Plan) -> None:
        """Store it if the repository is still as it was.

        Raises:
            HeadMoved, DatabaseConflict: it is not; nothing was stored.
        """
        async with self._database.transaction(turn=gun_turn(gun)) as session:
            if frozenset(await read_rows(session, gun)) != plan.stored:
                raise HeadMoved("somebody published to it")
            some: dict[Entry, bytes] = {}
            size = 0
            for member in plan.added:
                some[member.entry] = self._archive.data(member)
                size += member.entry.length
                if size > BYTES_AT_ONCE:
                    await add(session, gun, some)
                    some, size = {}, 0
            await add(session, gun, some)
            if plan.keys is not None:
                await retirements.keep(session, gun, plan.keys)
            if plan.timestamp is not None:
                await tell(session, gun, plan.timestamp)

    async def _held(self, roots: Mapping[Gun, bytes]) -> Mapping[KeyId, HeldKey] | None:
        """The signer's answer; after the first failure it is not asked again."""
        if self.result.unasked is not None:
            return None
        wanted = frozenset().union(*map(listed_keys, roots.values()))
        try:
            return await self._context.signer.describe_keys(wanted) if wanted else {}
        except (SignerUnavailable, SignerRefused) as error:
            self.result.unasked = error.message
            return None


def _of(role: str, entries: Collection[Entry]) -> list[Entry]:
    return [entry for entry in entries if entry.role == role]


def _versions(entries: Collection[Entry]) -> set[int]:
    """Of their roots."""
    return {entry.version for entry in _of(ROOT, entries)}
