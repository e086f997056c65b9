"""The turns of PostgreSQL and MySQL, one interleaving at a time: the ones that only luck would meet otherwise."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from pathlib import Path

import pytest

from notary_common import migrate
from notary_common.database import Database, open_database, parse_url
from notary_common.database.mysql import lock_name
from notary_common.database.postgres import lock_number
from notary_server.storage.sql_store import SqlStore
from notary_server.storage.statements import ANNOUNCE, FEED_TURN, gun_turn
from notary_server.tuf.names import Gun
from tests.support.mariadb import MariaServer

from .database_servers import DatabaseServer, backend, database_name, waiting
from .metadata import publish

SLOW, FAST = Gun("slow"), Gun("fast")
GATE = "gate"
"""A turn that the test holds."""


@pytest.fixture(params=["postgres", "mysql"])
def server(request: pytest.FixtureRequest) -> DatabaseServer:
    """The database server."""
    name = "postgres_cluster" if request.param == "postgres" else "mariadb_server"
    found: DatabaseServer = request.getfixturevalue(name)
    return found


@pytest.fixture
def url(server: DatabaseServer) -> Iterator[str]:
    """A fresh database on it."""
    made = server.create_database()
    yield made
    server.drop_database(database_name(made))


@pytest.fixture
async def database(server: DatabaseServer, url: str, tmp_path: Path) -> Database:
    """The same with Notary's tables."""
    target = parse_url(backend(server), url, tmp_path)
    await asyncio.to_thread(migrate.upgrade, target, "server", lambda _line: None)
    return open_database(target)


@pytest.fixture
async def store(database: Database) -> AsyncIterator[SqlStore]:
    """A store over it."""
    store = SqlStore(database)
    yield store
    await store.close()


async def until_waiting(server: DatabaseServer, url: str, sessions: int, task: asyncio.Task[object]) -> None:
    """Return when so many sessions of the database wait for a turn, or `task` has ended."""
    async with asyncio.timeout(10):
        while not task.done() and waiting(server, database_name(url)) < sessions:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def hold_slow_changes(server: DatabaseServer, name: str) -> None:
    """From now on a changefeed record of `SLOW` waits for the gate, after its ID was drawn."""
    if isinstance(server, MariaServer):
        gate = lock_name(name, GATE)
        server.sql(
            f"""DELIMITER //
            CREATE TRIGGER hold AFTER INSERT ON changefeed FOR EACH ROW IF NEW.gun = '{SLOW}' THEN
                DO GET_LOCK('{gate}', 30); DO RELEASE_LOCK('{gate}');
            END IF//""",
            name,
        )
        return
    server.sql(
        f"""CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF NEW.gun = '{SLOW}' THEN PERFORM pg_advisory_xact_lock({lock_number(GATE)}); END IF; RETURN NEW;
            END $$;
        CREATE TRIGGER hold AFTER INSERT ON changefeed FOR EACH ROW EXECUTE FUNCTION hold()""",
        name,
    )


async def test_a_change_is_not_visible_before_one_with_a_lower_id(
    store: SqlStore, database: Database, server: DatabaseServer, url: str
) -> None:
    """A commit that has drawn its changefeed ID and is slow to end holds back the commits behind it."""
    hold_slow_changes(server, database_name(url))
    async with database.transaction(turn=GATE):
        slow = asyncio.create_task(store.commit(await store.trust_state(SLOW, []), publish(1)))
        await until_waiting(server, url, 1, slow)
        fast = asyncio.create_task(store.commit(await store.trust_state(FAST, []), publish(1)))
        await until_waiting(server, url, 2, fast)
        seen = await store.changes(None, 0, 10)
    await asyncio.gather(slow, fast)
    everything = await store.changes(None, 0, 10)
    assert [change.gun for change in everything] == [SLOW, FAST]
    assert seen == []


async def test_a_delete_waits_for_a_commit_that_has_begun(
    store: SqlStore, database: Database, server: DatabaseServer, url: str
) -> None:
    """Rows that a commit has inserted and not yet committed do not survive the delete that comes behind it."""
    await store.commit(await store.trust_state(SLOW, []), publish(1))
    state = await store.trust_state(SLOW, [])
    async with database.transaction(turn=FEED_TURN):
        slow = asyncio.create_task(store.commit(state, publish(2, with_root=False)))
        await until_waiting(server, url, 1, slow)
        delete = asyncio.create_task(store.delete(SLOW))
        await until_waiting(server, url, 2, delete)
    await asyncio.gather(slow, delete)
    assert (await store.trust_state(SLOW, [])).latest == {}
    assert [change.version for change in await store.changes(SLOW, 0, 10)] == [1, 2, 0]


async def test_other_repositories_do_not_wait_while_one_is_written(
    store: SqlStore, database: Database, server: DatabaseServer, url: str
) -> None:
    """The lock is the repository's own: only its last step is everybody's."""
    async with database.transaction(turn=gun_turn(SLOW)):
        slow = asyncio.create_task(store.commit(await store.trust_state(SLOW, []), publish(1)))
        await until_waiting(server, url, 1, slow)
        await store.commit(await store.trust_state(FAST, []), publish(1))
        assert not slow.done()
    await slow


async def test_an_id_is_drawn_only_by_who_has_the_turn(
    store: SqlStore, database: Database, server: DatabaseServer, url: str
) -> None:
    """A commit that waits for its turn at the changefeed has no ID yet: whoever goes first has the lower one."""
    async with database.transaction(turn=FEED_TURN) as first:
        waiting_one = asyncio.create_task(store.commit(await store.trust_state(SLOW, []), publish(1)))
        await until_waiting(server, url, 1, waiting_one)
        values = {"gun": FAST, "version": 1, "sha256": "", "category": "update", "now": datetime(2026, 1, 1)}  # noqa: DTZ001 - as the column holds it
        await first.run(ANNOUNCE, **values)
    await waiting_one
    assert [change.gun for change in await store.changes(None, 0, 10)] == [FAST, SLOW]
