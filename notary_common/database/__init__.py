"""Databases of both daemons: addresses, connections, transactions, statements, and one place that translates errors."""

from __future__ import annotations

from .errors import (
    DatabaseConflict,
    DatabaseConnectionLost,
    DatabaseError,
    DatabaseUnavailable,
    DatabaseUrlError,
)
from .interface import (
    DEFAULT_POOL_SIZE,
    DEFAULT_POOL_TIMEOUT,
    DEFAULT_STATEMENT_TIMEOUT,
    Database,
    PoolUse,
    Session,
)
from .mysql_dsn import MysqlTarget
from .postgres import PostgresDatabase
from .query import Dialect, Query, among
from .url import DatabaseTarget, PostgresTarget, SqliteTarget, parse_url

__all__ = [
    "Database",
    "DatabaseConflict",
    "DatabaseConnectionLost",
    "DatabaseError",
    "DatabaseTarget",
    "DatabaseUnavailable",
    "DatabaseUrlError",
    "Dialect",
    "MysqlTarget",
    "PoolUse",
    "PostgresDatabase",
    "PostgresTarget",
    "Query",
    "Session",
    "SqliteTarget",
    "among",
    "open_database",
    "parse_url",
]


def open_database(
    target: DatabaseTarget,
    *,
    pool_size: int = DEFAULT_POOL_SIZE,
    pool_timeout: float = DEFAULT_POOL_TIMEOUT,
    statement_timeout: float = DEFAULT_STATEMENT_TIMEOUT,
) -> Database:
    """A database that has not connected yet.

    Args:
        target: from `parse_url`.
        pool_size: connections at most.
        pool_timeout: seconds to wait for a free one.
        statement_timeout: seconds per statement (not SQLite), unless the address sets its own.

    Raises:
        DatabaseUrlError: a certificate or key file cannot be loaded.
    """
    if isinstance(target, PostgresTarget):
        return PostgresDatabase(
            target, pool_size=pool_size, pool_timeout=pool_timeout, statement_timeout=statement_timeout
        )
    from . import mysql  # noqa: PLC0415 - with PostgreSQL a start is a fifth faster without
    from .engine import EngineDatabase, create_engine  # noqa: PLC0415

    tls = mysql.tls_of(target) if isinstance(target, MysqlTarget) else None
    return EngineDatabase(
        create_engine(
            target,
            pool_size=pool_size,
            pool_timeout=pool_timeout,
            statement_timeout=statement_timeout,
            tls=tls,
        ),
        tls,
    )
