"""Opening the audit log that the configuration asks for: for the daemon, and for commands that change something.

A command says what it did like this, each step durable before the next:

    async with operator_log(config, database) as log:
        await log.append("retire_key", "begun", gun=gun, key_id=key_id)
        await registry.retire(key_id)
        await log.append("retire_key", "done", gun=gun, key_id=key_id)
"""

from __future__ import annotations

import asyncio
import logging
import os
import pwd
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from notary_common import log as logs
from notary_common.command import PACKAGE, database_target
from notary_common.database import Database, DatabaseError, open_database

from .audit.anchors import HeadKeeper, noted_heads
from .audit.chain import ChainedLog, Store, StoreFailed
from .audit.files import AuditFile, files_of, torn_event
from .audit.log_line import LogLine, RequestLine
from .audit.record import SIGNER, resume
from .audit.shared import SharedFile, SharedRows
from .audit.stores import FileStore, RowStore, writers
from .audit.verify import ExpectedHead, Outcome, verified_file, verified_rows
from .config import SignerConfig
from .errors import AuditUnavailable, StartRefused
from .ports import AuditEvent, AuditLog, AuditOutcome

OPERATOR: Final = "operator"
"""The word that marks the chain of the commands, beside that of the daemon."""

_log = logs.get_logger("notary.signer")
# Who had what signed must never be unknown, whatever logging.level is.
logging.getLogger("notary.signer.audit").setLevel(logging.INFO)


def operator_writer(writer: str) -> str:
    """The name of the commands' chain beside that of the daemon `writer`."""
    return f"{writer}/{OPERATOR}"[-128:]


def operator_file(file: Path) -> Path:
    """The file of the commands' chain beside that of the daemon: `audit.operator.jsonl` beside `audit.jsonl`."""
    return file.with_name(f"{file.stem}.{OPERATOR}{file.suffix}")


@asynccontextmanager
async def daemon_log(config: SignerConfig, database: Database) -> AsyncIterator[AuditLog]:
    """The audit log of the daemon, with a record of its start.

    Args:
        database: the registry's, open.

    Raises:
        StartRefused: it cannot be opened, or its end is not sound.
    """
    if config.audit.destination == "log":
        yield RequestLine()
        return
    writer = config.audit_writer
    started = AuditEvent(SIGNER, "start", "done", reason=f"version {version(PACKAGE)}")
    async with _chained(config, writer, database, started) as chain:
        keeper = HeadKeeper(chain, database)
        keeping = asyncio.create_task(keeper.run())
        try:
            yield chain
        finally:
            keeping.cancel()
            with suppress(asyncio.CancelledError):
                await keeping
            with suppress(Exception):
                await chain.append(AuditEvent(SIGNER, "stop", "done"))
            await keeper.note()


@dataclass(frozen=True, slots=True)
class OperatorLog:
    """What a command says of its acts.

    Attributes:
        actor: `operator:` and the name of the user who runs it.
    """

    actor: str
    log: AuditLog

    async def append(self, action: str, outcome: AuditOutcome = "done", **about: Any) -> None:
        """Append one record and return when it is durable.

        Args:
            action: e.g. `retire_key`, `destroy_key`, `rewrap_key`, `init_token`, `change_pin`.
            about: further members of `ports.AuditEvent`: gun, role, key_id, reason, version.

        Raises:
            AuditUnavailable: it cannot be written; what it is about must not be done.
        """
        await self.log.append(AuditEvent(self.actor, action, outcome, **about))


@asynccontextmanager
async def operator_log(config: SignerConfig, database: Database | None) -> AsyncIterator[OperatorLog]:
    """The audit log of the commands, while the daemon may run.

    It is a chain of its own beside that of the daemon, into which several commands may write at the same time. Without
    a section `audit` it is a line on standard error.

    Args:
        database: the registry's, open; None for a command that does not use it, whose end of the chain is then not
            noted there, and which cannot write to `audit.to: database`.

    Raises:
        StartRefused: it cannot be opened, or its end is not sound.
    """
    audit = config.audit
    actor = f"{OPERATOR}:{_user()}"
    # Else what is logged would be mixed with what the command writes.
    logs.configure(config.logging.level, "json")
    if audit.destination == "log":
        yield OperatorLog(actor, LogLine())
        return
    try:
        log = await _shared(config, database)
    except StoreFailed as error:
        raise StartRefused(f"audit: {error}") from None
    except DatabaseError as error:
        raise StartRefused(f"audit: the database cannot be asked: {error}") from None
    try:
        yield OperatorLog(actor, log)
    finally:
        if database is not None:
            await HeadKeeper(log, database).note()


