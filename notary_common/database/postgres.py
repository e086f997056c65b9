"""PostgreSQL through asyncpg: no layer between the store's statements and the driver."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncpg

from ..tls import PemFiles, ReloadingContext
from .errors import (
    DatabaseConflict,
    DatabaseConnectionLost,
    DatabaseError,
    DatabaseUnavailable,
    reason,
)
from .interface import PoolUse
from .postgres_pool import DRIVER_ERRORS, PostgresPool
from .query import Dialect, Query
from .tls import open_tls
from .url import PostgresTarget

NETWORK_GRACE: Final = 2.0
"""Seconds after the statement timeout when a silent PostgreSQL counts as gone."""
ROLLBACK_TIMEOUT: Final = 1.0
"""Seconds for giving up a transaction; then its connection is dropped, which has the same effect."""

_CONFLICTS: Final = frozenset({"23505", "40001", "40P01"})
"""SQLSTATE of unique violation, serialisation failure, deadlock."""
_LOST: Final = frozenset({"57P01", "57P02", "08000", "08003", "08006"})
"""SQLSTATE with which a connection ends: shut down by somebody, crashed, or broken."""


async def connect(
    target: PostgresTarget, tls: ReloadingContext | None, statement_timeout: float, **options: Any
) -> asyncpg.Connection[Any]:
    """One connection.

    Args:
        tls: from `tls_of` the same target.
        statement_timeout: seconds, unless the address sets its own.
        options: for asyncpg.
    """
    advisory = target.sslmode if target.sslmode in {"allow", "prefer"} else False
    made: asyncpg.Connection[Any] = await asyncpg.connect(
        host=target.host,
        port=target.port,
        user=target.user,
        password=target.password,
        database=target.database,
        ssl=tls.current() if tls is not None else advisory,
        timeout=target.connect_timeout,
        command_timeout=statement_timeout + NETWORK_GRACE,
        server_settings={
            "statement_timeout": str(int(statement_timeout * 1000)),
            # Our statements take a millisecond; compiling one that looks expensive takes ten.
            "jit": "off",
            # A plan made while the tables were empty is kept, and would read all of them when they are large.
            "enable_seqscan": "off",
            # Otherwise a statement with arrays is planned at every execution, which takes longer than executing it.
            "plan_cache_mode": "force_generic_plan",
            **target.settings,
        },
        **options,
    )
    return made


def tls_of(target: PostgresTarget) -> ReloadingContext | None:
    """TLS as `sslmode` asks for it; None without TLS or where it is not promised.

    As lib/pq: `require` with `sslrootcert` checks the chain like `verify-ca`; without `sslrootcert` the
    verifying modes trust the system's certificate authorities.

    Raises:
        DatabaseUrlError: a file cannot be loaded.
    """
    if target.sslmode in {"disable", "allow", "prefer"}:
        return None

    def make() -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.check_hostname = target.sslmode == "verify-full"
        if target.sslmode == "require" and target.sslrootcert is None:
            context.verify_mode = ssl.CERT_NONE
        return context

    files = PemFiles(target.sslcert, target.sslkey, target.sslrootcert)
    options = {"sslcert": target.sslcert, "sslkey": target.sslkey, "sslrootcert": target.sslrootcert}
    return open_tls(files, options, make)


def lock_number(name: str) -> int:
    """The advisory lock for a turn; two names that share a number only wait for each other."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)


class PostgresSession:
    """Implements `interface.Session`."""

    dialect: Dialect = "postgresql"

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def rows(self, query: Query, /, **values: Any) -> Sequence[Sequence[Any]]:
        """See `Session.rows`."""
        text, arguments = query.postgres(values)
        found: Sequence[Sequence[Any]] = await self._connection.fetch(text, *arguments)
        return found

    async def run(self, query: Query, /, **values: Any) -> int:
        """See `Session.run`."""
        text, arguments = query.postgres(values)
        status: str = await self._connection.execute(text, *arguments)
        return int(status.rpartition(" ")[2])

    async def run_each(self, query: Query, values: Sequence[Mapping[str, Any]], /) -> None:
        """See `Session.run_each`."""
        spelled = [query.postgres(some) for some in values]
        if spelled:
            await self._connection.executemany(spelled[0][0], [arguments for _, arguments in spelled])

    async def turn(self, name: str) -> None:
        """See `Session.turn`."""
        await self._connection.execute(f"SELECT pg_advisory_xact_lock({lock_number(name)})")


