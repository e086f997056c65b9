"""Reads that travel together and are answered from memory are still the database's own answers."""

from __future__ import annotations

import asyncio
import json
import tracemalloc
import uuid
from base64 import b64decode
from collections.abc import Sequence

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncEngine

from notary_common.database import DatabaseTarget, open_database
from notary_common.database.engine import transaction
from notary_server.ports import StoredFile
from notary_server.storage.sql_store import SqlStore
from notary_server.tuf.model import NewFile
from notary_server.tuf.names import BASE_ROLES, ROOT, SNAPSHOT, TARGETS, TIMESTAMP, Gun, RoleName, Sha256Hex

from .metadata import body, found, new_file, publish

GUN = Gun("docker.io/library/alpine")
ABSENT = Sha256Hex("0" * 64)
WAYS = ("current", "version", "checksum")
QUESTION = st.tuples(
    st.integers(0, 11),
    st.sampled_from((*BASE_ROLES, RoleName("targets/none"))),
    st.sampled_from(WAYS),
    st.integers(0, 4),
)
"""Repository (some do not exist), role, way of asking, version."""


async def commit(store: SqlStore, gun: Gun, version: int, salt: str = "") -> list[NewFile]:
    """Publish on top of whatever is there."""
    files = publish(version, salt)
    await store.commit(await store.trust_state(gun, []), files)
    return files


async def ask(store: SqlStore, way: str, gun: Gun, file: NewFile) -> StoredFile | None:
    """One file in one of the three ways."""
    if way == "current":
        return await store.current(gun, file.role)
    if way == "version":
        return await store.by_version(gun, file.role, file.version)
    return await store.by_checksum(gun, file.role, file.sha256)


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rounds=st.lists(st.lists(QUESTION, min_size=1, max_size=120), min_size=1, max_size=3))
async def test_everybody_gets_the_answer_to_their_own_question(
    stores: list[SqlStore], rounds: list[list[tuple[int, RoleName, str, int]]]
) -> None:
    """Any crowd of readers over many repositories, more than one statement takes, agrees with a dictionary."""
    life = uuid.uuid4().hex
    stored: dict[tuple[Gun, RoleName, int], NewFile] = {}
    for number in range(9):
        gun = Gun(f"{life}/{number}")
        for version in range(1, 2 + number % 3):
            for file in await commit(stores[number % 2], gun, version, str(number)):
                stored[gun, file.role, version] = file

    async def one(place: int, question: tuple[int, RoleName, str, int]) -> tuple[bytes | None, bytes | None]:
        number, role, way, version = question
        gun = Gun(f"{life}/{number}")
        asked = 1 + number % 3 if way == "current" else version
        expected = stored.get((gun, role, asked))
        wanted = expected or NewFile(role, asked, b"", ABSENT)
        answer = await ask(stores[place % 2], way, gun, wanted)
        return (answer.data if answer else None), (expected.data if expected else None)

    for questions in rounds:
        answers = await asyncio.gather(*(one(place, question) for place, question in enumerate(questions)))
        assert [answer for answer, _ in answers] == [expected for _, expected in answers]


async def test_what_one_store_wrote_the_other_reads_at_once(stores: list[SqlStore]) -> None:
    """A commit or deletion that was acknowledged by either is seen by every later read of both."""
    for version in range(1, 7):
        writer = stores[version % 2]
        files = await commit(writer, GUN, version)
        for store in stores:
            for file in files:
                for way in WAYS:
                    assert found(await ask(store, way, GUN, file)).data == file.data
        if version % 3 == 0:
            assert await writer.delete(GUN)
            for store in stores:
                assert [await ask(store, way, GUN, file) for way in WAYS for file in files] == [None] * 12


