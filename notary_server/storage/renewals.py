"""Leases on renewing repositories, and the pages in which those that need it are found."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql, sqlite

from notary_common.database import Database, DatabaseConflict, Dialect, Query
from notary_server.ports import Signed
from notary_server.tuf.instant import SECOND
from notary_server.tuf.names import TIMESTAMP, Gun

from .errors import store_errors
from .schema import METADATA

RENEWALS: Final = sa.Table(
    "notary_server_renewals",
    METADATA,
    sa.Column("gun", sa.String(255), primary_key=True),
    sa.Column("holder", sa.String(32), nullable=False),
    sa.Column("until_ns", sa.BigInteger, nullable=False),
)
_R: Final = RENEWALS.c
RESTING: Final = ""
"""The holder of a repository that rests."""

_PAGE: Final = """
    WITH RECURSIVE page(gun, place) AS (
        SELECT min(gun), 1 FROM tuf_files WHERE gun > :after
        UNION ALL
        SELECT (SELECT min(later.gun) FROM tuf_files later WHERE later.gun > page.gun), page.place + 1
        FROM page WHERE page.gun IS NOT NULL AND page.place < :size
    )
    SELECT page.gun,
           (SELECT file.created_at FROM tuf_files file
            WHERE file.gun = page.gun AND file.role = :timestamp AND file.deleted_at IS NULL
            ORDER BY file.version DESC LIMIT 1) AS created_at,
           (SELECT renewal.holder FROM notary_server_renewals renewal WHERE renewal.gun = page.gun) AS holder
    FROM page WHERE page.gun IS NOT NULL ORDER BY page.place
"""
"""The recursion steps from GUN to GUN along the unique index instead of reading every row."""


def _page(_: Dialect) -> sa.Executable:
    return (
        sa.text(_PAGE)
        .bindparams(
            sa.bindparam("after", type_=sa.String),
            sa.bindparam("size", type_=sa.Integer),
            sa.bindparam("timestamp", TIMESTAMP, type_=sa.String),
        )
        .columns(gun=sa.String, created_at=sa.DateTime, holder=sa.String)
    )


def _take(dialect: Dialect) -> sa.Executable:
    values: dict[str, Any] = {name: sa.bindparam(name) for name in ("gun", "holder", "until_ns")}
    if dialect == "postgresql":
        return postgresql.insert(RENEWALS).values(values).on_conflict_do_nothing()
    if dialect == "sqlite":
        return sqlite.insert(RENEWALS).values(values).on_conflict_do_nothing()
    return mysql.insert(RENEWALS).values(values).prefix_with("IGNORE")


def _mine() -> sa.ColumnElement[bool]:
    return sa.and_(_R.gun == sa.bindparam("named"), _R.holder == sa.bindparam("mine"))


PAGE: Final = Query(_page)
_TAKE: Final = Query(_take)
_RELEASE: Final = Query(lambda _: RENEWALS.delete().where(_mine()))
_REST: Final = Query(
    lambda _: (
        RENEWALS.update().where(_mine()).values(holder=sa.literal(RESTING), until_ns=sa.bindparam("until"))
    )
)
_SWEEP_OUT: Final = Query(lambda _: RENEWALS.delete().where(_R.until_ns < sa.bindparam("now_ns")))


class SqlRenewals:
    """Implements `ports.Renewals`."""

    def __init__(self, database: Database) -> None:
        """`database` is closed by who opened it."""
        self._database = database

    async def page(self, after: str, size: int) -> Sequence[Signed]:
        """See `Renewals.page`."""
        with store_errors():
            async with self._database.statement() as session:
                rows = await session.rows(PAGE, after=after, size=size)
        return [Signed(Gun(gun), _nanoseconds(created_at), holder) for gun, created_at, holder in rows]

    async def take(self, gun: Gun, holder: str, until_ns: int) -> bool:
        """See `Renewals.take`."""
        return await self._run(_TAKE, gun=gun, holder=holder, until_ns=until_ns) == 1

    async def release(self, gun: Gun, holder: str) -> None:
        """See `Renewals.release`."""
        await self._run(_RELEASE, named=gun, mine=holder)

    async def rest(self, gun: Gun, holder: str, until_ns: int) -> None:
        """See `Renewals.rest`."""
        await self._run(_REST, named=gun, mine=holder, until=until_ns)

    async def sweep_out(self, now_ns: int) -> None:
        """See `Renewals.sweep_out`."""
        await self._run(_SWEEP_OUT, now_ns=now_ns)

    async def _run(self, query: Query, **values: Any) -> int:
        """How many rows it changed; none if another transaction was first (the lease is then somebody else's)."""
        with store_errors():
            try:
                async with self._database.transaction() as session:
                    return await session.run(query, **values)
            except DatabaseConflict:
                return 0


def _nanoseconds(stored: datetime | None) -> int | None:
    """Columns hold UTC without saying so."""
    if stored is None:
        return None
    aware = stored.replace(tzinfo=UTC) if stored.tzinfo is None else stored
    return int(aware.timestamp()) * SECOND
