"""SQLite: one file or one database in memory, WAL, full durability, one writer at a time."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from sqlalchemy import event
from sqlalchemy.engine import URL, Connection, Engine
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool

from .url import SqliteTarget

CONFLICTS: Final = frozenset({"SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY"})
"""Names of the errors by which another transaction was first."""

_WRITERS: Final[weakref.WeakKeyDictionary[Engine, tuple[asyncio.Lock, float]]] = weakref.WeakKeyDictionary()
"""Whose turn it is to write in this process, and the seconds that others wait for it."""


def sqlite_engine(target: SqliteTarget, pool_size: int, pool_timeout: float) -> AsyncEngine:
    """An engine that has not connected yet; arguments as for `engine.create_engine`."""
    if target.path is None:
        # SQLite's memdb VFS: a name with a leading slash is shared by all connections of the process.
        place = URL.create(
            "sqlite+aiosqlite", database=f"file:/notary-{target.name}", query={"vfs": "memdb", "uri": "true"}
        )
        keeper = sqlite3.connect(f"file:/notary-{target.name}?vfs=memdb", uri=True, check_same_thread=False)
    else:
        place = URL.create("sqlite+aiosqlite", database=str(target.path))
        keeper = None
    engine = create_async_engine(
        place,
        connect_args={"isolation_level": None, "timeout": target.busy_timeout, "factory": _SqliteConnection},
        poolclass=AsyncAdaptedQueuePool,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=pool_timeout,
        hide_parameters=True,
    )

    _WRITERS[engine.sync_engine] = (asyncio.Lock(), target.busy_timeout)

    @event.listens_for(engine.sync_engine, "do_connect")
    def create(_dialect: Any, _record: Any, _arguments: Any, _parameters: Any) -> None:
        if target.path is not None:  # SQLite itself would let everybody read a new file
            target.path.touch(mode=0o600, exist_ok=True)

    @event.listens_for(engine.sync_engine, "connect")
    def prepare(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        if keeper is None:
            cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: Connection) -> None:
        # Taking the write lock first makes every check in a writing transaction hold until its commit.
        for line in connection.get_execution_options().get("notary_begin", ("BEGIN IMMEDIATE",)):
            connection.exec_driver_sql(line)

    return engine


@asynccontextmanager
async def writers_turn(engine: AsyncEngine) -> AsyncIterator[None]:
    """Writers of one process queue in order: SQLite's own waiting is unfair and would starve some."""
    lock, patience = _WRITERS[engine.sync_engine]
    async with asyncio.timeout(patience):
        await lock.acquire()
    try:
        yield
    finally:
        lock.release()


class _SqliteConnection(sqlite3.Connection):
    """Gives up its locks when it is closed.

    SQLite itself waits for the last cursor to go. One that a cancelled task has left in a traceback would keep the
    database locked.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        """As `sqlite3.connect`."""
        super().__init__(*args, **options)
        self._cursors: weakref.WeakSet[sqlite3.Cursor] = weakref.WeakSet()

    def cursor(self, *args: Any, **options: Any) -> Any:
        """A cursor that ends with the connection."""
        made = super().cursor(*args, **options)
        self._cursors.add(made)
        return made

    def close(self) -> None:
        """Close every cursor, roll back and close."""
        with contextlib.suppress(sqlite3.Error):
            for cursor in list(self._cursors):
                cursor.close()
            self.rollback()
        super().close()
