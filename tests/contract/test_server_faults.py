"""PostgreSQL and MariaDB killed, hung, out of connections: every failure is `StoreUnavailable`, and the store recovers."""

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
    Query,
    open_database,
    parse_url,
)
from notary_server.errors import StoreUnavailable
from notary_server.storage.sql_store import SqlStore
from notary_server.storage.statements import FEED_TURN, gun_turn
from notary_server.tuf.names import TARGETS, TIMESTAMP, Gun, Sha256Hex
from tests.support import mariadb, postgres

from .database_servers import DatabaseServer, backend, database_name, waiting
from .metadata import body, found, publish

pytestmark = pytest.mark.faults
GUN = Gun("docker.io/library/alpine")


@pytest.fixture(scope="module", params=["postgres", "mysql"])
def cluster(request: pytest.FixtureRequest) -> Iterator[DatabaseServer]:
    """A server that these tests may hurt; each leaves it running."""
    server: DatabaseServer
    if request.param == "postgres":
        server = postgres.PostgresCluster.temporary(settings=postgres.DURABLE_SETTINGS)
    else:
        server = mariadb.MariaServer.temporary(settings=mariadb.DURABLE_SETTINGS)
    with server:
        yield server


@pytest.fixture
def url(cluster: DatabaseServer) -> str:
    """The address of a fresh database."""
    return cluster.create_database()


@pytest.fixture
def hurt(cluster: DatabaseServer, url: str, tmp_path: Path) -> Iterator[DatabaseTarget]:
    """That database with tables."""
    target = parse_url(backend(cluster), url, tmp_path)
    migrate.upgrade(target, "server", lambda _line: None)
    yield target
    cluster.resume()
    cluster.start()


@pytest.fixture
async def fragile(hurt: DatabaseTarget) -> AsyncIterator[SqlStore]:
    """A store with short patience."""
    store = SqlStore(open_database(hurt, pool_size=4, pool_timeout=0.5, statement_timeout=1.0))
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


async def _until_waiting(
    cluster: DatabaseServer, url: str, sessions: int, *unless: asyncio.Task[object]
) -> None:
    """Return when so many sessions wait for a turn, or one of the tasks has ended."""
    async with asyncio.timeout(10):
        while not any(task.done() for task in unless) and waiting(cluster, database_name(url)) < sessions:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_a_killed_database_is_unavailable_and_then_back(
    fragile: SqlStore, cluster: DatabaseServer
) -> None:
    """kill -9 of the server: acknowledged commits are there afterwards, and the same store works again at once."""
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
    fragile: SqlStore, hurt: DatabaseTarget, cluster: DatabaseServer, url: str
) -> None:
    """The rows are inserted and the transaction waits for its last step when the server dies: nothing of it is left."""
    await fragile.commit(await fragile.trust_state(GUN, []), publish(1))
    state = await fragile.trust_state(GUN, [])
    blocker = open_database(hurt)
    with contextlib.suppress(DatabaseError):
        async with blocker.transaction(turn=FEED_TURN):
            task = asyncio.create_task(fragile.commit(state, publish(2)))
            await _until_waiting(cluster, url, 1)
            cluster.kill()
            with pytest.raises(StoreUnavailable):
                await task
    await blocker.close()
    cluster.start()
    after = await fragile.trust_state(GUN, [])
    assert after.latest == state.latest
    assert len(await fragile.changes(GUN, 0, 10)) == 1
    await fragile.commit(after, publish(2))


async def test_a_restart_between_two_calls_is_not_noticed(fragile: SqlStore, cluster: DatabaseServer) -> None:
    """Connections that died while nobody looked are replaced before they are used."""
    await fragile.commit(await fragile.trust_state(GUN, []), publish(1))
    await asyncio.gather(*(fragile.ping() for _ in range(4)))
    cluster.kill()
    cluster.start()
    await fragile.commit(await fragile.trust_state(GUN, []), publish(2))
    cluster.stop()
    cluster.start()
    assert found(await fragile.current(GUN, TIMESTAMP)).version == 2


