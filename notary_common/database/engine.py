"""SQLAlchemy engines: what the migrations run on, and how SQLite and MySQL are used by the stores."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final, cast

import asyncpg
from asyncmy.errors import MySQLError
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool

from ..tls import ReloadingContext
from . import mysql
from .errors import DatabaseConflict, DatabaseConnectionLost, DatabaseUnavailable, reason
from .interface import DEFAULT_POOL_SIZE, DEFAULT_POOL_TIMEOUT, DEFAULT_STATEMENT_TIMEOUT, PoolUse
from .mysql_dsn import MysqlTarget
from .postgres import connect, tls_of
from .query import Dialect, Query
from .sqlite import CONFLICTS, sqlite_engine, writers_turn
from .url import DatabaseTarget, PostgresTarget

_SNAPSHOT: Final[Mapping[str, tuple[str, ...]]] = {
    "sqlite": ("BEGIN",),
    "mysql": (
        "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
        "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
    ),
}
"""What begins a transaction whose reads all see the same moment."""


def create_engine(
    target: DatabaseTarget,
    *,
    pool_size: int = DEFAULT_POOL_SIZE,
    pool_timeout: float = DEFAULT_POOL_TIMEOUT,
    statement_timeout: float = DEFAULT_STATEMENT_TIMEOUT,
    tls: ReloadingContext | None = None,
) -> AsyncEngine:
    """An engine that has not connected yet; arguments as for `open_database`.

    PostgreSQL's is for the migrations alone and keeps no connections.

    Args:
        tls: for MySQL, from `mysql.tls_of` the same target; made here if it is not given.

    Raises:
        DatabaseUrlError: a certificate or key file cannot be loaded.
    """
    if isinstance(target, PostgresTarget):
        return _postgres_engine(target, statement_timeout)
    if isinstance(target, MysqlTarget):
        return mysql.mysql_engine(
            target,
            tls or mysql.tls_of(target),
            pool_size=pool_size,
            pool_timeout=pool_timeout,
            statement_timeout=statement_timeout,
        )
    return sqlite_engine(target, pool_size, pool_timeout)


def dialect_of(connection: AsyncConnection | AsyncEngine | Connection) -> Dialect:
    """Which database this is."""
    # MariaDB calls itself so, and is spoken to as MySQL.
    name = connection.dialect.name
    return cast(Dialect, "mysql" if name == "mariadb" else name)


@asynccontextmanager
async def transaction(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A transaction, committed and on disk when the block ends, rolled back if it raises."""
    with translated():
        if dialect_of(engine) == "sqlite":
            async with writers_turn(engine), engine.begin() as connection:
                yield connection
            return
        async with engine.connect() as connection:
            if dialect_of(engine) == "mysql":
                async with mysql.ending_turns(connection), connection.begin():
                    yield connection
                return
            await connection.execution_options(isolation_level="READ COMMITTED")
            async with connection.begin():
                yield connection


@contextmanager
def translated() -> Iterator[None]:
    """Turn what drivers and SQLAlchemy raise into `DatabaseConflict` and `DatabaseUnavailable`."""
    try:
        yield
    except DBAPIError as error:
        if _is_conflict(error):
            raise DatabaseConflict("another transaction was first") from error
        said = (
            mysql.error_text(error.orig)
            if isinstance(error.orig, MySQLError)
            else reason(error.orig or error)
        )
        if error.connection_invalidated:
            raise DatabaseConnectionLost(f"the database's connection ended: {said}") from error
        raise DatabaseUnavailable(f"the database refused: {said}") from error
    except (asyncpg.PostgresError, asyncpg.InterfaceError, sqlite3.Error, OSError) as error:
        raise DatabaseUnavailable(f"the database cannot be reached: {reason(error)}") from error
    except (SQLAlchemyError, asyncpg.InternalClientError) as error:
        raise DatabaseUnavailable(f"the database cannot be asked: {reason(error)}") from error


class EngineSession:
    """Implements `interface.Session` over a SQLAlchemy connection."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self.dialect = dialect_of(connection)

    async def rows(self, query: Query, /, **values: Any) -> Sequence[Sequence[Any]]:
        """See `Session.rows`."""
        return (await self._connection.execute(query.clause(self.dialect), values)).all()

    async def run(self, query: Query, /, **values: Any) -> int:
        """See `Session.run`."""
        return (await self._connection.execute(query.clause(self.dialect), values)).rowcount

    async def run_each(self, query: Query, values: Sequence[Mapping[str, Any]], /) -> None:
        """See `Session.run_each`."""
        if values:
            await self._connection.execute(query.clause(self.dialect), list(values))

    async def turn(self, name: str) -> None:
        """See `Session.turn`. SQLite needs none: its writing transactions exclude each other."""
        if self.dialect == "mysql":
            await mysql.take_turn(self._connection, name)


class EngineDatabase:
    """Implements `interface.Database` over a SQLAlchemy engine.

    Attributes:
        engine: what it was made with; closed by `close`.
        tls: what its connections are made with.
    """

    def __init__(self, engine: AsyncEngine, tls: ReloadingContext | None = None) -> None:
        self.engine = engine
        self.tls = tls
        self.dialect = dialect_of(engine)
        # Both drivers' engines are made with a pool of this kind.
        self._pool = cast(AsyncAdaptedQueuePool, engine.pool)
        self._waits = 0

    @property
    def use(self) -> PoolUse:
        """See `Database.use`."""
        return PoolUse(self._pool.checkedout(), self._pool.size(), self._waits)

    async def close(self) -> None:
        """Close every connection."""
        await self.engine.dispose()

    @asynccontextmanager
    async def statement(self) -> AsyncIterator[EngineSession]:
        """See `Database.statement`."""
        self._note_wait()
        with translated():
            async with self.engine.connect() as connection:
                await connection.execution_options(notary_begin=())
                yield EngineSession(connection)

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[EngineSession]:
        """See `Database.snapshot`."""
        self._note_wait()
        with translated():
            async with self.engine.connect() as connection:
                await connection.execution_options(notary_begin=_SNAPSHOT[self.dialect])
                yield EngineSession(connection)

    @asynccontextmanager
    async def transaction(self, turn: str | None = None) -> AsyncIterator[EngineSession]:
        """See `Database.transaction`."""
        self._note_wait()
        async with transaction(self.engine) as connection:
            session = EngineSession(connection)
            if turn is not None:
                await session.turn(turn)
            yield session

    def _note_wait(self) -> None:
        if self._pool.checkedout() >= self._pool.size():
            self._waits += 1


def _postgres_engine(target: PostgresTarget, statement_timeout: float) -> AsyncEngine:
    tls = tls_of(target)  # a missing file shows now, not in the middle of an upgrade
    return create_async_engine(
        "postgresql+asyncpg://",
        async_creator=lambda: connect(target, tls, statement_timeout),
        poolclass=AsyncAdaptedQueuePool,
        pool_size=10,
        max_overflow=0,
        pool_timeout=3.0,
        hide_parameters=True,
    )


def _is_conflict(error: DBAPIError) -> bool:
    original = error.orig
    if mysql.error_number(original) in mysql.CONFLICTS:
        return True
    if getattr(original, "sqlstate", None) in {"23505", "40001", "40P01"}:
        return True
    name = getattr(original, "sqlite_errorname", None) or getattr(
        getattr(original, "__cause__", None), "sqlite_errorname", None
    )
    return name in CONFLICTS
