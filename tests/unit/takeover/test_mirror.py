"""What a live server serves is brought over whole, verified, and as often as wanted; nothing half, nothing forged."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest

from notary_common import migrate
from notary_common.database import open_database, parse_url
from notary_server.storage.sql_store import SqlStore
from notary_server.takeover.mirror import Mirrored, mirror
from notary_server.takeover.remote import RemoteServer
from notary_server.tuf.names import ROOT, TARGETS, TIMESTAMP
from tests.publisher.certificates import root_key

from ..tuf.world import GUN, World


class Live:
    """A server that serves a `World`.

    Attributes:
        missing: names of files that it has lost.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.missing: set[str] = set()

    async def get(self, gun: str, name: str) -> bytes | None:
        """See `RemoteServer.get`."""
        if gun != GUN or name in self.missing:
            return None
        if name == "timestamp.json":
            return self.world.latest("timestamp")
        first, _, rest = name.removesuffix(".json").partition(".")
        if rest == "root":
            return self.world.files["root"].get(int(first))
        return next(
            (
                data
                for data in self.world.files.get(first, {}).values()
                if hashlib.sha256(data).hexdigest() == rest
            ),
            None,
        )


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqlStore]:
    """The new server's, empty."""
    target = parse_url("sqlite3", "new.db", tmp_path)
    await asyncio.to_thread(migrate.upgrade, target, "server", lambda _: None)
    store = SqlStore(open_database(target))
    yield store
    await store.close()


@pytest.fixture
def world() -> World:
    """A repository with two roots and two versions of targets."""
    world = World()
    world.first()
    old = world.owner.root_keys
    world.owner.root_keys = [root_key(GUN)]
    world.publish({"root": world.owner.root(2, signers=[*world.owner.root_keys, *old])})
    world.publish({"targets": world.owner.targets(2)})
    return world


async def run(live: Live, store: SqlStore, gun: str = GUN) -> Mirrored:
    """Mirror one repository."""
    report = await mirror(cast(RemoteServer, live), store, [gun], lambda _: None)
    return report.repositories[0]


async def test_a_repository_is_brought_over_whole(world: World, store: SqlStore) -> None:
    """Every root, the current files, byte for byte; and what its owner has to do, for the keys stay behind."""
    done = await run(Live(world), store)
    assert done.outcome == "mirrored"
    assert done.commands[0] == f"notary key rotate {GUN} timestamp -r"
    for version in (1, 2):
        file = await store.by_version(GUN, ROOT, version)
        assert file is not None
        assert file.data == world.files["root"][version]
    for role in (TARGETS, TIMESTAMP):
        file = await store.current(GUN, role)
        assert file is not None
        assert file.data == world.latest(role)
    assert [change.gun for change in await store.changes(None, 0, 10)] == [GUN]


async def test_a_second_run_brings_what_is_new(world: World, store: SqlStore) -> None:
    """And nothing where nothing is."""
    await run(Live(world), store)
    assert (await run(Live(world), store)).outcome == "current"
    world.publish({"targets": world.owner.targets(3)})
    assert (await run(Live(world), store)).outcome == "mirrored"
    file = await store.current(GUN, TARGETS)
    assert file is not None
    assert file.data == world.latest("targets")


async def test_what_is_gone_is_said(world: World, store: SqlStore) -> None:
    """The changefeed may name what was deleted meanwhile."""
    assert (await run(Live(world), store, "docker.example/gone")).outcome == "gone"


async def test_a_name_that_cannot_be(world: World, store: SqlStore) -> None:
    """Not even asked for."""
    done = await run(Live(world), store, "a//b")
    assert (done.outcome, "segment" in done.reason) == ("refused", True)


async def test_a_torn_repository_is_refused(world: World, store: SqlStore) -> None:
    """A file that is listed and not served; nothing of the repository is stored."""
    live = Live(world)
    live.missing.add(f"targets.{hashlib.sha256(world.latest('targets')).hexdigest()}.json")
    done = await run(live, store)
    assert (done.outcome, done.reason) == ("refused", "the targets that is listed is not served")
    assert await store.repositories() == []


async def test_a_root_version_that_is_gone_is_left_out(world: World, store: SqlStore) -> None:
    """The rest is still of use to everybody who knows a newer one."""
    live = Live(world)
    live.missing.add("1.root.json")
    assert (await run(live, store)).outcome == "mirrored"
    assert await store.by_version(GUN, ROOT, 1) is None


async def test_a_server_that_has_gone_on_is_left_alone(world: World, store: SqlStore) -> None:
    """Its owner has rotated the keys and publishes there."""
    older = World()
    older.files = {role: dict(versions) for role, versions in world.files.items()}
    world.publish({"targets": world.owner.targets(3)})
    await run(Live(world), store)
    done = await run(Live(older), store)
    assert (done.outcome, done.commands) == ("ahead", ())


async def test_what_was_published_to_the_new_server_stays(world: World, store: SqlStore) -> None:
    """Both have gone on from one state: the new server's files are not replaced."""
    await run(Live(world), store)
    elsewhere = World()
    elsewhere.first()
    done = await run(Live(elsewhere), store)
    assert done.outcome == "refused"
    assert done.reason.startswith("the new server stores another")
    file = await store.current(GUN, TARGETS)
    assert file is not None
    assert file.data == world.latest("targets")
