"""Where the ends of all chains are noted, in the registry's database and in the log, so that a cut-off end shows.

A chain proves that nothing is missing between its records, not that its last ones are there. So its end is noted every
minute in another place; only what was written since the last note could vanish unseen.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Final, Protocol

import sqlalchemy as sa

from notary_common.database import Database, DatabaseConflict, DatabaseError, Query
from notary_common.log import get_logger

from .record import Head

NOTE_EVERY: Final = 60.0
"""Seconds between two notes of one chain's end, if it has grown: one small write a minute."""

heads_table: Final = sa.Table(
    "notary_signer_audit_heads",
    sa.MetaData(),
    sa.Column("writer", sa.String(128), primary_key=True),
    sa.Column("sequence", sa.BigInteger, nullable=False),
    sa.Column("hash", sa.String(64), nullable=False),
    sa.Column("noted_at", sa.DateTime),
)

_HEADS: Final = heads_table.c
_ALL: Final = Query(lambda _: sa.select(_HEADS.writer, _HEADS.sequence, _HEADS.hash))
_ADD: Final = Query(lambda _: heads_table.insert())
_MOVE: Final = Query(
    lambda _: (
        heads_table.update()
        .where(_HEADS.writer == sa.bindparam("who"), _HEADS.sequence < sa.bindparam("to"))
        .values(
            sequence=sa.bindparam("to"),
            hash=sa.bindparam("new_hash"),
            noted_at=sa.bindparam("now", type_=sa.DateTime()),
        )
    )
)

_log = get_logger("notary.signer.audit")


async def noted_heads(database: Database) -> dict[str, Head]:
    """The end of every chain as it was last noted, by writer.

    Raises:
        DatabaseError: the database cannot be asked.
    """
    async with database.statement() as session:
        rows = await session.rows(_ALL)
    return {str(writer): Head(int(sequence), str(digest)) for writer, sequence, digest in rows}


async def note_head(database: Database, writer: str, head: Head) -> None:
    """Note the end of a chain; a note never goes back.

    Raises:
        DatabaseError: the database cannot be written.
    """
    now = datetime.now(UTC).replace(tzinfo=None)
    async with database.statement() as session:
        if await session.run(_MOVE, who=writer, to=head.sequence, new_hash=head.hash, now=now):
            return
    try:
        async with database.statement() as session:
            await session.run(_ADD, writer=writer, sequence=head.sequence, hash=head.hash, noted_at=now)
    except DatabaseConflict:
        return  # It is there and not below.


class Chain(Protocol):
    """What has a writer and an end."""

    @property
    def writer(self) -> str:
        """Whose chain it is."""

    @property
    def head(self) -> Head:
        """The end of what is durable."""


class HeadKeeper:
    """Notes the end of one chain as it grows."""

    def __init__(self, log: Chain, database: Database) -> None:
        self._chain = log
        self._database = database
        self._noted = 0
        self._said = 0

    async def run(self, every: float = NOTE_EVERY) -> None:
        """Note it again and again until cancelled."""
        while True:
            await self.note()
            await asyncio.sleep(every)

    async def note(self) -> None:
        """Note it now if it has grown. A database that is away is no reason to stop: the next time will do."""
        head = self._chain.head
        if head.sequence > self._said:
            _log.info("audit head", writer=self._chain.writer, sequence=head.sequence, hash=head.hash)
            self._said = head.sequence
        if head.sequence <= self._noted:
            return
        try:
            await note_head(self._database, self._chain.writer, head)
        except DatabaseError as error:
            _log.warning(
                "the end of the audit log could not be noted in the database",
                writer=self._chain.writer,
                cause=str(error),
            )
            return
        self._noted = head.sequence
