"""What `ports.MetadataStore` promises, on every database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from notary_common.database.engine import transaction
from notary_server.errors import HeadMoved
from notary_server.storage.schema import TUF_FILES
from notary_server.storage.sql_store import SqlStore
from notary_server.tuf.model import FileSummary, NewFile
from notary_server.tuf.names import MAX_VERSION, ROOT, SNAPSHOT, TARGETS, TIMESTAMP, Gun, RoleName, Sha256Hex

from .metadata import body, found, listing, new_file, publish

GUN = Gun("docker.io/library/alpine")
OTHER = Gun("docker.io/library/alpine2")
RELEASES = RoleName("targets/releases")


async def commit(store: SqlStore, gun: Gun, *args: Any, **options: Any) -> list[NewFile]:
    """Publish on top of whatever is there."""
    files = publish(*args, **options)
    await store.commit(await store.trust_state(gun, []), files)
    return files


async def test_an_unknown_repository_is_empty(store: SqlStore) -> None:
    """Nothing is found, listed, changed or deleted before the first publish."""
    for role in (ROOT, TARGETS, SNAPSHOT, TIMESTAMP, RELEASES):
        assert await store.current(GUN, role) is None
        assert await store.by_version(GUN, role, 1) is None
    assert await store.by_checksum(GUN, ROOT, Sha256Hex("0" * 64)) is None
    state = await store.trust_state(GUN, [RELEASES])
    assert (state.gun, state.latest, state.files) == (GUN, {}, {})
    assert await store.changes(None, 0, 100) == []
    assert await store.repositories() == []
    assert await store.delete(GUN) is False
    assert await store.changes(None, 0, 100) == []
    await store.ping()


async def test_every_file_is_served_byte_for_byte(store: SqlStore) -> None:
    """Current, by version and by checksum all give the very bytes that were committed, with times in UTC."""
    before = datetime.now(UTC) - timedelta(seconds=5)
    files = await commit(store, GUN, 1, extra={RELEASES: b'\x00\xff {"odd": "bytes"} \n'})
    for file in files:
        for stored in (
            await store.current(GUN, file.role),
            await store.by_version(GUN, file.role, 1),
            await store.by_checksum(GUN, file.role, file.sha256),
        ):
            assert stored is not None
            assert (stored.role, stored.version, stored.sha256) == (file.role, 1, file.sha256)
            assert stored.data == file.data
            assert type(stored.data) is bytes
            assert stored.created_at.utcoffset() == timedelta(0)
            assert before < stored.created_at <= stored.updated_at < before + timedelta(minutes=5)


async def test_current_follows_the_listed_digests(store: SqlStore) -> None:
    """A file that the snapshot does not list is not current, though its version is the highest stored."""
    first = publish(1)
    await store.commit(await store.trust_state(GUN, []), first)
    newer = new_file(TARGETS, 2, b"targets 2, which no snapshot lists")
    timestamp = new_file(TIMESTAMP, 2, listing(TIMESTAMP, 2, {SNAPSHOT: body(first, SNAPSHOT)}))
    unlisted = new_file(SNAPSHOT, 2, listing(SNAPSHOT, 2, {TARGETS: newer.data}))
    await store.commit(await store.trust_state(GUN, []), [newer, unlisted, timestamp])

    found = {role: await store.current(GUN, role) for role in (ROOT, TARGETS, SNAPSHOT, TIMESTAMP)}

    assert {role: file and file.version for role, file in found.items()} == {
        ROOT: 1,
        TARGETS: 1,
        SNAPSHOT: 1,
        TIMESTAMP: 2,
    }
    assert (await store.trust_state(GUN, [])).latest[TARGETS].version == 2


async def test_a_role_that_the_snapshot_does_not_list_is_not_found(store: SqlStore) -> None:
    """A delegation that was dropped from the snapshot is gone from the current view, and still there by version."""
    await commit(store, GUN, 1, extra={RELEASES: b"releases"})
    await commit(store, GUN, 2)
    assert await store.current(GUN, RELEASES) is None
    assert await store.current(GUN, RoleName("targets/never")) is None
    assert await store.by_version(GUN, RELEASES, 1) is not None


@pytest.mark.parametrize(
    "broken", [b"", b"{", b"[]", b'{"signed":{}}', b'{"signed":{"meta":{"snapshot":{"hashes":{}}}}}']
)
async def test_an_unreadable_chain_finds_nothing(store: SqlStore, broken: bytes) -> None:
    """A timestamp that lists no snapshot leaves the timestamp itself and nothing else."""
    files = [file for file in publish(1) if file.role != TIMESTAMP]
    await store.commit(await store.trust_state(GUN, []), [*files, new_file(TIMESTAMP, 1, broken)])
    assert found(await store.current(GUN, TIMESTAMP)).data == broken
    assert await store.current(GUN, SNAPSHOT) is None
    assert await store.current(GUN, TARGETS) is None


async def test_a_listed_file_that_is_not_stored_is_not_found(store: SqlStore) -> None:
    """A snapshot of the old server may list digests that no row has."""
    snapshot = listing(SNAPSHOT, 1, {TARGETS: b"never stored"})
    files = [
        new_file(TARGETS, 1, b"something else"),
        new_file(SNAPSHOT, 1, snapshot),
        new_file(TIMESTAMP, 1, listing(TIMESTAMP, 1, {SNAPSHOT: snapshot})),
    ]
    await store.commit(await store.trust_state(GUN, []), files)
    assert await store.current(GUN, TARGETS) is None


async def test_a_checksum_serves_its_own_repository_and_role_only(store: SqlStore) -> None:
    """Nobody reads a file under another GUN or role by knowing its digest, also after it was read once."""
    files = await commit(store, GUN, 1)
    await commit(store, OTHER, 1, "different")
    for file in files:
        assert await store.by_checksum(GUN, file.role, file.sha256) is not None
        assert await store.by_checksum(OTHER, file.role, file.sha256) is None
        wrong = TARGETS if file.role != TARGETS else ROOT
        assert await store.by_checksum(GUN, wrong, file.sha256) is None
    assert await store.by_checksum(Gun(GUN.upper()), ROOT, files[0].sha256) is None


async def test_nothing_is_served_after_deletion(store: SqlStore) -> None:
    """Files that were read before are gone by every way of reading, and the other repository stays."""
    files = await commit(store, GUN, 1)
    await commit(store, OTHER, 1)
    for file in files:
        await store.by_checksum(GUN, file.role, file.sha256)
        await store.current(GUN, file.role)
    assert await store.delete(GUN) is True
    for file in files:
        assert await store.by_checksum(GUN, file.role, file.sha256) is None
        assert await store.by_version(GUN, file.role, 1) is None
        assert await store.current(GUN, file.role) is None
        assert await store.current(OTHER, file.role) is not None
    assert (await store.trust_state(GUN, [])).latest == {}
    assert await store.delete(GUN) is False


@pytest.mark.parametrize("version", [0, -1, MAX_VERSION + 1, 2**63, 10**30])
async def test_versions_that_no_row_can_have_are_not_found(store: SqlStore, version: int) -> None:
    """Zero serves no oldest file and a huge number is no failure."""
    await commit(store, GUN, 1)
    assert await store.by_version(GUN, ROOT, version) is None


@pytest.mark.parametrize("gun", ["a\0b", "\udc80", "g" * 256, "", "gün/日本"])
async def test_names_that_cannot_be_stored_are_not_found(store: SqlStore, gun: str) -> None:
    """Reading under a name that the column cannot hold, or that nobody used, finds nothing and never fails."""
    name = Gun(gun)
    assert await store.current(name, ROOT) is None
    assert await store.by_version(name, ROOT, 1) is None
    assert await store.by_checksum(name, ROOT, Sha256Hex("0" * 64)) is None
    assert (await store.trust_state(name, [RoleName("x\0y")])).latest == {}
    assert await store.delete(name) is False
    assert await store.changes(name, 0, 10) == []
    assert await store.repositories(gun) == []
    assert await store.current(GUN, RoleName(gun)) is None


async def test_longest_names_and_unicode_are_stored(store: SqlStore) -> None:
    """255 characters fit, also where each takes several bytes."""
    gun = Gun("ü" * 255)
    role = RoleName("targets/" + "r" * 247)
    files = await commit(store, gun, MAX_VERSION, extra={role: b"x"})
    assert found(await store.current(gun, role)).data == b"x"
    assert found(await store.by_version(gun, TIMESTAMP, MAX_VERSION)).data == body(files, TIMESTAMP)


async def test_trust_state_has_latest_of_every_role_and_only_wanted_bodies(store: SqlStore) -> None:
    """Summaries for all roles; bytes for the base roles and for those asked for."""
    others = {RoleName(f"targets/{name}"): name.encode() * 3 for name in ("a", "b", "b/c")}
    await commit(store, GUN, 1, extra=others)
    files = await commit(store, GUN, 7, extra={RoleName("targets/a"): b"newer"})
    state = await store.trust_state(
        GUN, [RoleName("targets/a"), RoleName("targets/b"), RoleName("targets/none")]
    )
    assert {role: summary.version for role, summary in state.latest.items()} == {
        ROOT: 7,
        TARGETS: 7,
        SNAPSHOT: 7,
        TIMESTAMP: 7,
        "targets/a": 7,
        "targets/b": 1,
        "targets/b/c": 1,
    }
    assert set(state.files) == {ROOT, TARGETS, SNAPSHOT, TIMESTAMP, "targets/a", "targets/b"}
    assert state.files[RoleName("targets/b")] == b"bbb"
    for file in files:
        assert state.files[file.role] == file.data
        assert state.latest[file.role] == FileSummary(7, file.sha256, len(file.data))


async def test_commit_refuses_a_moved_head(store: SqlStore) -> None:
    """A state that was read before another commit cannot be committed upon, whatever it wants to store."""
    old = await store.trust_state(GUN, [])
    files = await commit(store, GUN, 1)
    with pytest.raises(HeadMoved):
        await store.commit(old, publish(2))
    assert found(await store.current(GUN, TIMESTAMP)).data == body(files, TIMESTAMP)
    assert len(await store.changes(None, 0, 10)) == 1


async def test_commit_compares_the_digest_of_the_head_too(store: SqlStore) -> None:
    """Delete and a new start with the same versions is not the state that was read."""
    await commit(store, GUN, 1, "first life")
    state = await store.trust_state(GUN, [])
    await store.delete(GUN)
    second = await commit(store, GUN, 1, "second life")
    with pytest.raises(HeadMoved):
        await store.commit(state, publish(2, "first life"))
    assert found(await store.current(GUN, TIMESTAMP)).data == body(second, TIMESTAMP)


async def test_commit_on_a_deleted_repository_is_refused(store: SqlStore) -> None:
    """A publish planned before a delete does not bring half a repository back."""
    await commit(store, GUN, 1)
    state = await store.trust_state(GUN, [])
    await store.delete(GUN)
    with pytest.raises(HeadMoved):
        await store.commit(state, publish(2))
    assert (await store.trust_state(GUN, [])).latest == {}


@pytest.mark.parametrize("version", [1, 2])
async def test_commit_refuses_versions_that_are_not_higher(store: SqlStore, version: int) -> None:
    """The same or a lower version of any role stops the whole commit."""
    await commit(store, GUN, 2)
    state = await store.trust_state(GUN, [])
    files = [file for file in publish(3) if file.role != TARGETS]
    with pytest.raises(HeadMoved):
        await store.commit(state, [*files, new_file(TARGETS, version, b"late")])
    assert {file.version for file in (await store.trust_state(GUN, [])).latest.values()} == {2}
    assert len(await store.changes(None, 0, 10)) == 1


async def test_commit_with_one_role_twice_stores_nothing(store: SqlStore) -> None:
    """What the unique index refuses is refused whole."""
    files = publish(1)
    with pytest.raises(HeadMoved):
        await store.commit(await store.trust_state(GUN, []), [*files, files[0]])
    assert (await store.trust_state(GUN, [])).latest == {}
    assert await store.changes(None, 0, 10) == []


async def test_commit_of_many_roles(store: SqlStore) -> None:
    """More roles than one check holds are all compared and stored."""
    many = {RoleName(f"targets/r{number}"): b"%d" % number for number in range(350)}
    await commit(store, GUN, 1, extra=many)
    state = await store.trust_state(GUN, list(many))
    assert {role: state.files[role] for role in many} == many
    late = new_file(RoleName("targets/r349"), 1, b"again")
    others = [new_file(RoleName(f"targets/r{number}"), 2, b"x") for number in range(349)]
    with pytest.raises(HeadMoved):
        await store.commit(state, [*others, late])


async def test_deleted_at_hides_a_row(store: SqlStore, engine: AsyncEngine) -> None:
    """Rows that a Notary marked as deleted are seen by nobody, and their versions stay taken."""
    await commit(store, GUN, 1)
    files = await commit(store, GUN, 2)
    async with transaction(engine) as connection:
        await connection.execute(
            sa.update(TUF_FILES)
            .where(TUF_FILES.c.version == 2)
            .values(deleted_at=sa.func.current_timestamp())
        )
    for file in files:
        assert found(await store.current(GUN, file.role)).version == 1
        assert await store.by_version(GUN, file.role, 2) is None
        assert await store.by_checksum(GUN, file.role, file.sha256) is None
    state = await store.trust_state(GUN, [])
    assert {summary.version for summary in state.latest.values()} == {1}
    assert [(found.rows, found.latest[ROOT].version) for found in await store.repositories()] == [(4, 1)]
    with pytest.raises(HeadMoved):
        await store.commit(state, publish(2))


async def test_the_changefeed_tells_each_commit_and_deletion(store: SqlStore) -> None:
    """One update per timestamp with its version and digest; a deletion has version 0 and an empty digest."""
    first = await commit(store, GUN, 1)
    await commit(store, OTHER, 1)
    second = await commit(store, GUN, 2)
    await store.delete(GUN)
    feed = await store.changes(None, 0, 100)
    assert [(change.gun, change.version, change.category) for change in feed] == [
        (GUN, 1, "update"),
        (OTHER, 1, "update"),
        (GUN, 2, "update"),
        (GUN, 0, "deletion"),
    ]
    digests = [next(file.sha256 for file in files if file.role == TIMESTAMP) for files in (first, second)]
    assert [change.sha256 for change in feed if change.gun == GUN] == [*digests, ""]
    assert sorted({change.id for change in feed}) == [change.id for change in feed]
    assert all(change.created_at.utcoffset() == timedelta(0) for change in feed)
    assert [change.gun for change in await store.changes(OTHER, 0, 100)] == [OTHER]


async def test_the_changefeed_pages_in_both_directions(store: SqlStore) -> None:
    """Forwards after an ID, backwards before an ID or from the end, always oldest first."""
    for version in range(1, 6):
        await commit(store, GUN, version)
    ids = [change.id for change in await store.changes(None, 0, 100)]

    async def asked(change_id: int, records: int) -> list[int]:
        return [change.id for change in await store.changes(GUN, change_id, records)]

    assert await asked(0, 2) == ids[:2]
    assert await asked(-7, 2) == ids[:2]
    assert await asked(ids[1], 2) == ids[2:4]
    assert await asked(ids[4], 2) == []
    assert await asked(2**40, 2) == []
    assert await asked(0, -2) == ids[3:]
    assert await asked(-1, -2) == ids[3:]
    assert await asked(ids[3], -2) == ids[1:3]
    assert await asked(ids[0], -2) == []
    assert await asked(2**40, -2) == ids[3:]
    assert await asked(0, 2**31 - 1) == ids
    assert await asked(0, -(2**31)) == ids


async def test_repositories_lists_by_prefix(store: SqlStore) -> None:
    """Exact prefixes (no wildcard meaning), sorted, with counts and sizes."""
    names = ["b/one", "a_x/two", "a%x/three", "abx/four", "B/five"]
    for name in names:
        await commit(store, Gun(name), 1)
    files = await commit(store, Gun("b/one"), 3)
    assert [found.gun for found in await store.repositories()] == sorted(names)
    assert [found.gun for found in await store.repositories("a%")] == ["a%x/three"]
    assert [found.gun for found in await store.repositories("a_")] == ["a_x/two"]
    [found] = await store.repositories("b/")
    assert (found.rows, found.latest[TARGETS].version) == (8, 3)
    assert found.size == sum(len(file.data) for file in [*files, *publish(1)])
    assert found.latest[ROOT].length == len(body(files, ROOT))
