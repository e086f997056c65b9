"""The two places of a chain: a file written by a thread of its own, and rows of the registry's database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import sqlalchemy as sa

from notary_common.database import Database, DatabaseError, Query, Session

from .chain import StoreFailed
from .files import AuditFile
from .record import START, Head, NotARecord, Record, parse

PAGE: Final = 1000
"""Rows that are read at a time."""

audit_table: Final = sa.Table(
    "notary_signer_audit",
    sa.MetaData(),
    sa.Column("writer", sa.String(128), primary_key=True),
    sa.Column("sequence", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("record", sa.Text, nullable=False),
)
"""One row for each record. The primary key is what keeps two processes from writing one chain."""

_ROWS: Final = audit_table.c
_ADD: Final = Query(lambda _: audit_table.insert())
_LAST: Final = Query(
    lambda _: (
        sa.select(_ROWS.sequence, _ROWS.record)
        .where(_ROWS.writer == sa.bindparam("writer"))
        .order_by(_ROWS.sequence.desc())
        .limit(1)
    )
)
_PAGE: Final = Query(
    lambda _: (
        sa.select(_ROWS.sequence, _ROWS.record)
        .where(_ROWS.writer == sa.bindparam("writer"), _ROWS.sequence > sa.bindparam("after"))
        .order_by(_ROWS.sequence)
        .limit(PAGE)
    )
)
_WRITERS: Final = Query(
    lambda _: sa.select(_ROWS.writer, sa.func.count()).group_by(_ROWS.writer).order_by(_ROWS.writer)
)


class FileStore:
    """Implements `chain.Store` over an open file: its blocking calls are made one after the other in one thread."""

    def __init__(self, file: AuditFile) -> None:
        self._file = file
        self._thread = ThreadPoolExecutor(1, "audit")

    async def write(self, records: Sequence[Record]) -> None:
        """See `Store.write`."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._file.write, records)

    async def recover(self, head: Head) -> Head:
        """See `Store.recover`."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._file.recover)
        return head

    async def close(self) -> None:
        """See `Store.close`."""
        # What hangs in the thread must not keep the signer from ending.
        self._thread.shutdown(wait=False, cancel_futures=True)
        self._file.close()


class RowStore:
    """Implements `chain.Store` over the registry's database. Whoever opened that closes it."""

    def __init__(self, database: Database, writer: str) -> None:
        self._database = database
        self._writer = writer
        self._unsure: frozenset[str] = frozenset()

    async def write(self, records: Sequence[Record]) -> None:
        """See `Store.write`."""
        self._unsure = frozenset(record.head.hash for record in records)
        try:
            async with self._database.transaction() as session:
                await self.add_in(session, records)
        except DatabaseError as error:
            raise StoreFailed(str(error)) from None

    async def add_in(self, session: Session, records: Sequence[Record]) -> None:
        """Append within a transaction of the caller's."""
        rows = [
            {"writer": self._writer, "sequence": record.head.sequence, "record": record.line.decode("ascii")}
            for record in records
        ]
        await session.run_each(_ADD, rows)

    async def recover(self, head: Head) -> Head:
        """See `Store.recover`. A commit whose answer was lost may have happened."""
        last = await self.last()
        if last == head or last.sequence < head.sequence:
            return head  # Rows that were taken away are found by the check of the chain.
        if last.hash in self._unsure:
            return last
        raise StoreFailed(
            f"another process writes the chain of {self._writer!r}; give each signer process an audit.writer of its own"
        )

    async def close(self) -> None:
        """See `Store.close`."""

    async def last(self) -> Head:
        """The end of the chain.

        Raises:
            StoreFailed: the database cannot be asked, or the last row is no record of this chain.
        """
        try:
            async with self._database.statement() as session:
                return await self.last_in(session)
        except DatabaseError as error:
            raise StoreFailed(str(error)) from None

    async def last_in(self, session: Session) -> Head:
        """The same within a transaction of the caller's."""
        rows = await session.rows(_LAST, writer=self._writer)
        if not rows:
            return START
        sequence, text = rows[0]
        try:
            entry, head = parse(str(text).encode())
        except NotARecord as problem:
            raise StoreFailed(f"the last record of {self._writer!r} in the database {problem}") from None
        if (entry.writer, entry.sequence) != (self._writer, sequence):
            raise StoreFailed(f"the last record of {self._writer!r} in the database is that of another row")
        return head


async def writers(database: Database) -> dict[str, int]:
    """Who wrote into the database, and how many records each.

    Raises:
        DatabaseError: it cannot be asked.
    """
    async with database.statement() as session:
        return {str(writer): int(count) for writer, count in await session.rows(_WRITERS)}


async def rows_of(database: Database, writer: str) -> AsyncIterator[tuple[int, bytes]]:
    """The rows of one chain in their order: sequence number and line.

    Raises:
        DatabaseError: the database cannot be asked.
    """
    after = -1
    while True:
        async with database.statement() as session:
            rows = await session.rows(_PAGE, writer=writer, after=after)
        for sequence, text in rows:
            yield int(sequence), str(text).encode()
        if len(rows) < PAGE:
            return
        after = int(rows[-1][0])