async def _shared(config: SignerConfig, database: Database | None) -> SharedFile | SharedRows:
    audit, writer = config.audit, operator_writer(config.audit_writer)
    noted = None if database is None else (await noted_heads(database)).get(writer)
    if audit.file is not None:
        file = operator_file(audit.file)
        return await asyncio.to_thread(SharedFile, file, writer, noted, max_bytes=audit.max_file_bytes)
    if database is None:
        raise StartRefused("audit.to is database, and this command does not open it")
    return SharedRows(database, writer, noted, await RowStore(database, writer).last())


@asynccontextmanager
async def _chained(
    config: SignerConfig, writer: str, database: Database, first: AuditEvent
) -> AsyncIterator[ChainedLog]:
    audit = config.audit
    async with AsyncExitStack() as stack:
        events: list[AuditEvent] = []
        store: Store
        try:
            if audit.file is None:
                store = rows = RowStore(database, writer)
                found = await rows.last()
            else:
                opened = await asyncio.to_thread(
                    AuditFile, audit.file, writer, max_bytes=audit.max_file_bytes
                )
                store, found = FileStore(opened), opened.head
                events += torn_event(opened)
            stack.push_async_callback(store.close)
            noted = await noted_heads(database)
        except StoreFailed as error:
            raise StartRefused(f"audit: {error}") from None
        except DatabaseError as error:
            raise StartRefused(f"audit: the noted ends of the chains cannot be read: {error}") from None
        head, differs = resume(found, noted.get(writer))
        if differs is not None:
            events.append(differs)
        for event in events:
            _log.error("the end of the audit log is not as it was left", writer=writer, cause=event.reason)
        chain = ChainedLog(writer, head, store)
        stack.push_async_callback(chain.close)
        try:
            for event in (*events, first):
                await chain.append(event)
        except AuditUnavailable as error:
            raise StartRefused(f"audit: {error.message}; see the line before this one") from None
        yield chain


def verify_configured(
    config: SignerConfig, file: Path | None, expected: list[ExpectedHead], begins_at: int
) -> list[Outcome]:
    """Check every chain that the configuration knows of, against the ends that the database has noted.

    Args:
        config: its sections `audit` and `storage` are sound.
        file: check the chain in this file alone.

    Raises:
        StartRefused: there is no audit log, or the database cannot be asked.
    """
    audit = config.audit
    if file is None and audit.destination == "log":
        raise StartRefused("there is no audit log to check: set audit.file, or audit.to to database")
    return asyncio.run(_verify(config, file, expected, begins_at))


async def _verify(
    config: SignerConfig, file: Path | None, expected: list[ExpectedHead], begins_at: int
) -> list[Outcome]:
    async with AsyncExitStack() as stack:
        try:
            database = open_database(database_target(config.storage, config.base_dir))
            stack.push_async_callback(database.close)
            # Read before the chains, which may grow meanwhile.
            noted = await noted_heads(database)
            heads = [*expected, *(ExpectedHead(who, head, "the database") for who, head in noted.items())]
            if file is not None:
                return [verified_file(file, None, heads, begins_at=begins_at)]
            if config.audit.file is None:
                counts = dict.fromkeys({one.writer for one in heads}, 0) | await writers(database)
                return [
                    await verified_rows(database, who, count, heads, begins_at=begins_at)
                    for who, count in sorted(counts.items())
                ]
        except DatabaseError as error:
            raise StartRefused(f"storage.db_url: {error}") from None
    return _verify_files(config, config.audit.file, heads, begins_at)


def _verify_files(
    config: SignerConfig, file: Path, heads: list[ExpectedHead], begins_at: int
) -> list[Outcome]:
    writer = config.audit_writer
    outcomes = [verified_file(file, writer, heads, begins_at=begins_at)]
    commands, theirs = operator_file(file), operator_writer(writer)
    if files_of(commands) or any(head.writer == theirs for head in heads):
        outcomes.append(verified_file(commands, theirs, heads, begins_at=begins_at))
    return outcomes


def _user() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())
