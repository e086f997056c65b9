"""Engines over SQLite and PostgreSQL, the three ways to use them, and one place that translates their errors.

    async with snapshot(engine) as connection: ...      several reads of one consistent look
    async with transaction(engine) as connection: ...   reads and writes, durable when the block has ended
    async with statement(engine) as connection: ...     one statement, without the price of a transaction

Whatever a driver raises inside leaves as `DatabaseUnavailable` or `DatabaseConflict`.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import sqlite3
import ssl
import time
import weakref
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

import asyncpg
from sqlalchemy import event
from sqlalchemy.engine import URL, Connection, Engine
from sqlalchemy.exc import DBAPIError, InvalidatePoolError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool

from .database_url import (
    DatabaseError,
    DatabaseTarget,
    DatabaseUrlError,
    PostgresTarget,
    SqliteTarget,
    parse_url,
)

__all__ = [
    "DatabaseConflict",
    "DatabaseError",
    "DatabaseTarget",
    "DatabaseUnavailable",
    "DatabaseUrlError",
    "PostgresTarget",
    "SqliteTarget",
    "create_engine",
    "is_postgres",
    "parse_url",
    "snapshot",
    "statement",
    "transaction",
    "translated",
]

DEFAULT_POOL_SIZE: Final = 10
"""Connections per process at most. PostgreSQL allows 100 in all unless told otherwise."""
DEFAULT_POOL_TIMEOUT: Final = 3.0
"""Seconds to wait for a free connection. Clients give up after 5 seconds."""
DEFAULT_STATEMENT_TIMEOUT: Final = 10.0
"""Seconds a PostgreSQL statement may take, waiting for locks included."""
_NETWORK_GRACE: Final = 2.0
"""Seconds after the statement timeout when a silent PostgreSQL counts as gone."""

_PROBE_AFTER: Final = 0.2
"""Seconds of rest after which a PostgreSQL connection is tried before it is used."""

_WRITERS: Final[weakref.WeakKeyDictionary[Engine, tuple[asyncio.Lock, float]]] = weakref.WeakKeyDictionary()
"""SQLite only: whose turn it is to write in this process, and the seconds that others wait for it."""

_CONFLICT_STATES: Final = frozenset({"23505", "40001", "40P01"})
"""SQLSTATE of unique violation, serialisation failure, deadlock."""
_CONFLICT_NAMES: Final = frozenset({"SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY"})


class DatabaseUnavailable(DatabaseError):
    """The database cannot be reached, is out of connections, or refuses to work."""


class DatabaseConflict(DatabaseError):
    """Another transaction was first: a unique value is taken, or the two cannot be put in an order."""


def create_engine(
    target: DatabaseTarget,
    *,
    pool_size: int = DEFAULT_POOL_SIZE,
    pool_timeout: float = DEFAULT_POOL_TIMEOUT,
    statement_timeout: float = DEFAULT_STATEMENT_TIMEOUT,
) -> AsyncEngine:
    """An engine that has not connected yet. It recovers by itself after the database was away.

    Args:
        target: from `parse_url`.
        pool_size: connections at most.
        pool_timeout: seconds to wait for a free one.
        statement_timeout: seconds per statement (PostgreSQL), unless the address sets `statement_timeout`.

    Raises:
        DatabaseUrlError: a certificate or key file cannot be loaded.
    """
    if isinstance(target, PostgresTarget):
        return _postgres_engine(target, pool_size, pool_timeout, statement_timeout)
    return _sqlite_engine(target, pool_size, pool_timeout)


def is_postgres(connection: AsyncConnection | AsyncEngine | Connection) -> bool:
    """Whether this is PostgreSQL, for the few places where the dialects differ."""
    return connection.dialect.name == "postgresql"


@asynccontextmanager
async def statement(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A connection for one statement that is its own transaction."""
    with translated():
        async with engine.connect() as connection:
            if is_postgres(engine):
                await connection.execution_options(isolation_level="AUTOCOMMIT")
            else:
                await connection.execution_options(notary_begin=None)
            yield connection


