"""Whether the tables of one daemon are those of this version. Asked at every start, so nothing of alembic is loaded."""

from __future__ import annotations

import asyncio
from importlib.resources import files
from typing import Final, Literal

import sqlalchemy as sa

from .database import Database, DatabaseTarget, Dialect, Query, SqliteTarget, open_database

Tree = Literal["server", "signer"]

TREES: Final[tuple[Tree, ...]] = ("server", "signer")


def version_table(tree: Tree) -> str:
    """Where alembic notes what was done; one per tree, so that both may share a database."""
    return f"notary_{tree}_schema"


def revisions(tree: Tree) -> list[str]:
    """All revisions of a tree, the latest last, by the names of their files."""
    versions = files("notary_migrations").joinpath(tree, "versions")
    numbers = sorted(file.name[:4] for file in versions.iterdir() if file.name[:4].isdigit())
    return [f"{tree}_{number}" for number in numbers]


def schema_problem(target: DatabaseTarget, tree: Tree) -> str | None:
    """Why the tables of `tree` do not fit this version, with the remedy; None if they do.

    A database in memory has no problem: it gets its tables at start. Not for use inside a running event
    loop: there, `tables_problem`.

    Raises:
        DatabaseUnavailable: the database cannot be reached.
    """
    if target.in_memory:
        return None
    if isinstance(target, SqliteTarget) and target.path is not None and not target.path.exists():
        return f"there is no {target} yet; {_remedy(tree)}"

    async def run() -> str | None:
        database = open_database(target, pool_size=1)
        try:
            return await tables_problem(database, tree)
        finally:
            await database.close()

    return asyncio.run(run())


async def tables_problem(database: Database, tree: Tree) -> str | None:
    """`schema_problem` for a database that is open already. Raises the same."""
    async with database.statement() as session:
        there = (await session.rows(_TABLE_EXISTS[tree]))[0][0]
        rows = await session.rows(_VERSIONS[tree]) if there else []
    known, current = revisions(tree), {str(row[0]) for row in rows}
    if current == {known[-1]}:
        return None
    if not current:
        return f"the database has no tables of this version yet; {_remedy(tree)}"
    if current <= set(known):
        return f"the database's tables are behind this version; {_remedy(tree)}"
    return f"the database was upgraded by a newer notary-{tree}; run that version, or restore a backup"


def _remedy(tree: Tree) -> str:
    return f"run: notary-{tree} db upgrade --config FILE"


_CATALOGUES: Final = {
    "postgresql": "SELECT to_regclass(:name) IS NOT NULL",
    "mysql": "SELECT count(*) FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = :name",
    "sqlite": "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = :name",
}


def _table_exists(tree: Tree) -> Query:
    def build(dialect: Dialect) -> sa.Executable:
        return sa.text(_CATALOGUES[dialect]).bindparams(name=version_table(tree))

    return Query(build)


def _versions(tree: Tree) -> Query:
    return Query(lambda _: sa.select(sa.column("version_num")).select_from(sa.table(version_table(tree))))


_TABLE_EXISTS: Final = {tree: _table_exists(tree) for tree in TREES}
_VERSIONS: Final = {tree: _versions(tree) for tree in TREES}
