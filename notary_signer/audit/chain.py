"""An audit log over any store: numbers and chains the records, and makes many that wait durable at once.

Records that arrive while a write is on its way go together into the next one, so that the cost of making them durable
(an fsync, a commit) is shared. Nothing is given out before its record is durable: `append` returns only then.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Protocol

from notary_common.log import get_logger
from notary_signer.errors import AuditUnavailable
from notary_signer.ports import AuditEvent

from .record import SIGNER, Head, Record, link

MAX_WAITING: Final = 10_000
"""Events that wait for a write; some 5 MB. More are refused: the log does not keep up, or does not work."""
MAX_BATCH: Final = 1000
"""Records of one write: half a megabyte, which a disk takes in milliseconds."""
APPEND_TIMEOUT: Final = 10.0
"""Seconds an event may wait until it is durable: a hanging disk must not hold requests for ever."""

_log = get_logger("notary.signer")


class StoreFailed(Exception):
    """Records could not be made durable; the text says why, for operators."""


class Store(Protocol):
    """Where the records of one writer's chain are kept."""

    async def write(self, records: Sequence[Record]) -> None:
        """Return when all are durable, in this order.

        Raises:
            StoreFailed: they are not, or nobody knows; then `recover` comes before the next write.
        """

    async def recover(self, head: Head) -> Head:
        """Make the store fit for writing after a failure; where the chain really ends.

        Args:
            head: the end of what is known to be durable.

        Raises:
            StoreFailed: not possible now.
        """

    async def close(self) -> None:
        """Release everything, the right to write included."""


@dataclass(slots=True)
class _Trouble:
    since: datetime
    reason: str


_Waiting = tuple[AuditEvent | None, asyncio.Future[None]]
"""None: only find out whether records can be written again."""


def _utc_now() -> datetime:
    return datetime.now(UTC)


class ChainedLog:
    """Implements `ports.AuditLog`. For one event loop.

    Attributes:
        writer: whose chain it is.
        head: the end of what is durable.
        written: records made durable.
        failures: writes that failed.
    """

    def __init__(
        self,
        writer: str,
        head: Head,
        store: Store,
        *,
        timeout: float = APPEND_TIMEOUT,
        clock: Callable[[], datetime] = _utc_now,
    ) -> None:
        """Go on after `head` in `store`, which is closed by whoever opened it, after this."""
        self.writer = writer
        self.head = head
        self.written = 0
        self.failures = 0
        self._store = store
        self._timeout = timeout
        self._clock = clock
        self._waiting: deque[_Waiting] = deque()
        self._writing: asyncio.Task[None] | None = None
        self._trouble: _Trouble | None = None
        self._recovering = False

    async def append(self, event: AuditEvent) -> None:
        """See `ports.AuditLog.append`."""
        await self._submit(event)

    async def ping(self) -> None:
        """See `ports.AuditLog.ping`."""
        if self._trouble is not None:
            await self._submit(None)

    async def close(self) -> None:
        """Finish what is being written."""
        if self._writing is not None:
            await asyncio.wait({self._writing}, timeout=self._timeout)

    async def _submit(self, event: AuditEvent | None) -> None:
        if len(self._waiting) >= MAX_WAITING:
            raise AuditUnavailable("too many acts wait for the audit log")
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((event, done))
        if self._writing is None:
            self._writing = asyncio.create_task(self._write_all())
        try:
            async with asyncio.timeout(self._timeout):
                await done
        except TimeoutError:
            self._failed(f"it did not take a record within {self._timeout:g} seconds")
            raise _unavailable() from None

    async def _write_all(self) -> None:
        try:
            while self._waiting:
                batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), MAX_BATCH))]
                # Who has given up waiting was told that the act has no record, and it had no effect.
                await self._write([one for one in batch if not one[1].done()])
        finally:
            self._writing = None

    async def _write(self, batch: list[_Waiting]) -> None:
        if not batch:
            return
        try:
            records = await self._make_durable([event for event, _ in batch if event is not None])
        except StoreFailed as error:
            self._recovering = True
            self._failed(str(error))
            failure: AuditUnavailable | None = _unavailable()
        except Exception as error:  # noqa: BLE001 - whoever waits must be told, whatever it was
            self._recovering = True
            self._failed(f"an unexpected {type(error).__name__}")
            failure = _unavailable()
        else:
            self.written += records
            failure = None
        for _, done in batch:
            if done.done():
                continue
            if failure is None:
                done.set_result(None)
            else:
                done.set_exception(failure)

    async def _make_durable(self, events: list[AuditEvent]) -> int:
        trouble = self._trouble
        if self._recovering:
            self.head = await self._store.recover(self.head)
            self._recovering = False
        if trouble is not None:
            events = [_resumed(trouble), *events]
        head, records = self.head, []
        for event in events:
            record = link(self.writer, head, event, self._clock())
            head = record.head
            records.append(record)
        if records:
            await self._store.write(records)
        self.head = head
        if trouble is not None:
            self._trouble = None
            _log.warning("the audit log can be written again", writer=self.writer)
        return len(records)

    def _failed(self, reason: str) -> None:
        self.failures += 1
        if self._trouble is None:
            self._trouble = _Trouble(self._clock(), reason)
            _log.error(
                "the audit log cannot be written; nothing is signed or changed until it can",
                writer=self.writer,
                cause=reason,
            )


def _resumed(trouble: _Trouble) -> AuditEvent:
    since = f"{trouble.since:%Y-%m-%dT%H:%M:%SZ}"
    return AuditEvent(
        SIGNER,
        "audit_resumed",
        "done",
        reason=f"no record could be written from {since} until now: {trouble.reason}",
    )


def _unavailable() -> AuditUnavailable:
    return AuditUnavailable("the audit log cannot be written right now")
