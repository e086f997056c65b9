"""MySQL and MariaDB: connections through asyncmy, how they are set up, and turns between transactions.

asyncmy rather than aiomysql: it closes a connection whose statement was cancelled, and never goes on in the clear
where TLS was asked for (docs/adr/0013-asyncmy-for-mysql.md).
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import ssl
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any, Final, cast

import asyncmy.connection
import asyncmy.cursors
from asyncmy.constants.CLIENT import FOUND_ROWS, SSL
from asyncmy.errors import MySQLError, OperationalError
from sqlalchemy import event
from sqlalchemy.engine import Connection, ExceptionContext
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool

from ..tls import PemFiles, ReloadingContext
from .errors import DatabaseUnavailable, reason
from .mysql_dsn import MysqlTarget
from .tls import open_tls

CONFLICTS: Final = frozenset({1062, 1213})
"""Numbers of the errors by which another transaction was first: a unique value is taken, a deadlock."""
NETWORK_GRACE: Final = 2.0
"""Seconds after the statement timeout when a silent server counts as gone."""
PROBE_AFTER: Final = 0.2
"""Seconds of rest after which a connection is tried before it is used: it may have died unnoticed."""
LIFETIME: Final = 300
"""Seconds after which a connection is replaced: renewed certificates count, and no firewall forgets it unnoticed."""

_Driver: Any = asyncmy.connection.Connection  # its stubs leave out what is used here
_DriverCursor: Any = asyncmy.cursors.Cursor
_READ_ONLY: Final = frozenset({1290, 1792, 1836})
"""Errors of a server that has become a replica: connections to it are given up, new ones find the primary."""
_VALUES_IN_TEXT: Final = frozenset({1062, 1064, 1292, 1366})
"""Errors whose text repeats parts of a statement or of its values."""
_ESCAPED: Final = (b"\0", b"\n", b"\r", b"\x1a", b'"', b"'", b"\\")
"""What takes two bytes in a statement."""


def mysql_engine(
    target: MysqlTarget,
    tls: ReloadingContext | None,
    *,
    pool_size: int,
    pool_timeout: float,
    statement_timeout: float,
) -> AsyncEngine:
    """An engine that has not connected yet; arguments as for `engine.create_engine`."""
    engine = create_async_engine(
        "mysql+asyncmy://",
        async_creator=lambda: _connect(target, tls, statement_timeout),
        poolclass=AsyncAdaptedQueuePool,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=pool_timeout,
        pool_recycle=LIFETIME,
        hide_parameters=True,
    )

    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: Connection) -> None:
        # Connections commit by themselves: without this a statement is its own transaction.
        for line in connection.get_execution_options().get("notary_begin", ("START TRANSACTION",)):
            connection.exec_driver_sql(line)

    @event.listens_for(engine.sync_engine, "checkin")
    def rest(_connection: Any, record: Any) -> None:
        record.info["rested"] = time.monotonic()

    @event.listens_for(engine.sync_engine, "checkout")
    def probe(connection: Any, record: Any, _proxy: Any) -> None:
        if time.monotonic() - record.info.get("rested", math.inf) < PROBE_AFTER:
            return
        try:
            engine.dialect.do_ping(connection)
        except (MySQLError, OSError) as error:
            # The others have most likely died with it.
            raise InvalidatePoolError from error

    @event.listens_for(engine.sync_engine, "before_cursor_execute")
    def bound(connection: Any, _cursor: Any, _text: str, values: Any, _context: Any, many: bool) -> None:
        limit = connection.connection.driver_connection.largest_statement
        for row in values if many else (values,):
            _refuse_too_large(row, limit)

    @event.listens_for(engine.sync_engine, "handle_error")
    def leave(context: ExceptionContext) -> None:
        if error_number(context.original_exception) in _READ_ONLY:
            context.is_disconnect = True

    return engine


def tls_of(target: MysqlTarget) -> ReloadingContext | None:
    """TLS as `tls` asks for it; None without TLS.

    Raises:
        DatabaseUrlError: a file cannot be loaded.
    """
    if target.tls == "false":
        return None
    verified = target.tls == "true"

    def make() -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if not verified:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context

    files = PemFiles(target.tls_cert, target.tls_key, target.tls_ca if verified else None)
    options = {"tls-cert": target.tls_cert, "tls-key": target.tls_key, "tls-ca": target.tls_ca}
    return open_tls(files, options, make)


def error_number(error: BaseException | None) -> int:
    """The number of an error that MySQL reported, 0 for any other."""
    number = error.args[0] if isinstance(error, MySQLError) and error.args else 0
    return number if isinstance(number, int) else 0


def error_text(error: MySQLError) -> str:
    """What MySQL reported in one line, without statements and values."""
    number = error_number(error)
    if number in _VALUES_IN_TEXT:
        return f"error {number}"
    return str(error.args[-1]).splitlines()[0] if error.args and error.args[-1] else f"error {number}"


def lock_name(database: str, name: str) -> str:
    """The server's lock for a turn in `database`; these locks are the whole server's, of 64 characters at most."""
    return "notary-" + hashlib.sha256(f"{database}\0{name}".encode()).hexdigest()[:40]


async def take_turn(connection: AsyncConnection, name: str) -> None:
    """Wait for a lock of the server's, as long as a statement may; inside `ending_turns`.

    Raises:
        DatabaseUnavailable: it was not free in time.
    """
    driver = await _driver(connection)
    lock = lock_name(driver.database, name)
    got = await connection.exec_driver_sql(f"SELECT GET_LOCK('{lock}', {math.ceil(driver.patience)})")
    if got.scalar() != 1:
        raise DatabaseUnavailable("the database did not answer in time: others hold the turn")
    driver.turns.append(lock)


@asynccontextmanager
async def ending_turns(connection: AsyncConnection) -> AsyncIterator[None]:
    """Free what `take_turn` took, when the transaction inside has ended; a connection that ends frees it, too."""
    try:
        yield
    finally:
        if not connection.invalidated and not connection.closed:
            turns = (await _driver(connection)).turns
            if turns:
                await connection.execution_options(notary_begin=())
                await connection.exec_driver_sql(
                    "SELECT " + ", ".join(f"RELEASE_LOCK('{turn}')" for turn in turns)
                )
                turns.clear()


async def _driver(connection: AsyncConnection) -> _Connection:
    return cast(_Connection, (await connection.get_raw_connection()).driver_connection)


class _Connection(_Driver):  # type: ignore[misc]
    """asyncmy's connection, which insists on TLS, wastes no round trips and waits for nobody when it ends.

    Attributes:
        database: its name.
        patience: seconds a statement may take.
        largest_statement: bytes; the server's `max_allowed_packet`.
        turns: locks that the running transaction took.
    """

    _ssl_context: Any

    def __init__(self, target: MysqlTarget, tls: ReloadingContext | None, patience: float) -> None:
        """Nothing is opened yet."""
        refused = dict.fromkeys(("mysql_clear_password", "mysql_old_password", "dialog"), _RefusedPlugin)
        super().__init__(
            host=target.host,
            port=target.port or 3306,
            unix_socket=target.socket,
            user=target.user,
            password=target.password.encode(),
            database=target.database,
            charset="utf8mb4",
            cursor_cls=_Cursor,
            autocommit=True,
            binary_prefix=True,
            connect_timeout=target.connect_timeout,
            read_timeout=patience + NETWORK_GRACE,
            ssl=None if tls is None else tls.current(),
            program_name="notary",
            auth_plugin_map=refused,
            # A row that is set to what it holds already counts as changed, as in every other database.
            client_flag=FOUND_ROWS,
        )
        self.database = target.database
        self.patience = patience
        self.largest_statement = 0
        self.turns: list[str] = []
        self._tls_preferred = target.tls == "preferred"

    async def rollback(self) -> None:
        """Roll back; without a round trip where there is nothing to."""
        if not self.connected or self.get_transaction_status():
            await super().rollback()

    async def ensure_closed(self) -> None:
        """Take leave and close at once: a server that hangs would never let the driver's own end."""
        transport = self._transport
        if self.connected and transport is not None and not transport.is_closing():
            transport.write(b"\x01\0\0\0\x01")  # COM_QUIT
            transport.abort()
        self.close()

    async def _request_authentication(self) -> Any:
        if self._ssl_context is not None and not self.server_capabilities & SSL:
            if not self._tls_preferred:
                raise OperationalError(2026, "the server offers no TLS")
            self._ssl_context = None
            self._client_flag &= ~SSL
        return await super()._request_authentication()


