"""The chain of the commands, into which several of them may write at the same time, each record in a turn of its own.

A command writes a few records, or some thousands over hours; holding the chain all the while would keep every other
command out. So each record is a turn: lock, look at the end, append, unlock.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from notary_common.database import Database, DatabaseError
from notary_common.log import get_logger
from notary_signer.errors import AuditUnavailable, StartRefused
from notary_signer.ports import AuditEvent

from .chain import StoreFailed
from .files import AuditFile, torn_event
from .record import Head, Record, link, resume
from .stores import RowStore

TURN_WAIT: Final = 10.0
"""Seconds to wait for another command's turn, which takes milliseconds."""
TAIL_BYTES: Final = 1 << 16
"""How much of the end is looked at in each turn: a hundred records, in a millisecond."""

_log = get_logger("notary.signer")


class SharedFile:
    """Implements `ports.AuditLog` over a file.

    Attributes:
        writer: whose chain it is.
        head: its end as this process knows it.
    """

    def __init__(self, path: Path, writer: str, noted: Head | None, *, max_bytes: int) -> None:
        """`noted`: the end of the chain as it was noted elsewhere, if at all."""
        self.writer = writer
        self._path = path
        self._max_bytes = max_bytes
        self.head = self._open_and_close()
        self._noted = noted

    async def append(self, event: AuditEvent) -> None:
        """See `AuditLog.append`."""
        try:
            self.head = await asyncio.to_thread(self._append, event)
        except (StartRefused, StoreFailed) as error:
            raise _unavailable(error) from None

    async def ping(self) -> None:
        """See `AuditLog.ping`."""
        try:
            await asyncio.to_thread(self._open_and_close)
        except StartRefused as error:
            raise _unavailable(error) from None

    def _open(self) -> AuditFile:
        return AuditFile(
            self._path, self.writer, max_bytes=self._max_bytes, wait=TURN_WAIT, tail_bytes=TAIL_BYTES
        )

    def _open_and_close(self) -> Head:
        file = self._open()
        file.close()
        return file.head

    def _append(self, event: AuditEvent) -> Head:
        file = self._open()
        try:
            records = _linked(self.writer, file.head, self._noted, [*torn_event(file), event])
            file.write(records)
        finally:
            file.close()
        return records[-1].head


class SharedRows:
    """Implements `ports.AuditLog` over the registry's database; attributes as of `SharedFile`."""

    def __init__(self, database: Database, writer: str, noted: Head | None, found: Head) -> None:
        """`noted`: as of `SharedFile`; `found`: the end that is there now."""
        self.writer = writer
        self.head = found
        self._database = database
        self._rows = RowStore(database, writer)
        self._noted = noted

    async def append(self, event: AuditEvent) -> None:
        """See `AuditLog.append`."""
        try:
            async with self._database.transaction(f"notary-signer audit {self.writer}") as session:
                found = await self._rows.last_in(session)
                records = _linked(self.writer, found, self._noted, [event])
                await self._rows.add_in(session, records)
        except (DatabaseError, StoreFailed) as error:
            raise _unavailable(error) from None
        self.head = records[-1].head

    async def ping(self) -> None:
        """See `AuditLog.ping`."""
        try:
            await self._rows.last()
        except StoreFailed as error:
            raise _unavailable(error) from None


def _linked(writer: str, found: Head, noted: Head | None, events: Sequence[AuditEvent]) -> list[Record]:
    head, differs = resume(found, noted)
    records: list[Record] = []
    for event in (*([] if differs is None else [differs]), *events):
        record = link(writer, head, event, datetime.now(UTC))
        head = record.head
        records.append(record)
    return records


def _unavailable(error: Exception) -> AuditUnavailable:
    _log.error("the audit log cannot be written", cause=str(error))
    return AuditUnavailable("the audit log cannot be written; nothing was done without its record")
