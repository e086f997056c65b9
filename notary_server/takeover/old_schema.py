"""Which tables an old database has, and what Notary's own migrations (golang-migrate) noted of them."""

from __future__ import annotations

from typing import Final, Literal

import sqlalchemy as sa

from notary_common.database import Database, Dialect, Query
from notary_server.inspection.examine import Finding

Daemon = Literal["server", "signer"]

_NEEDED: Final[dict[Daemon, tuple[str, ...]]] = {
    "server": ("tuf_files", "changefeed"),
    "signer": ("private_keys",),
}
_LATEST: Final[dict[tuple[Daemon, Dialect], int]] = {
    ("server", "postgresql"): 2,
    ("signer", "postgresql"): 1,
    ("server", "mysql"): 5,
    ("signer", "mysql"): 2,
}
"""The last migrations of Notary 0.7.0; its SQLite had none."""
_CATALOGUES: Final[dict[Dialect, str]] = {
    "postgresql": "SELECT to_regclass(:name) IS NOT NULL",
    "mysql": "SELECT count(*) FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = :name",
    "sqlite": "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = :name",
}
_EXISTS: Final = Query(
    lambda dialect: sa.text(_CATALOGUES[dialect]).bindparams(sa.bindparam("name", type_=sa.String))
)
_STATE: Final = Query(lambda _: sa.text("SELECT version, dirty FROM schema_migrations"))


async def missing_tables(database: Database, daemon: Daemon) -> list[str]:
    """The tables that a takeover reads and that are not there.

    Raises:
        DatabaseError: the database cannot be read.
    """
    return [name for name in _NEEDED[daemon] if not await _exists(database, name)]


async def schema_findings(database: Database, daemon: Daemon) -> list[Finding]:
    """What is wrong with the tables of `daemon` as a whole; the `gun` of such a finding is empty.

    Raises:
        DatabaseError: the database cannot be read.
    """
    findings = [
        Finding("", "broken", "schema", _absent(name)) for name in await missing_tables(database, daemon)
    ]
    if not await _exists(database, "schema_migrations"):
        return findings
    async with database.statement() as session:
        rows = await session.rows(_STATE)
    latest = _LATEST.get((daemon, database.dialect), 0)
    for version, dirty in rows:
        if dirty:
            findings.append(
                Finding(
                    "",
                    "broken",
                    "schema",
                    f"migration {version} of the old {daemon} broke off (schema_migrations.dirty): finish it with that "
                    "version of Notary, or restore a backup, before anything is taken over",
                )
            )
        elif version < latest:
            findings.append(
                Finding(
                    "",
                    "note",
                    "schema",
                    f"the tables of the old {daemon} are of migration {version}, those of Notary 0.7.0 of {latest}: a "
                    "takeover in place brings them up to date; a copy needs Notary's migrations first",
                )
            )
    return findings


def _absent(name: str) -> str:
    remedy = (
        "a takeover in place makes and fills it; a copy needs Notary's own migrations first"
        if name == "changefeed"
        else "is this the right database?"
    )
    return f"there is no table {name}: {remedy}"


async def _exists(database: Database, name: str) -> bool:
    async with database.statement() as session:
        return bool((await session.rows(_EXISTS, name=name))[0][0])