class _Cursor(_DriverCursor):  # type: ignore[misc]
    """asyncmy's cursor, which logs nothing: a server's warnings repeat values."""

    async def _show_warnings(self, _connection: Any) -> None:
        """Leave them with the server."""


class _RefusedPlugin:
    """For ways to log in that would hand the password to whoever answers."""

    def __init__(self, _connection: Any) -> None:
        """As asyncmy makes them."""

    def authenticate(self, _packet: Any) -> Any:
        """Never."""
        raise OperationalError(2059, "the server asks for the password in the clear")


async def _connect(
    target: MysqlTarget, tls: ReloadingContext | None, statement_timeout: float
) -> _Connection:
    """One connection, set up."""
    connection = _Connection(target, tls, target.statement_timeout or statement_timeout)
    try:
        async with asyncio.timeout(target.connect_timeout):
            await connection.connect()
            await _set_up(connection, target.time_zone)
    except TimeoutError as error:
        connection.close()
        raise DatabaseUnavailable("the database did not answer in time") from error
    except RuntimeError as error:  # a package that a way to log in needs is not installed
        connection.close()
        raise DatabaseUnavailable(f"the database cannot be reached: {reason(error)}") from error
    except BaseException:
        connection.close()
        raise
    return connection


async def _set_up(connection: Any, time_zone: str) -> None:
    """Nothing is cut short or changed on the way in, and no statement waits for ever."""
    seconds = connection.patience
    limit = (
        f"max_statement_time = {seconds}"
        if "mariadb" in connection.server_version.lower()
        else f"max_execution_time = {math.ceil(seconds * 1000)}"
    )
    async with connection.cursor() as cursor:
        await cursor.execute(
            "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', "
            f"SESSION time_zone = '{time_zone}', "
            f"SESSION innodb_lock_wait_timeout = {math.ceil(seconds)}, "
            f"SESSION {limit}"
        )
        await cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
        await cursor.execute("SELECT @@max_allowed_packet")
        connection.largest_statement = int((await cursor.fetchone())[0])


def _refuse_too_large(values: Any, limit: int) -> None:
    """Raises: DatabaseUnavailable."""
    held: Iterable[Any] = values.values() if isinstance(values, dict) else values or ()
    for value in held:
        if not isinstance(value, bytes) or 2 * len(value) < limit:
            continue
        if len(value) + sum(value.count(character) for character in _ESCAPED) + 4096 > limit:
            raise DatabaseUnavailable(
                f"the database takes statements of {limit} bytes at most, less than this file needs: "
                "raise max_allowed_packet in the server's configuration"
            )