class PostgresDatabase:
    """Implements `interface.Database`."""

    dialect: Dialect = "postgresql"

    def __init__(
        self, target: PostgresTarget, *, pool_size: int, pool_timeout: float, statement_timeout: float
    ) -> None:
        """Nothing is opened yet.

        Raises:
            DatabaseUrlError: a certificate or key file cannot be loaded.
        """
        self.tls = tls_of(target)
        self._target = target
        self._statement_timeout = statement_timeout
        self._pool = PostgresPool(self._connect, pool_size, pool_timeout)
        if self.tls is not None:
            self.tls.tell(self._pool.renew)

    @property
    def use(self) -> PoolUse:
        """See `Database.use`."""
        return self._pool.use

    async def close(self) -> None:
        """Close every connection."""
        await self._pool.close()

    @asynccontextmanager
    async def statement(self) -> AsyncIterator[PostgresSession]:
        """See `Database.statement`."""
        async with self._connection() as connection:
            yield PostgresSession(connection)

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[PostgresSession]:
        """See `Database.snapshot`."""
        async with self._within("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY") as session:
            yield session

    @asynccontextmanager
    async def transaction(self, turn: str | None = None) -> AsyncIterator[PostgresSession]:
        """See `Database.transaction`."""
        begin = "BEGIN ISOLATION LEVEL READ COMMITTED"
        if turn is not None:
            # In one message: a turn costs no further round trip.
            begin += f"; SELECT pg_advisory_xact_lock({lock_number(turn)})"
        async with self._within(begin) as session:
            yield session

    @asynccontextmanager
    async def _within(self, begin: str) -> AsyncIterator[PostgresSession]:
        async with self._connection() as connection:
            try:
                await connection.execute(begin)
                yield PostgresSession(connection)
                await connection.execute("COMMIT")
            except BaseException:
                await asyncio.shield(_give_up(connection))
                raise

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Any]:
        """A connection of the pool, with errors translated; one that did not answer is not used again."""
        try:
            connection = await self._pool.take()
            try:
                yield connection
            except (TimeoutError, asyncio.CancelledError):
                connection.terminate()
                raise
            except (*DRIVER_ERRORS, OSError) as error:
                if not _is_lost(connection, error):
                    raise
                connection.terminate()
                self._pool.drop_resting()
                raise DatabaseConnectionLost(f"the database's connection ended: {reason(error)}") from error
            finally:
                self._pool.give_back(connection)
        except DatabaseError:
            raise
        except asyncpg.PostgresError as error:
            if error.sqlstate in _CONFLICTS:
                raise DatabaseConflict("another transaction was first") from error
            raise DatabaseUnavailable(f"the database refused: {reason(error)}") from error
        except TimeoutError as error:
            raise DatabaseUnavailable("the database did not answer in time") from error
        except (asyncpg.InterfaceError, asyncpg.InternalClientError, OSError) as error:
            raise DatabaseUnavailable(f"the database cannot be reached: {reason(error)}") from error

    async def _connect(self) -> asyncpg.Connection[Any]:
        return await connect(self._target, self.tls, self._statement_timeout)


def _is_lost(connection: Any, error: Exception) -> bool:
    # A connection that is ended while nobody uses it leaves the driver's own state confused.
    return (
        connection.is_closed()
        or isinstance(error, asyncpg.InternalClientError)
        or getattr(error, "sqlstate", None) in _LOST
    )


async def _give_up(connection: Any) -> None:
    """Roll back, or drop the connection where that cannot be done."""
    if connection.is_closed():
        return
    try:
        async with asyncio.timeout(ROLLBACK_TIMEOUT):
            await connection.execute("ROLLBACK")
    except (*DRIVER_ERRORS, OSError):
        with contextlib.suppress(asyncpg.InterfaceError):
            connection.terminate()
