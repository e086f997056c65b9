"""PostgreSQL killed, hung, out of connections: every failure is `StoreUnavailable`, and the store recovers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from notary_common import migrate
from notary_common.database import (
    DatabaseError,
    DatabaseTarget,
    create_engine,
    parse_url,
    snapshot,
    transaction,
)
from notary_server.errors import StoreUnavailable
from notary_server.storage import statements
from notary_server.storage.sql_store import SqlStore
from notary_server.tuf.names import TARGETS, TIMESTAMP, Gun, Sha256Hex
from tests.support.postgres import DURABLE_SETTINGS, PostgresCluster

from .metadata import body, found, publish

pytestmark = pytest.mark.faults
GUN = Gun("docker.io/library/alpine")


@pytest.fixture(scope="module")
def cluster() -> Iterator[PostgresCluster]:
    """A cluster that these tests may hurt; each leaves it running."""
    with PostgresCluster.temporary(settings=DURABLE_SETTINGS) as cluster:
        yield cluster


@pytest.fixture
def hurt(cluster: PostgresCluster, tmp_path: Path) -> Iterator[DatabaseTarget]:
    """A fresh database with tables in that cluster."""
    target = parse_url("postgres", cluster.create_database(), tmp_path)
    migrate.upgrade(target, "server", lambda _line: None)
    yield target
    cluster.resume()
    cluster.start()


@pytest.fixture
async def fragile(hurt: DatabaseTarget) -> AsyncIterator[SqlStore]:
    """A store with short patience."""
    store = SqlStore(create_engine(hurt, pool_size=4, pool_timeout=0.5, statement_timeout=1.0))
    yield store
    await store.close()


def _every_call(store: SqlStore) -> list[Callable[[], Awaitable[object]]]:
    return [
        lambda: store.current(GUN, TARGETS),
        lambda: store.current(GUN, TIMESTAMP),
        lambda: store.by_version(GUN, TARGETS, 1),
        lambda: store.by_checksum(GUN, TARGETS, Sha256Hex("0" * 64)),
        lambda: store.trust_state(GUN, []),
        lambda: store.delete(GUN),
        lambda: store.changes(None, 0, 10),
        store.repositories,
        store.ping,
    ]


def _waiting(cluster: PostgresCluster) -> int:
    return int(cluster.sql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"))


async def _until_waiting(cluster: PostgresCluster, sessions: int, *unless: asyncio.Task[object]) -> None:
    """Return when so many sessions wait for an advisory lock, or one of the tasks has ended."""
    async with asyncio.timeout(10):
        while not any(task.done() for task in unless) and _waiting(cluster) < sessions:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_a_killed_database_is_unavailable_and_then_back(
    fragile: SqlStore, cluster: PostgresCluster
) -> None:
    """kill -9 of PostgreSQL: acknowledged commits are there afterwards, and the same store works again at once."""
    first = publish(1)
    await fragile.commit(await fragile.trust_state(GUN, []), first)
    await asyncio.gather(*(fragile.ping() for _ in range(4)))
    state = await fragile.trust_state(GUN, [])
    cluster.kill()
    for call in _every_call(fragile):
        with pytest.raises(StoreUnavailable):
            await call()
    with pytest.raises(StoreUnavailable):
        await fragile.commit(state, publish(2))
    cluster.start()
    assert found(await fragile.current(GUN, TARGETS)).data == body(first, TARGETS)
    await fragile.commit(await fragile.trust_state(GUN, []), publish(2))
    assert [change.version for change in await fragile.changes(GUN, 0, 10)] == [1, 2]


async def test_a_database_killed_during_a_commit_keeps_nothing_of_it(
    fragile: SqlStore, hurt: DatabaseTarget, cluster: PostgresCluster
) -> None:
    """The rows are inserted and the transaction waits for its last step when PostgreSQL dies: nothing of it is left."""
    await fragile.commit(await fragile.trust_state(GUN, []), publish(1))
    state = await fragile.trust_state(GUN, [])
    blocker = create_engine(hurt)
    with contextlib.suppress(DatabaseError):
        async with transaction(blocker) as connection:
            await connection.execute(statements.LOCK, {"key": statements.FEED_LOCK})
            task = asyncio.create_task(fragile.commit(state, publish(2)))
            await _until_waiting(cluster, 1)
            cluster.kill()
            with pytest.raises(StoreUnavailable):
                await task
    await blocker.dispose()
    cluster.start()
    after = await fragile.trust_state(GUN, [])
    assert after.latest == state.latest
    assert len(await fragile.changes(GUN, 0, 10)) == 1
    await fragile.commit(after, publish(2))


async def test_a_restart_between_two_calls_is_not_noticed(
    fragile: SqlStore, cluster: PostgresCluster
) -> None:
    """Connections that died while nobody looked are replaced before they are used."""
    await fragile.commit(await fragile.trust_state(GUN, []), publish(1))
    await asyncio.gather(*(fragile.ping() for _ in range(4)))
    cluster.kill()
    cluster.start()
    await fragile.commit(await fragile.trust_state(GUN, []), publish(2))
    cluster.stop()
    cluster.start()
    assert found(await fragile.current(GUN, TIMESTAMP)).version == 2


async def test_a_hung_database_is_given_up(fragile: SqlStore, cluster: PostgresCluster) -> None:
    """A PostgreSQL that keeps its connections and never answers costs a bounded time, and is used again after."""
    await fragile.commit(await fragile.trust_state(GUN, []), publish(1))
    cluster.pause()
    async with asyncio.timeout(30):
        with pytest.raises(StoreUnavailable):
            await fragile.current(GUN, TARGETS)
    cluster.resume()
    assert await fragile.current(GUN, TARGETS) is not None


async def test_a_lock_that_is_never_freed_is_given_up(fragile: SqlStore, hurt: DatabaseTarget) -> None:
    """A commit that waits longer than the statement timeout for its turn fails and stores nothing."""
    blocker = create_engine(hurt)
    async with transaction(blocker) as connection:
        await connection.execute(statements.LOCK, {"key": statements.gun_lock(GUN)})
        with pytest.raises(StoreUnavailable):
            await fragile.commit(await fragile.trust_state(GUN, []), publish(1))
    await blocker.dispose()
    await fragile.commit(await fragile.trust_state(GUN, []), publish(1))


async def test_an_exhausted_pool_is_unavailable_after_a_short_wait(hurt: DatabaseTarget) -> None:
    """When all connections are taken a call waits for one, but not long."""
    engine = create_engine(hurt, pool_size=1, pool_timeout=0.2)
    store = SqlStore(engine)
    async with snapshot(engine) as connection:
        await connection.execute(sa.text("SELECT 1"))
        async with asyncio.timeout(10):
            with pytest.raises(StoreUnavailable):
                await store.ping()
    await store.ping()
    await store.close()


async def test_a_database_without_tables_is_unavailable(cluster: PostgresCluster, tmp_path: Path) -> None:
    """Readiness needs the table; and an unknown database or role is no foreign exception either."""
    for url in (
        cluster.create_database(),
        cluster.url("no_such_database"),
        cluster.url("postgres").replace("postgres@", "no_such_role@"),
    ):
        store = SqlStore(create_engine(parse_url("postgres", url, tmp_path)))
        with pytest.raises(StoreUnavailable):
            await store.ping()
        await store.close()
