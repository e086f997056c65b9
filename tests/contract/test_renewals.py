"""Leases on renewals, and the pages in which repositories that need one are found."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from notary_common import migrate
from notary_common.database import Database, DatabaseTarget, Query, open_database
from notary_common.database.engine import EngineDatabase, create_engine
from notary_server.ports import Signed
from notary_server.storage.renewals import SqlRenewals
from notary_server.storage.schema import TUF_FILES
from notary_server.tuf.names import Gun

GUN = Gun("docker.io/library/alpine")
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
_COLUMNS = ("created_at", "gun", "role", "version", "data")
INSERT = Query(lambda _: TUF_FILES.insert().values({name: sa.bindparam(name) for name in _COLUMNS}))
HIDE = Query(
    lambda _: TUF_FILES.update().where(TUF_FILES.c.version == sa.bindparam("hidden")).values(
        deleted_at=TUF_FILES.c.created_at
    )
)  # fmt: skip


@pytest.fixture
async def database(target: DatabaseTarget) -> AsyncIterator[Database]:
    """A database with all tables."""
    made = open_database(target)
    engine = made.engine if isinstance(made, EngineDatabase) else create_engine(target)
    await migrate.upgrade_engine(engine, "server", lambda _line: None)
    yield made
    await made.close()
    await engine.dispose()


@pytest.fixture
def renewals(database: Database) -> SqlRenewals:
    """The leases under test."""
    return SqlRenewals(database)


async def store(
    database: Database, guns: Collection[str], versions: int = 1, role: str = "timestamp"
) -> None:
    """Versions of a role of each repository, stored a second apart."""
    rows = [
        {
            "created_at": (BEGIN + timedelta(seconds=version)).replace(tzinfo=None),
            "gun": gun,
            "role": role,
            "version": version,
            "data": b"never read",
        }
        for gun in guns
        for version in range(1, versions + 1)
    ]
    async with database.transaction() as session:
        await session.run_each(INSERT, rows)


def stored(version: int) -> int:
    """When `store` says that version was stored."""
    return int((BEGIN + timedelta(seconds=version)).timestamp()) * 10**9


async def everything(renewals: SqlRenewals, size: int) -> list[Signed]:
    """All pages."""
    found: list[Signed] = []
    while True:
        page = await renewals.page(found[-1].gun if found else "", size)
        found += page
        if len(page) < size:
            return found


@pytest.mark.parametrize("size", [1, 3, 7, 100])
async def test_pages_hold_every_repository_once(database: Database, renewals: SqlRenewals, size: int) -> None:
    """Whatever the size of a page, with the time of the latest timestamp only."""
    guns = [f"reg.example/{letter}/{number}" for letter in "aBc" for number in range(5)] + [
        "App",
        "app",
        "ä/é",
    ]
    await store(database, guns)
    await store(database, guns[:1], 1, "snapshot")
    found = await everything(renewals, size)
    assert len(found) == len(guns)
    assert set(found) == {Signed(Gun(gun), stored(1), None) for gun in guns}


async def test_no_repositories(renewals: SqlRenewals) -> None:
    """An empty database has one empty page."""
    assert await renewals.page("", 10) == []


async def test_the_latest_timestamp_counts(database: Database, renewals: SqlRenewals) -> None:
    """Of many versions the highest that is not hidden; a repository without a timestamp has no time."""
    await store(database, [GUN], 12)
    await store(database, ["other"], 1, "root")
    assert set(await renewals.page("", 10)) == {
        Signed(GUN, stored(12), None),
        Signed(Gun("other"), None, None),
    }
    async with database.transaction() as session:
        await session.run(HIDE, hidden=12)
    assert (await renewals.page("", 1))[0].stored_ns == stored(11)


async def test_one_holder_at_a_time(database: Database, renewals: SqlRenewals) -> None:
    """A lease is its holder's until it is given back; another repository's is not touched."""
    await store(database, [GUN])
    assert await renewals.take(GUN, "first", 100)
    assert not await renewals.take(GUN, "second", 200)
    assert not await renewals.take(GUN, "first", 200)
    assert await renewals.take(Gun("other"), "second", 200)
    await renewals.release(GUN, "second")
    assert (await renewals.page("", 1))[0].holder == "first"
    await renewals.release(GUN, "first")
    assert (await renewals.page("", 1))[0].holder is None
    assert await renewals.take(GUN, "second", 200)


async def test_a_dead_holders_lease_ends_by_time(renewals: SqlRenewals) -> None:
    """And so it can be taken over; one that still runs stays."""
    assert await renewals.take(GUN, "died", 100)
    await renewals.sweep_out(100)
    assert not await renewals.take(GUN, "heir", 500)
    await renewals.sweep_out(101)
    assert await renewals.take(GUN, "heir", 500)
    await renewals.release(GUN, "died")
    assert not await renewals.take(GUN, "third", 500)


async def test_what_rests_is_nobodys_until_its_time(database: Database, renewals: SqlRenewals) -> None:
    """Only the holder lays it to rest."""
    await store(database, [GUN])
    assert await renewals.take(GUN, "first", 100)
    await renewals.rest(GUN, "second", 10_000)
    assert (await renewals.page("", 1))[0].holder == "first"
    await renewals.rest(GUN, "first", 1000)
    assert (await renewals.page("", 1))[0].holder == ""
    await renewals.sweep_out(500)
    assert not await renewals.take(GUN, "second", 2000)
    await renewals.sweep_out(1001)
    assert await renewals.take(GUN, "second", 2000)


async def test_many_who_take_at_once_share_out_the_leases(renewals: SqlRenewals) -> None:
    """Each repository gets exactly one holder."""
    guns = [Gun(f"reg.example/{number}") for number in range(20)]
    for gun in guns:
        taken = await asyncio.gather(*(renewals.take(gun, f"holder {number}", 100) for number in range(4)))
        assert taken.count(True) == 1
