"""PostgreSQL's locks, one interleaving at a time: the ones that only luck would meet otherwise."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import text

from notary_common import migrate
from notary_common.database import create_engine, parse_url, transaction
from notary_server.storage import statements
from notary_server.storage.sql_store import SqlStore
from notary_server.tuf.names import Gun
from tests.support.postgres import PostgresCluster

from .metadata import publish

SLOW, FAST = Gun("slow"), Gun("fast")
GATE = 4711
"""Advisory lock that the test holds shut."""


@pytest.fixture
async def store(postgres_url: str, tmp_path: Path) -> AsyncIterator[SqlStore]:
    """A store over PostgreSQL."""
    store = SqlStore(create_engine(parse_url("postgres", postgres_url, tmp_path)))
    await migrate.upgrade_engine(store.engine, "server", lambda _line: None)
    yield store
    await store.close()


async def until_waiting(
    cluster: PostgresCluster, url: str, sessions: int, task: asyncio.Task[object]
) -> None:
    """Return when so many sessions of the database wait for an advisory lock, or `task` has ended."""
    name = url.rpartition("/")[2].partition("?")[0]
    question = (
        "SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database "
        f"WHERE locktype = 'advisory' AND NOT granted AND datname = '{name}'"
    )
    async with asyncio.timeout(10):
        while not task.done() and int(cluster.sql(question)) < sessions:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_a_change_is_not_visible_before_one_with_a_lower_id(
    store: SqlStore, postgres_cluster: PostgresCluster, postgres_url: str
) -> None:
    """A commit that has drawn its changefeed ID and is slow to end holds back the commits behind it."""
    async with transaction(store.engine) as connection:
        for line in (
            f"""CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$
                BEGIN IF NEW.gun = '{SLOW}' THEN PERFORM pg_advisory_xact_lock({GATE}); END IF; RETURN NEW; END $$""",
            "CREATE TRIGGER hold AFTER INSERT ON changefeed FOR EACH ROW EXECUTE FUNCTION hold()",
        ):
            await connection.execute(text(line))
    async with transaction(store.engine) as gate:
        await gate.execute(statements.LOCK, {"key": GATE})
        slow = asyncio.create_task(store.commit(await store.trust_state(SLOW, []), publish(1)))
        await until_waiting(postgres_cluster, postgres_url, 1, slow)
        fast = asyncio.create_task(store.commit(await store.trust_state(FAST, []), publish(1)))
        await until_waiting(postgres_cluster, postgres_url, 2, fast)
        seen = await store.changes(None, 0, 10)
    await asyncio.gather(slow, fast)
    everything = await store.changes(None, 0, 10)
    assert [change.gun for change in everything] == [SLOW, FAST]
    assert seen == []


async def test_a_delete_waits_for_a_commit_that_has_begun(
    store: SqlStore, postgres_cluster: PostgresCluster, postgres_url: str
) -> None:
    """Rows that a commit has inserted and not yet committed do not survive the delete that comes behind it."""
    await store.commit(await store.trust_state(SLOW, []), publish(1))
    state = await store.trust_state(SLOW, [])
    async with transaction(store.engine) as gate:
        await gate.execute(statements.LOCK, {"key": statements.FEED_LOCK})
        slow = asyncio.create_task(store.commit(state, publish(2, with_root=False)))
        await until_waiting(postgres_cluster, postgres_url, 1, slow)
        delete = asyncio.create_task(store.delete(SLOW))
        await until_waiting(postgres_cluster, postgres_url, 2, delete)
    await asyncio.gather(slow, delete)
    assert (await store.trust_state(SLOW, [])).latest == {}
    assert [change.version for change in await store.changes(SLOW, 0, 10)] == [1, 2, 0]


async def test_other_repositories_do_not_wait_while_one_is_written(
    store: SqlStore, postgres_cluster: PostgresCluster, postgres_url: str
) -> None:
    """The lock is the repository's own: only its last step is everybody's."""
    async with transaction(store.engine) as gate:
        await gate.execute(statements.LOCK, {"key": statements.gun_lock(SLOW)})
        slow = asyncio.create_task(store.commit(await store.trust_state(SLOW, []), publish(1)))
        await until_waiting(postgres_cluster, postgres_url, 1, slow)
        await store.commit(await store.trust_state(FAST, []), publish(1))
        assert not slow.done()
    await slow