async def test_a_hung_database_is_given_up(fragile: SqlStore, cluster: DatabaseServer) -> None:
    """A server that keeps its connections and never answers costs a bounded time, and is used again after."""
    await fragile.commit(await fragile.trust_state(GUN, []), publish(1))
    cluster.pause()
    async with asyncio.timeout(30):
        with pytest.raises(StoreUnavailable):
            await fragile.current(GUN, TARGETS)
    cluster.resume()
    assert await fragile.current(GUN, TARGETS) is not None


async def test_a_lock_that_is_never_freed_is_given_up(fragile: SqlStore, hurt: DatabaseTarget) -> None:
    """A commit that waits longer than the statement timeout for its turn fails and stores nothing."""
    blocker = open_database(hurt)
    async with blocker.transaction(turn=gun_turn(GUN)):
        with pytest.raises(StoreUnavailable):
            await fragile.commit(await fragile.trust_state(GUN, []), publish(1))
    await blocker.close()
    await fragile.commit(await fragile.trust_state(GUN, []), publish(1))


async def test_an_exhausted_pool_is_unavailable_after_a_short_wait(hurt: DatabaseTarget) -> None:
    """When all connections are taken a call waits for one, but not long."""
    database = open_database(hurt, pool_size=1, pool_timeout=0.2)
    store = SqlStore(database)
    async with database.snapshot():
        for call in _every_call(store):
            async with asyncio.timeout(10):
                with pytest.raises(StoreUnavailable):
                    await call()
    for call in _every_call(store):
        await call()
    await store.close()


async def test_a_database_without_tables_is_unavailable(cluster: DatabaseServer, tmp_path: Path) -> None:
    """Readiness needs the table; and an unknown database or role is no foreign exception either."""
    for url in (
        cluster.create_database(),
        cluster.url("no_such_database"),
        cluster.url("postgres").replace("postgres@", "no_such_role@").replace("root@", "no_such_role@"),
    ):
        store = SqlStore(open_database(parse_url(backend(cluster), url, tmp_path)))
        with pytest.raises(StoreUnavailable):
            await store.ping()
        await store.close()


@pytest.mark.parametrize("cluster", ["postgres"], indirect=True)  # Reads are retried there only.
async def test_connections_that_are_cut_while_readers_wait_fail_no_read(
    fragile: SqlStore, cluster: DatabaseServer
) -> None:
    """What only reads is asked again on a new connection, while an administrator ends all of them again and again."""
    await fragile.commit(await fragile.trust_state(GUN, []), publish(1))
    done = asyncio.Event()

    async def read() -> int:
        reads = 0
        while not done.is_set():
            assert found(await fragile.current(GUN, TARGETS)).version == 1
            reads += 1
        return reads

    async def cut() -> None:
        for _ in range(10):
            await asyncio.sleep(0.03)
            await asyncio.to_thread(
                cluster.sql,
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'notary'",
            )
        done.set()

    cutting = asyncio.create_task(cut())
    assert min(await asyncio.gather(*(read() for _ in range(6)))) > 0
    await cutting


@pytest.mark.parametrize(
    "cluster", ["postgres"], indirect=True
)  # The lock that stops readers is PostgreSQL's.
async def test_a_look_up_that_fails_fails_those_who_wait_and_nobody_after(
    fragile: SqlStore, hurt: DatabaseTarget
) -> None:
    """A table that is locked for longer than the statement timeout: all its readers are told; the next are served."""
    await fragile.commit(await fragile.trust_state(GUN, []), publish(1))
    blocker = open_database(hurt)
    async with blocker.transaction() as session:
        await session.rows(Query(lambda _: sa.text("LOCK TABLE tuf_files IN ACCESS EXCLUSIVE MODE")))
        told = await asyncio.gather(
            *(fragile.current(GUN, role) for role in (TARGETS, TIMESTAMP) * 5), return_exceptions=True
        )
    assert {type(outcome) for outcome in told} == {StoreUnavailable}
    assert found(await fragile.current(GUN, TARGETS)).version == 1
    await blocker.close()
