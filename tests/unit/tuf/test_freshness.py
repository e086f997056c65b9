"""What is renewed when, and by whom it may be."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest

from notary_server.tuf import freshness, instant, publish
from notary_server.tuf.freshness import Due
from notary_server.tuf.names import MAX_VERSION
from tests.publisher.certificates import root_key
from tests.publisher.files import expires_in
from tests.publisher.keys import ecdsa_key, key_id

from .world import DAY, GUN, LIFETIMES, World

FORTNIGHT = 15 * DAY
FOUR_YEARS = 4 * 365 * DAY
TWENTY_YEARS = 20 * 365 * DAY


def due(world: World) -> Due:
    """What is due of the stored files."""
    return freshness.due(world.latest("timestamp"), world.latest("snapshot"), world.now_ns)


def renewal(world: World) -> freshness.RenewalPlan | None:
    """How to renew what is stored."""
    state = world.state()
    return freshness.renewal(GUN, state, world.held(state), world.now_ns, LIFETIMES)


def renew(world: World) -> None:
    """Renew, sign, seal and store, as the server does."""
    plan = renewal(world)
    assert plan is not None
    snapshot = None if plan.snapshot is None else world.seal(plan.snapshot)
    if snapshot is not None:
        world.store("snapshot", snapshot)
    world.store("timestamp", world.seal(plan.timestamp(snapshot)))


def expired(signed: dict[str, Any]) -> None:
    """An edit that lets a file have expired."""
    signed["expires"] = expires_in(-1)


@pytest.fixture
def world() -> World:
    """A repository after its first publish; the server signs snapshot and timestamp."""
    made = World()
    made.first()
    return made


@pytest.fixture
def own() -> World:
    """The same with a client-signed snapshot."""
    made = World(client_snapshot=True)
    made.first()
    return made


def test_nothing_is_due_at_first(world: World) -> None:
    """Fresh files stay."""
    assert due(world) is Due.NOTHING
    assert renewal(world) is None


def test_a_file_is_fresh_to_its_last_nanosecond(world: World) -> None:
    """Expiry is the last instant at which a file is valid."""
    world.now_ns += LIFETIMES.timestamp * 10**9
    assert due(world) is Due.NOTHING
    world.now_ns += 1
    assert due(world) is Due.TIMESTAMP
    world.now_ns += (LIFETIMES.snapshot - LIFETIMES.timestamp) * 10**9 - 1
    assert due(world) is Due.TIMESTAMP
    world.now_ns += 1
    assert due(world) is Due.SNAPSHOT


def test_an_expired_timestamp_is_made_anew_over_the_same_snapshot(world: World) -> None:
    """Only the timestamp gets a new version."""
    before = world.latest("snapshot")
    world.now_ns += FORTNIGHT
    assert due(world) is Due.TIMESTAMP
    renew(world)
    assert world.latest("snapshot") == before
    assert world.walk()["timestamp"]["version"] == 2
    assert due(world) is Due.NOTHING


def test_an_expired_snapshot_is_made_anew_with_its_timestamp(world: World) -> None:
    """Both get a new version; entries stay, root's is that of the stored root."""
    before = world.walk()["snapshot"]["meta"]
    world.now_ns += FOUR_YEARS
    assert due(world) is Due.SNAPSHOT
    renew(world)
    after = world.walk()
    assert after["snapshot"]["meta"] == before
    assert after["snapshot"]["version"] == after["timestamp"]["version"] == 2
    for role, lifetime in (("snapshot", LIFETIMES.snapshot), ("timestamp", LIFETIMES.timestamp)):
        assert instant.parse(after[role]["expires"]) == world.now_ns + lifetime * instant.SECOND
    assert due(world) is Due.NOTHING


def test_an_expired_snapshot_under_a_fresh_timestamp_renews_both(world: World) -> None:
    """A timestamp never vouches for an expired snapshot if the server can help it."""
    data = json.loads(world.latest("snapshot"))
    expired(data["signed"])
    world.store("snapshot", json.dumps(data).encode())
    assert due(world) is Due.SNAPSHOT
    renew(world)
    assert world.walk()["timestamp"]["version"] == 2


def test_roots_entry_is_refreshed(world: World) -> None:
    """A renewed snapshot lists the latest stored root."""
    world.store("root", world.owner.root(2))
    world.now_ns += FOUR_YEARS
    renew(world)
    assert world.walk()["root"]["version"] == 2


def test_neither_roots_expiry_nor_its_certificates_matter() -> None:
    """Timestamps and snapshots are renewed long after both."""
    world = World()
    world.owner.root_keys = [root_key(GUN, not_after=dt.timedelta(days=1))]
    world.first()
    world.now_ns += TWENTY_YEARS
    renew(world)
    assert world.walk()["timestamp"]["version"] == 2


def test_an_expired_client_snapshot_stays_and_its_timestamp_is_renewed(own: World) -> None:
    """Only the owner can replace it; what there is keeps being served."""
    before = own.latest("snapshot")
    own.now_ns += FOUR_YEARS
    assert due(own) is Due.SNAPSHOT
    renew(own)
    assert own.latest("snapshot") == before
    assert own.walk()["timestamp"]["version"] == 2
    assert due(own) is Due.SNAPSHOT
    assert renewal(own) is None


def test_nothing_is_renewed_without_the_timestamp_key(world: World) -> None:
    """A snapshot without a timestamp over it would help nobody."""
    del world.signer[key_id(world.owner.server_keys["timestamp"])]
    world.now_ns += FOUR_YEARS
    assert renewal(world) is None


def test_a_key_of_another_repository_renews_nothing(world: World) -> None:
    """A stored root that lists it does not make it sign."""
    world.owner.server_keys["timestamp"] = world.make_key("timestamp", gun="docker.example/other").object
    world.store("root", world.owner.root(2))
    world.now_ns += FORTNIGHT
    assert renewal(world) is None


@pytest.mark.parametrize("role", ["timestamp", "snapshot"])
def test_nothing_is_renewed_beyond_the_last_version(world: World, role: str) -> None:
    """Versions end at 2^31 - 1; what is stored is served as it is."""
    world.store(role, world.latest(role), MAX_VERSION)
    world.now_ns += FOUR_YEARS
    assert renewal(world) is None


@pytest.mark.parametrize("role", ["root", "snapshot", "timestamp"])
def test_nothing_is_renewed_of_what_is_missing_or_unreadable(world: World, role: str) -> None:
    """An empty or damaged repository is no reason to fail."""
    world.now_ns += FORTNIGHT
    world.store(role, b"{}", 2)
    assert renewal(world) is None
    del world.files[role]
    assert renewal(world) is None


def test_unreadable_files_are_not_due() -> None:
    """What cannot be read is served as it is."""
    assert freshness.due(b"", b"{}", 0) is Due.NOTHING


def test_a_new_root_key_decides_who_renews(world: World) -> None:
    """The latest stored root's keys sign."""
    world.owner.server_keys["timestamp"] = world.make_key("timestamp").object
    world.publish({"root": world.owner.root(2)})
    world.now_ns += FORTNIGHT
    renew(world)
    assert world.walk()["timestamp"]["version"] == 3


def test_asks_about_the_stored_roots_keys(world: World) -> None:
    """`online_keys` without uploads names what a renewal needs."""
    assert publish.online_keys(world.state(), ()) == {key_id(key) for key in world.owner.server_keys.values()}
    assert ecdsa_key().id not in publish.online_keys(world.state(), ())
