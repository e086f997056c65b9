"""Make a new database hold exactly what the old one holds, as often as wanted, while the old server goes on.

The first run copies everything. Each later one finds by fingerprints what has changed since, which takes a second or
two; so the last run, when the old server no longer writes, is short.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from notary_common.database import Database

from .tables import CHANGES, FILES, ROWS_AT_ONCE, Fingerprint, Numbered, Row

MAX_NAMED: Final = 20
"""Rows that are named in an error or a report."""


class TargetInUse(Exception):
    """The new database holds changes that the old one does not: something was published there already."""


@dataclass(slots=True)
class Copied:
    """What a run did.

    Attributes:
        added, removed: rows, of both tables together.
        damaged: files whose digest in the old database is not that of their bytes; they were copied as they are.
    """

    added: int = 0
    removed: int = 0
    damaged: list[str] = field(default_factory=list)


class Copying:
    """One run from `source`, which is never written, to `target`, whose tables exist."""

    def __init__(self, source: Database, target: Database) -> None:
        self._source = source
        self._target = target
        self._copied = Copied()
        self._differing: dict[str, list[int]] = {}

    async def prepare(self) -> int:
        """Find out what differs; how many blocks that are.

        Raises:
            TargetInUse: to copy would undo what was published to the new server.
            DatabaseError: one of the two cannot be read.
        """
        for table in (CHANGES, FILES):
            self._differing[table.table.name] = await self._find(table)
        await self._check_unused(self._differing[CHANGES.table.name])
        return sum(map(len, self._differing.values()))

    async def run(self, progress: Callable[[int], None]) -> Copied:
        """Copy what `prepare` found.

        Args:
            progress: is told how many more blocks are done.

        Raises:
            DatabaseError: one of the two cannot be used; what was done so far stays, run it again.
        """
        # Files that are gone give their (gun, role, version) back before others come that may have the same.
        for block in self._differing[FILES.table.name]:
            await self._clear(block)
        for table in (FILES, CHANGES):
            for block in self._differing[table.table.name]:
                await self._fill(table, block)
                progress(1)
        async with self._target.transaction() as session:
            for table in (FILES, CHANGES):
                await table.go_on_after(session)
        return self._copied

    async def _find(self, table: Numbered) -> list[int]:
        source, target = await table.blocks(self._source), await table.blocks(self._target)
        nothing = Fingerprint(0, 0, 0, 0)
        blocks = sorted({*source, *target})
        return [one for one in blocks if source.get(one, nothing) != target.get(one, nothing)]

    async def _check_unused(self, blocks: list[int]) -> None:
        """Whatever changes a repository leaves a record in the changefeed, which nobody ever removes."""
        for block in blocks:
            source = await CHANGES.identities(self._source, block)
            target = await CHANGES.identities(self._target, block)
            own = [number for number, copy in target.items() if not copy.copied_from(source.get(number))]
            if own:
                named = ", ".join(sorted({target[number].gun for number in own})[:MAX_NAMED])
                raise TargetInUse(
                    f"the new database holds {len(own)} or more changes that the old one does not ({named}): it is in "
                    "use, and copying again would undo them; copy into an empty database, or go on with this one"
                )

    async def _clear(self, block: int) -> None:
        target = await FILES.identities(self._target, block)
        source = await FILES.identities(self._source, block) if target else {}
        gone = [number for number, copy in target.items() if not copy.copied_from(source.get(number))]
        if gone:
            async with self._target.transaction() as session:
                await FILES.remove(session, gone)
            self._copied.removed += len(gone)

    async def _fill(self, table: Numbered, block: int) -> None:
        there = await table.identities(self._target, block)
        missing = [one for one in await table.identities(self._source, block) if one not in there]
        missing.sort()
        for begin in range(0, len(missing), ROWS_AT_ONCE):
            rows = await table.read(self._source, missing[begin : begin + ROWS_AT_ONCE])
            if table is FILES:
                rows = [self._checked(row) for row in rows]
            async with self._target.transaction() as session:
                await table.add(session, rows)
            self._copied.added += len(rows)

    def _checked(self, row: Row) -> Row:
        """The row; with its digest, where Notary stored none: files are looked up by it."""
        digest = hashlib.sha256(row["data"]).hexdigest()
        stored = (row["sha256"] or "").strip()
        if stored and stored != digest and len(self._copied.damaged) < MAX_NAMED:
            self._copied.damaged.append(f"{row['gun']} {row['role']} version {row['version']}")
        return row if stored else {**row, "sha256": digest}