@asynccontextmanager
async def snapshot(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A connection whose reads all see the same moment; nothing can be written."""
    with translated():
        async with engine.connect() as connection:
            if is_postgres(engine):
                await connection.execution_options(
                    isolation_level="REPEATABLE READ", postgresql_readonly=True
                )
            else:
                await connection.execution_options(notary_begin="BEGIN")
            yield connection


@asynccontextmanager
async def transaction(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A transaction, committed and on disk when the block ends, rolled back if it raises.

    PostgreSQL: READ COMMITTED, so take a lock first. SQLite: the only writer from the start.
    """
    with translated():
        async with _turn(engine), engine.connect() as connection:
            if is_postgres(engine):
                await connection.execution_options(isolation_level="READ COMMITTED")
            async with connection.begin():
                yield connection


@asynccontextmanager
async def _turn(engine: AsyncEngine) -> AsyncIterator[None]:
    """Writers of one process queue for SQLite in order: its own waiting is unfair and would starve some."""
    if is_postgres(engine):
        yield
        return
    lock, patience = _WRITERS[engine.sync_engine]
    async with asyncio.timeout(patience):
        await lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def translated() -> Iterator[None]:
    """Turn what drivers and SQLAlchemy raise into `DatabaseConflict` and `DatabaseUnavailable`."""
    try:
        yield
    except DBAPIError as error:
        if _is_conflict(error):
            raise DatabaseConflict("another transaction was first") from error
        raise DatabaseUnavailable(f"the database refused: {_reason(error.orig or error)}") from error
    except (asyncpg.PostgresError, asyncpg.InterfaceError, sqlite3.Error, OSError) as error:
        raise DatabaseUnavailable(f"the database cannot be reached: {_reason(error)}") from error
    except (SQLAlchemyError, asyncpg.InternalClientError) as error:
        raise DatabaseUnavailable(f"the database cannot be asked: {_reason(error)}") from error


def tls_context(target: PostgresTarget) -> ssl.SSLContext | None:
    """TLS as `sslmode` asks for it, read afresh from the files; None without TLS or where it is not promised.

    As lib/pq: `require` with `sslrootcert` checks the chain like `verify-ca`; without `sslrootcert` the
    verifying modes trust the system's certificate authorities.

    Raises:
        DatabaseUrlError: a file cannot be loaded.
    """
    if target.sslmode in {"disable", "allow", "prefer"}:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = target.sslmode == "verify-full"
    if target.sslmode == "require" and target.sslrootcert is None:
        context.verify_mode = ssl.CERT_NONE
    elif target.sslrootcert is None:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    else:
        try:
            context.load_verify_locations(cafile=target.sslrootcert)
        except (OSError, ssl.SSLError) as error:
            raise DatabaseUrlError(
                f"storage.db_url: sslrootcert {str(target.sslrootcert)!r} cannot be loaded: {_reason(error)}"
            ) from None
    if target.sslcert is not None:
        try:
            context.load_cert_chain(target.sslcert, target.sslkey, password="")
        except (OSError, ssl.SSLError, ValueError) as error:
            raise DatabaseUrlError(
                f"storage.db_url: sslcert {str(target.sslcert)!r} with sslkey {str(target.sslkey)!r} "
                f"cannot be loaded: {_reason(error)}"
            ) from None
    return context


def _postgres_engine(
    target: PostgresTarget, pool_size: int, pool_timeout: float, statement_timeout: float
) -> AsyncEngine:
    tls_context(target)  # a missing file shows now, not at the first request
    settings = {"statement_timeout": str(int(statement_timeout * 1000)), **target.settings}

    async def connect() -> asyncpg.Connection[Any]:
        # The certificate files are read again so that renewed ones count from the next connection on.
        context = tls_context(target)
        advisory = target.sslmode if target.sslmode in {"allow", "prefer"} else False
        return await asyncpg.connect(
            host=target.host,
            port=target.port,
            user=target.user,
            password=target.password,
            database=target.database,
            ssl=context if context is not None else advisory,
            timeout=target.connect_timeout,
            command_timeout=statement_timeout + _NETWORK_GRACE,
            server_settings=settings,
        )

    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=connect,
        poolclass=AsyncAdaptedQueuePool,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=pool_timeout,
        hide_parameters=True,
    )
    _replace_dead_connections(engine)
    return engine


def _replace_dead_connections(engine: AsyncEngine) -> None:
    """Ask a connection that has rested whether it still lives before it is used; if not, renew the whole pool.

    A busy pool pays nothing for this: SQLAlchemy's own `pool_pre_ping` costs three round trips per use.
    """

    @event.listens_for(engine.sync_engine, "checkin")
    def note(_connection: Any, record: Any) -> None:
        record.info["used"] = time.monotonic()

    @event.listens_for(engine.sync_engine, "checkout")
    def probe(connection: Any, record: Any, _proxy: Any) -> None:
        if connection.driver_connection.is_closed():
            raise InvalidatePoolError("the connection was closed")
        if time.monotonic() - record.info.get("used", math.inf) > _PROBE_AFTER:
            try:
                engine.dialect.do_ping(connection)
            except engine.dialect.loaded_dbapi.Error as error:
                raise InvalidatePoolError("the connection is dead") from error


def _sqlite_engine(target: SqliteTarget, pool_size: int, pool_timeout: float) -> AsyncEngine:
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
        begin = connection.get_execution_options().get("notary_begin", "BEGIN IMMEDIATE")
        if begin is not None:
            connection.exec_driver_sql(begin)

    return engine


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


def _is_conflict(error: DBAPIError) -> bool:
    original = error.orig
    state = getattr(original, "sqlstate", None)
    name = getattr(original, "sqlite_errorname", None) or getattr(
        getattr(original, "__cause__", None), "sqlite_errorname", None
    )
    return state in _CONFLICT_STATES or name in _CONFLICT_NAMES


def _reason(error: BaseException) -> str:
    """What went wrong in one line, without statements, parameters or details that hold stored values."""
    cause = error.__cause__ if isinstance(error.__cause__, asyncpg.PostgresError) else error
    text = str(cause.args[0]) if isinstance(cause, asyncpg.PostgresError) and cause.args else str(cause)
    return (text.splitlines() or [""])[0] or type(cause).__name__
