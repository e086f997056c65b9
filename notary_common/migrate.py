"""Creating and adopting the tables of one daemon, with the alembic trees that the package carries."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from importlib.resources import files
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.util import CommandError
from sqlalchemy import text
from sqlalchemy.engine import Connection
from sqlalchemy.ext.asyncio import AsyncEngine

from .database import Database, DatabaseError, DatabaseTarget
from .database.engine import EngineDatabase, create_engine, dialect_of, transaction
from .database.mysql import take_turn
from .schema import Tree, version_table

_LOCK: Final = 0x6E6F74617279
"""Advisory lock of PostgreSQL by which two upgrades of one database at once take turns."""

_STATEMENT_TIMEOUT: Final = 3600.0
"""Seconds: an index over millions of adopted rows takes its time."""


class SchemaError(DatabaseError):
    """The tables that are there cannot be brought to what this version needs; the text says why."""


def upgrade(target: DatabaseTarget, tree: Tree, progress: Callable[[str], None]) -> None:
    """Bring the tables of `tree` to this version; nothing happens if they are there.

    All in one transaction, but on MySQL, which commits each change of a table by itself: there, an upgrade that was
    interrupted goes on where it was when it is run again.

    For a database in memory use `upgrade_open`: it would be gone when this returns.

    Args:
        progress: is told in one line each what was found and done.

    Raises:
        DatabaseUnavailable: the database cannot be reached or refuses.
        SchemaError: tables are there that cannot be adopted.
    """

    async def run() -> None:
        engine = create_engine(target, pool_size=1, statement_timeout=_STATEMENT_TIMEOUT)
        try:
            await upgrade_engine(engine, tree, progress)
        finally:
            await engine.dispose()

    asyncio.run(run())


async def upgrade_open(database: Database, tree: Tree, progress: Callable[[str], None]) -> None:
    """`upgrade` for a database in memory, which lives as long as it is open. Raises the same."""
    if isinstance(database, EngineDatabase):
        await upgrade_engine(database.engine, tree, progress)


async def upgrade_engine(engine: AsyncEngine, tree: Tree, progress: Callable[[str], None]) -> None:
    """`upgrade` for an engine that is open already. Raises the same."""
    async with transaction(engine) as connection:
        if dialect_of(connection) == "postgresql":
            await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        elif dialect_of(connection) == "mysql":
            await take_turn(connection, "upgrade")
        await connection.run_sync(_upgrade, tree, progress)


def _upgrade(connection: Connection, tree: Tree, progress: Callable[[str], None]) -> None:
    config = _config(tree)
    config.attributes["connection"] = connection
    config.attributes["version_table"] = version_table(tree)
    config.attributes["progress"] = progress
    before = set(_context(connection, tree).get_current_heads())
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise SchemaError(f"the database was upgraded by a newer notary-{tree}: {error}") from error
    after = set(_context(connection, tree).get_current_heads())
    progress("the tables are up to date" if before == after else "the tables were brought up to date")


def _context(connection: Connection, tree: Tree) -> MigrationContext:
    return MigrationContext.configure(connection, opts={"version_table": version_table(tree)})


def _config(tree: Tree) -> Config:
    config = Config()
    root = files("notary_migrations")
    # A '%' in the path would be read as an interpolation of the configuration parser.
    config.set_main_option("script_location", str(root).replace("%", "%%"))
    config.set_main_option("version_locations", str(root / tree / "versions").replace("%", "%%"))
    config.set_main_option("path_separator", "newline")
    return config
