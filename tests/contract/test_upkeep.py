"""Pruning and verifying over every database: readers through a running server's caches lose nothing, publishes go on."""

from __future__ import annotations

import asyncio
import datetime as dt

import pytest
import sqlalchemy as sa

from notary_common.database import Database, DatabaseTarget, Query
from notary_server.storage.schema import TUF_FILES
from notary_server.storage.sql_store import SqlStore
from notary_server.tuf.names import ROOT, SNAPSHOT, TARGETS, TIMESTAMP, Gun, RoleName, Sha256Hex
from notary_server.upkeep.runs import NothingStored, prune_rows

from .metadata import found, publish

GUN, OTHER = Gun("reg.example/team/app"), Gun("reg.example/team/App")
_AGE = Query(
    lambda _: (
        sa.update(TUF_FILES)
        .where(TUF_FILES.c.gun == sa.bindparam("named"), TUF_FILES.c.version <= sa.bindparam("last"))
        .values(created_at=sa.bindparam("moment", type_=sa.DateTime))
    )
)


# What is in memory nobody else can see.
pytestmark = pytest.mark.parametrize("target", ["sqlite-file", "postgres", "mysql"], indirect=True)


@pytest.fixture
def shared(target: DatabaseTarget) -> DatabaseTarget:
    """A database that a command of its own can open."""
    return target


async def _history(store: SqlStore, gun: Gun, first: int, last: int) -> None:
    for version in range(first, last + 1):
        await store.commit(await store.trust_state(gun, ()), publish(version, gun))


async def _age(database: Database, gun: Gun, last: int, days: int) -> None:
    """Let the versions up to `last` be so old."""
    moment = dt.datetime.now(dt.UTC).replace(tzinfo=None, microsecond=0) - dt.timedelta(days=days)
    async with database.transaction() as session:
        await session.run(_AGE, named=gun, last=last, moment=moment)


async def _versions(store: SqlStore, gun: Gun, role: RoleName) -> list[int]:
    return [version for version in range(1, 30) if await store.by_version(gun, role, version) is not None]


async def test_old_versions_go_and_the_rest_is_read(
    store: SqlStore, database: Database, shared: DatabaseTarget
) -> None:
    """All roots stay, the version that was current when the grace period began, and all after it; other repositories too."""
    for gun in (GUN, OTHER):
        await _history(store, gun, 1, 6)
    await _age(database, GUN, 4, 40)
    foreseen = await prune_rows(shared, GUN, 30, dry_run=True)
    assert await _versions(store, GUN, TARGETS) == [1, 2, 3, 4, 5, 6]
    done = await prune_rows(shared, GUN, 30, dry_run=False)
    assert (done.rows, done.size) == (foreseen.rows, foreseen.size) == (9, foreseen.size)
    assert done.size > 0
    assert await _versions(store, GUN, ROOT) == [1, 2, 3, 4, 5, 6]
    for role in (TARGETS, SNAPSHOT, TIMESTAMP):
        assert await _versions(store, GUN, role) == [4, 5, 6]
        assert await _versions(store, OTHER, role) == [1, 2, 3, 4, 5, 6]
    gone = next(file for file in publish(1, GUN) if file.role == TARGETS)
    assert await store.by_checksum(GUN, TARGETS, Sha256Hex(gone.sha256)) is None
    for role in (ROOT, TARGETS, SNAPSHOT, TIMESTAMP):
        assert found(await store.current(GUN, role)).version == 6
    assert len(await store.changes(GUN, 0, 100)) == 6
    await _history(store, GUN, 7, 7)
    assert found(await store.current(GUN, TARGETS)).version == 7


async def test_publishes_and_reads_go_on_meanwhile(
    stores: list[SqlStore], database: Database, shared: DatabaseTarget
) -> None:
    """While one repository is pruned again and again, it is published to and read whole through another process."""
    writer, reader = stores
    await _history(writer, GUN, 1, 4)
    ended = asyncio.Event()

    async def write() -> None:
        for version in range(5, 15):
            await _history(writer, GUN, version, version)
            await _age(database, GUN, version - 2, 40)
        ended.set()

    async def read() -> None:
        while not ended.is_set():
            before = found(await reader.current(GUN, TIMESTAMP)).version
            whole, pair = True, await reader.current_pair(GUN)
            for listed in pair:
                if listed is None or await reader.by_checksum(GUN, listed.role, listed.sha256) is None:
                    whole = False
            if not whole or await reader.current(GUN, TARGETS) is None:
                # A slow reader: this test makes old at once what is two publishes behind, which no grace period does.
                assert found(await reader.current(GUN, TIMESTAMP)).version >= before + 2

    async def prune() -> None:
        while not ended.is_set():
            assert (await prune_rows(shared, None, 30, dry_run=False)).torn == []

    await asyncio.gather(write(), read(), prune())
    await prune_rows(shared, None, 30, dry_run=False)
    assert await _versions(reader, GUN, TARGETS) == [12, 13, 14]


async def test_what_is_not_stored_cannot_be_pruned(store: SqlStore, shared: DatabaseTarget) -> None:
    """The name is said to be unknown."""
    with pytest.raises(NothingStored):
        await prune_rows(shared, GUN, 30, dry_run=True)