async def test_a_file_that_was_deleted_and_stored_again_is_found_as_it_is_now(stores: list[SqlStore]) -> None:
    """The same bytes under another version: no store answers with what it remembers of the first life."""
    snapshot = b"the same bytes"
    for version in (3, 1, 2):
        files = [*(file for file in publish(version) if file.role != ROOT), new_file(ROOT, version, snapshot)]
        await stores[0].commit(await stores[0].trust_state(GUN, []), files)
        for store in stores:
            assert found(await store.by_checksum(GUN, ROOT, files[-1].sha256)).version == version
            assert found(await store.by_version(GUN, ROOT, version)).version == version
        await stores[0].delete(GUN)


async def test_the_same_bytes_in_two_versions_are_both_served(stores: list[SqlStore]) -> None:
    """Each version keeps its own row, whichever was read first."""
    for version in (1, 2):
        files = [*(file for file in publish(version) if file.role != ROOT), new_file(ROOT, version, b"same")]
        await stores[0].commit(await stores[0].trust_state(GUN, []), files)
    for store in stores:
        for version in (1, 2, 1, 2):
            assert found(await store.by_version(GUN, ROOT, version)).version == version


async def test_a_row_without_a_digest_is_served(store: SqlStore, engine: AsyncEngine) -> None:
    """An old database may have rows whose digest is missing: they are read by version, and none for another."""
    files = [*(await commit(store, GUN, 1)), *(await commit(store, Gun("other"), 1, "other"))]
    async with transaction(engine) as connection:
        await connection.execute(sa.text("UPDATE tuf_files SET sha256 = NULL"))
    for gun, file in zip([GUN] * 4 + [Gun("other")] * 4, files, strict=True):
        assert found(await store.by_version(gun, file.role, 1)).data == file.data
    assert found(await store.current(GUN, TIMESTAMP)).data == body(files[:4], TIMESTAMP)
    assert (await store.trust_state(GUN, [])).files == {file.role: file.data for file in files[:4]}


def _lists(data: bytes, role: RoleName) -> Sha256Hex:
    listed = json.loads(data)["signed"]["meta"][role]["hashes"]["sha256"]
    return Sha256Hex(b64decode(listed).hex())


async def test_the_current_files_belong_together_while_others_publish(stores: list[SqlStore]) -> None:
    """Who walks from the timestamp by plain names meets another digest only if a publish came in between; by
    checksum everything is always there; and timestamp and snapshot of one look always fit."""
    await commit(stores[0], GUN, 1)
    done = asyncio.Event()

    async def write() -> None:
        for version in range(2, 20):
            await commit(stores[0], GUN, version)
        done.set()

    async def walk(store: SqlStore) -> int:
        walks = 0
        while not done.is_set():
            walks += 1
            pair = await store.current_pair(GUN)
            assert _lists(found(pair[0]).data, SNAPSHOT) == found(pair[1]).sha256
            timestamp = found(await store.current(GUN, TIMESTAMP))
            lister = timestamp
            for role in (SNAPSHOT, TARGETS, ROOT):
                digest = _lists(lister.data, role)
                file = found(await store.current(GUN, role))
                if file.sha256 != digest:
                    assert found(await store.current(GUN, TIMESTAMP)).version > timestamp.version
                    file = found(await store.by_checksum(GUN, role, digest))
                if role == SNAPSHOT:
                    lister = file
        return walks

    writing = asyncio.create_task(write())
    walks = await asyncio.gather(*(walk(store) for store in stores for _ in range(2)))
    await writing
    assert min(walks) > 0


@pytest.mark.parametrize("cache_bytes", [0, 200_000])
async def test_memory_is_bounded_whatever_is_read(
    engine: AsyncEngine, target: DatabaseTarget, cache_bytes: int
) -> None:
    """Reading many times what may be kept, in every way, gives right answers and keeps no more than that."""
    store = SqlStore(open_database(target), cache_bytes)
    files: dict[Gun, list[NewFile]] = {}
    for number in range(20):
        gun = Gun(f"many/{number}")
        extra = {RoleName("targets/large"): b"%02d " % number * 70_000}
        files[gun] = publish(1, str(number), extra)
        await store.commit(await store.trust_state(gun, []), files[gun])
    wanted: Sequence[tuple[str, Gun, NewFile]] = [
        (way, gun, file) for gun, some in files.items() for file in some[1:] for way in WAYS
    ]
    answers = 0
    tracemalloc.start()
    try:
        for way, gun, file in wanted:
            answers += found(await ask(store, way, gun, file)).data == file.data
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert answers == len(wanted)
    assert kept < cache_bytes + 1_500_000
    await store.close()


