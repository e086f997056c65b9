"""SQLite: a killed process, a missing folder, a busy writer, private files."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from notary_common import migrate, schema
from notary_common.database import DatabaseUnavailable, open_database, parse_url
from notary_server.errors import StoreUnavailable
from notary_server.storage.sql_store import SqlStore
from notary_server.tuf.names import ROOT, SNAPSHOT, TARGETS, TIMESTAMP, Gun
from tests.support.postgres import PostgresCluster

from .metadata import found, publish

GUN = Gun("docker.io/library/alpine")

WRITER = """
import asyncio, sys
from pathlib import Path
from notary_common.database import open_database, parse_url
from notary_server.storage.sql_store import SqlStore
from tests.contract.metadata import publish

async def main():
    store = SqlStore(open_database(parse_url("sqlite3", "notary.db", Path(sys.argv[1]))))
    for version in range(1, 100_000):
        await store.commit(await store.trust_state(sys.argv[2], []), publish(version))
        print(version, flush=True)

asyncio.run(main())
"""


def _write_until_killed(folder: Path) -> int:
    """Start a writer, kill it in the middle; the last version it reported as committed."""
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(folder), GUN], stdout=subprocess.PIPE, text=True, cwd=Path.cwd()
    ) as writer:
        assert writer.stdout is not None
        first = [int(writer.stdout.readline()) for _ in range(5)]
        writer.send_signal(signal.SIGKILL)
        return max(first + [int(line) for line in writer.stdout.read().splitlines()])


@pytest.mark.faults
async def test_a_killed_writer_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    """kill -9 in the middle of commits: the last acknowledged one is there, whole, and writing goes on."""
    target = parse_url("sqlite3", "notary.db", tmp_path)
    await asyncio.to_thread(migrate.upgrade, target, "server", lambda _line: None)
    for _round in range(2):
        store = SqlStore(open_database(target))
        await store.delete(GUN)
        await store.close()
        acknowledged = await asyncio.to_thread(_write_until_killed, tmp_path)
        store = SqlStore(open_database(target))
        state = await store.trust_state(GUN, [])
        versions = {summary.version for summary in state.latest.values()}
        assert set(state.latest) == {ROOT, TARGETS, SNAPSHOT, TIMESTAMP}
        assert len(versions) == 1
        assert max(versions) >= acknowledged
        assert (await store.changes(GUN, 0, -1))[0].version == max(versions)
        await store.commit(state, publish(max(versions) + 1))
        await store.close()
    with sqlite3.connect(tmp_path / "notary.db") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


async def test_a_writer_that_never_ends_makes_others_unavailable(tmp_path: Path) -> None:
    """Reads go on beside it; a second writer gives up after the busy timeout."""
    target = parse_url("sqlite3", "notary.db?_busy_timeout=100", tmp_path)
    await asyncio.to_thread(migrate.upgrade, target, "server", lambda _line: None)
    database = open_database(target)
    store = SqlStore(database)
    await store.commit(await store.trust_state(GUN, []), publish(1))
    state = await store.trust_state(GUN, [])
    async with database.transaction():
        assert found(await store.current(GUN, TARGETS)).version == 1
        with pytest.raises(StoreUnavailable):
            await store.commit(state, publish(2))
    await store.commit(state, publish(2))
    await store.close()


async def test_a_path_that_cannot_be_opened_is_unavailable(tmp_path: Path) -> None:
    """A missing folder, or a file that is no database, is no foreign exception."""
    (tmp_path / "text.db").write_text("this is no database, but a sentence of some length\n" * 100)
    for url in ("missing/notary.db", "text.db"):
        target = parse_url("sqlite3", url, tmp_path)
        store = SqlStore(open_database(target))
        with pytest.raises(StoreUnavailable):
            await store.ping()
        with pytest.raises(DatabaseUnavailable):
            await asyncio.to_thread(migrate.upgrade, target, "server", lambda _line: None)
        await store.close()


def test_looking_does_not_create_the_file(tmp_path: Path) -> None:
    """Asking for the state of the schema leaves nothing behind; an upgrade makes a file for its owner only."""
    target = parse_url("sqlite3", "notary.db", tmp_path)
    assert "db upgrade" in str(schema.schema_problem(target, "server"))
    assert list(tmp_path.iterdir()) == []
    migrate.upgrade(target, "server", lambda _line: None)
    assert stat.S_IMODE((tmp_path / "notary.db").stat().st_mode) == 0o600


@pytest.mark.parametrize("backend", ["sqlite3", "postgres"])
def test_upgrades_at_the_same_time_take_turns(
    backend: str, tmp_path: Path, postgres_cluster: PostgresCluster
) -> None:
    """Several starting servers may all upgrade one new database: the tables are made once."""
    url = "notary.db" if backend == "sqlite3" else postgres_cluster.create_database()
    target = parse_url(backend, url, tmp_path)
    lines: list[list[str]] = [[] for _ in range(4)]
    with ThreadPoolExecutor(4) as threads:
        for done in [threads.submit(migrate.upgrade, target, "server", some.append) for some in lines]:
            done.result(60)
    assert sum("created the table tuf_files" in some for some in lines) == 1
    assert sum(some == ["the tables are up to date"] for some in lines) == 3
    assert schema.schema_problem(target, "server") is None
