"""Chains of audit records to be bent, and a store that can be told to fail."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

from notary_signer.audit.chain import StoreFailed
from notary_signer.audit.record import START, Head, Record, link
from notary_signer.ports import AuditEvent

WRITER = "signer1/:7899"
MOMENT = datetime(2030, 1, 2, 3, 4, 5, 678901, UTC)


def event(number: int = 1) -> AuditEvent:
    """A signature's."""
    return AuditEvent(
        "cn:trust-server", "sign", "done", f"request-{number}", gun="docker.io/library/ümlaut", role="timestamp",
        key_id="a" * 64, version=number, payload_sha256="b" * 64,
    )  # fmt: skip


def chain(length: int, *, after: Head = START, writer: str = WRITER) -> list[Record]:
    """So many records that follow each other."""
    records: list[Record] = []
    for number in range(1, length + 1):
        record = link(writer, after, event(number), MOMENT)
        records.append(record)
        after = record.head
    return records


class MemoryStore:
    """Implements `chain.Store` in memory.

    Attributes:
        batches: what was written, write by write.
        failing: why writes fail, or None.
        hold: writes wait until it is set.
    """

    def __init__(self) -> None:
        self.batches: list[list[Record]] = []
        self.failing: str | None = None
        self.recoveries = 0
        self.hold = asyncio.Event()
        self.hold.set()

    @property
    def lines(self) -> list[bytes]:
        """All lines that are durable."""
        return [record.line for batch in self.batches for record in batch]

    async def write(self, records: Sequence[Record]) -> None:
        """See `Store.write`."""
        await self.hold.wait()
        if self.failing is not None:
            raise StoreFailed(self.failing)
        self.batches.append(list(records))

    async def recover(self, head: Head) -> Head:
        """See `Store.recover`."""
        self.recoveries += 1
        if self.failing is not None:
            raise StoreFailed(self.failing)
        return head

    async def close(self) -> None:
        """See `Store.close`."""
