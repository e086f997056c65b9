"""Creating, adopting and checking the tables of one daemon, with the alembic trees that the package carries."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from importlib.resources import files
from typing import Final, Literal

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import text
from sqlalchemy.engine import Connection
from sqlalchemy.ext.asyncio import AsyncEngine

from .database import (
    DatabaseError,
    DatabaseTarget,
    SqliteTarget,
    create_engine,
    is_postgres,
    statement,
    transaction,
)

Tree = Literal["server", "signer"]

_LOCK: Final = 0x6E6F74617279
"""Advisory lock of PostgreSQL that two upgrades of one database at once take turns with."""

_STATEMENT_TIMEOUT: Final = 3600.0
"""Seconds: an index over millions of adopted rows takes its time."""


class SchemaError(DatabaseError):
    """The tables that are there cannot be brought to what this version needs; the text says why."""


def upgrade(target: DatabaseTarget, tree: Tree, progress: Callable[[str], None]) -> None:
    """Bring the tables of `tree` to this version, in one transaction; nothing happens if they are there.

    For a database in memory use `upgrade_engine`: it would be gone when this returns.

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


async def upgrade_engine(engine: AsyncEngine, tree: Tree, progress: Callable[[str], None]) -> None:
    """`upgrade` for an engine that is open already. Raises the same."""
    async with transaction(engine) as connection:
        if is_postgres(connection):
            await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        await connection.run_sync(_upgrade, tree, progress)


def schema_problem(target: DatabaseTarget, tree: Tree) -> str | None:
    """Why the tables of `tree` do not fit this version, with the remedy; None if they do.

    A database in memory has no problem: it gets its tables at start. Not for use inside a running event
    loop: there, `engine_problem`.

    Raises:
        DatabaseUnavailable: the database cannot be reached.
    """
    if target.in_memory:
        return None
    if isinstance(target, SqliteTarget) and target.path is not None and not target.path.exists():
        return f"there is no {target} yet; {_remedy(tree)}"

    async def run() -> str | None:
        engine = create_engine(target, pool_size=1)
        try:
            return await engine_problem(engine, tree)
        finally:
            await engine.dispose()

    return asyncio.run(run())


async def engine_problem(engine: AsyncEngine, tree: Tree) -> str | None:
    """`schema_problem` for an engine that is open already. Raises the same."""
    async with statement(engine) as connection:
        current = await connection.run_sync(lambda sync: _context(sync, tree).get_current_heads())
    script = ScriptDirectory.from_config(_config(tree))
    wanted = set(script.get_heads())
    if set(current) == wanted:
        return None
    if not current:
        return f"the database has no tables of this version yet; {_remedy(tree)}"
    known = {revision.revision for revision in script.walk_revisions()}
    if set(current) <= known:
        return f"the database's tables are behind this version; {_remedy(tree)}"
    return f"the database was upgraded by a newer notary-{tree}; run that version, or restore a backup"


def _remedy(tree: Tree) -> str:
    return f"run: notary-{tree} db upgrade --config FILE"


def version_table(tree: Tree) -> str:
    """Where alembic notes what was done; one per tree, so that both may share a database."""
    return f"notary_{tree}_schema"


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