async def test_readers_who_leave_hurt_nobody(store: SqlStore) -> None:
    """Of many who wait for the same answers, half go away at any moment; the others are answered."""
    files = await commit(store, GUN, 1)
    for pause in (0.0, 0.0, 0.0005, 0.001, 0.002):
        readers = [
            asyncio.create_task(ask(store, way, GUN, file))
            for way in WAYS
            for file in files
            for _ in range(4)
        ]
        await asyncio.sleep(pause)
        for reader in readers[::2]:
            reader.cancel()
        assert None not in await asyncio.gather(*readers[1::2])
        await asyncio.gather(*readers, return_exceptions=True)


async def test_a_closed_store_answers_those_who_wait(store: SqlStore) -> None:
    """Closing leaves no reader waiting for ever."""
    await commit(store, GUN, 1)
    for turns in range(4):
        readers = [asyncio.create_task(store.current(GUN, role)) for role in BASE_ROLES]
        for _ in range(turns):
            await asyncio.sleep(0)
        await store.close()
        async with asyncio.timeout(10):
            await asyncio.gather(*readers, return_exceptions=True)


@pytest.mark.parametrize("last", [2**31, 2**32 + 7])
async def test_changefeed_ids_go_beyond_32_bits(store: SqlStore, engine: AsyncEngine, last: int) -> None:
    """After a record with such an ID the feed goes on, in order, and is asked for from there."""
    await commit(store, GUN, 1)
    async with transaction(engine) as connection:
        await connection.execute(
            sa.text("INSERT INTO changefeed (id, gun, version, category) VALUES (:id, 'far', 7, 'update')"),
            {"id": last},
        )
        if engine.dialect.name == "postgresql":
            await connection.execute(
                sa.text("SELECT setval(pg_get_serial_sequence('changefeed', 'id'), :id)"), {"id": last}
            )
    await commit(store, GUN, 2)
    assert [change.gun for change in await store.changes(None, 0, 10)] == [GUN, "far", GUN]
    assert [(change.id, change.version) for change in await store.changes(None, last, 10)] == [(last + 1, 2)]
    assert [change.version for change in await store.changes(None, last + 1, -2)] == [1, 7]
    assert await store.changes(None, 2**63 - 1, 10) == []


async def test_the_cache_tells_what_it_spared_the_database(stores: list[SqlStore]) -> None:
    """A file is fetched once by the store that did not write it; what is not there counts as neither."""
    writer, reader = stores[:2]
    before = reader.reads
    gun = Gun(uuid.uuid4().hex)
    files = await commit(writer, gun, 1)
    for _ in range(3):
        for file in files:
            assert await reader.by_checksum(gun, file.role, file.sha256) is not None
        assert await reader.by_checksum(gun, ROOT, ABSENT) is None
        assert await reader.current(Gun("nobody"), ROOT) is None
    assert reader.reads.hits - before.hits == 2 * len(files)
    assert reader.reads.misses - before.misses == len(files)
    assert sum(len(file.data) for file in files) < reader.reads.size <= reader.reads.limit


async def test_a_pool_tells_who_waits(target: DatabaseTarget) -> None:
    """Connections in use are counted while they are, and everybody who found all of them taken."""
    database = open_database(target, pool_size=1)
    assert (database.use.in_use, database.use.limit, database.use.waits) == (0, 1, 0)
    async with database.statement():
        assert database.use.in_use == 1

        async def wait() -> None:
            async with database.statement():
                pass

        waiting = asyncio.create_task(wait())
        await asyncio.sleep(0)  # begins it
        assert database.use.waits == 1
    await waiting
    assert (database.use.in_use, database.use.waits) == (0, 1)
    await database.close()
