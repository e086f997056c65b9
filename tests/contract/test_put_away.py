"""Putting a repository away and bringing it back, over every database, under the eyes of a running server's cache."""

from __future__ import annotations

import pytest

from notary_common.database import Database, DatabaseTarget
from notary_server.storage.put_away import NothingPutAway, PublishedMeanwhile, bring_back, put_away
from notary_server.storage.sql_store import SqlStore
from notary_server.tuf.names import ROOT, SNAPSHOT, TARGETS, TIMESTAMP, Gun, Sha256Hex
from notary_server.upkeep.resetting import reset, undo

from .metadata import body, found, publish

GUN, OTHER = Gun("reg.example/team/app"), Gun("reg.example/team/App")
ROLES = (ROOT, TARGETS, SNAPSHOT, TIMESTAMP)

pytestmark = pytest.mark.parametrize("target", ["sqlite-file", "postgres", "mysql"], indirect=True)


async def _publish(store: SqlStore, gun: Gun, *versions: int, salt: str = "") -> None:
    for version in versions:
        await store.commit(await store.trust_state(gun, ()), publish(version, gun + salt))


async def test_it_is_gone_for_readers_and_comes_back_as_it_was(store: SqlStore, database: Database) -> None:
    """Every version, its bytes and times; the changefeed tells both. A name in other letters is another repository."""
    await _publish(store, GUN, 1, 2, 3)
    await _publish(store, OTHER, 1)
    before = {role: [await store.by_version(GUN, role, version) for version in (1, 2, 3)] for role in ROLES}
    assert await put_away(database, GUN, 7) == 12
    for role in ROLES:
        assert await store.current(GUN, role) is None
        assert found(await store.current(OTHER, role)).version == 1
        for file in before[role]:
            assert await store.by_checksum(GUN, role, Sha256Hex(found(file).sha256)) is None
    assert [(change.category, change.version) for change in await store.changes(GUN, 0, 10)][-1] == (
        "deletion",
        0,
    )
    assert await store.put_away_root(GUN) == body(publish(3, GUN), ROOT)
    assert await bring_back(database, GUN) == 12
    after = {role: [await store.by_version(GUN, role, version) for version in (1, 2, 3)] for role in ROLES}
    assert after == before
    assert [(change.category, change.version) for change in await store.changes(GUN, 0, 10)][-1] == (
        "update",
        3,
    )
    assert await store.put_away_root(GUN) is None
    await _publish(store, GUN, 4)


async def test_what_was_published_since_is_not_lost(store: SqlStore, database: Database) -> None:
    """Bringing back is refused then; a second reset leaves both, and the newer one comes back first."""
    await _publish(store, GUN, 1, 2)
    await put_away(database, GUN, 7)
    await _publish(store, GUN, 1, salt="new")
    with pytest.raises(PublishedMeanwhile):
        await bring_back(database, GUN)
    assert found(await store.current(GUN, ROOT)).data == body(publish(1, GUN + "new"), ROOT)
    assert await put_away(database, GUN, 8) == 4
    assert await store.put_away_root(GUN) == body(publish(1, GUN + "new"), ROOT)
    assert await bring_back(database, GUN) == 4
    assert found(await store.current(GUN, ROOT)).data == body(publish(1, GUN + "new"), ROOT)
    await store.delete(GUN)
    assert await bring_back(database, GUN) == 8
    assert found(await store.current(GUN, ROOT)).version == 2
    await store.delete(GUN)
    with pytest.raises(NothingPutAway):
        await bring_back(database, GUN)


async def test_nothing_is_put_away_of_what_is_not_there(
    store: SqlStore, database: Database, target: DatabaseTarget
) -> None:
    """And no deletion is announced."""
    await _publish(store, OTHER, 1)
    assert await put_away(database, GUN, 7) == 0
    assert await store.changes(GUN, 0, 10) == []
    assert await reset(target, GUN, 7) is None
    with pytest.raises(NothingPutAway):
        await undo(target, GUN)


async def test_a_dry_run_tells_the_same_and_changes_nothing(store: SqlStore, target: DatabaseTarget) -> None:
    """The command looks first, whatever it does then."""
    await _publish(store, GUN, 1, 2)
    foreseen = await reset(target, GUN, None)
    assert found(await store.current(GUN, ROOT)).version == 2
    done = await reset(target, GUN, 7)
    assert foreseen is not None
    assert done is not None
    assert foreseen.dry_run
    assert (foreseen.rows, foreseen.report) == (done.rows, done.report)
    assert await store.current(GUN, ROOT) is None
    assert await undo(target, GUN) == 8
