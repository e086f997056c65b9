"""What is renewed when, and by whom it may be."""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notary_server.tuf import freshness, instant, publish
from notary_server.tuf.document import by_role
from notary_server.tuf.freshness import Horizon
from notary_server.tuf.names import MAX_VERSION, Gun
from tests.publisher.certificates import root_key
from tests.publisher.files import expires_in
from tests.publisher.keys import ecdsa_key, key_id

from .world import DAY, GUN, LIFETIMES, World

FORTNIGHT = 15 * DAY
FOUR_YEARS = 4 * 365 * DAY
TWENTY_YEARS = 20 * 365 * DAY


def due(world: World) -> set[str]:
    """The roles of the stored files that have expired."""
    now = Horizon.now(world.now_ns)
    return set(freshness.due(world.latest("timestamp"), world.latest("snapshot"), now))


def due_ahead(world: World) -> set[str]:
    """The roles of the stored files that are to be renewed before they expire."""
    ahead = Horizon.ahead(GUN, world.now_ns, LIFETIMES)
    return set(freshness.due(world.latest("timestamp"), world.latest("snapshot"), ahead))


def renewal(world: World, horizon: Horizon | None = None) -> freshness.RenewalPlan | None:
    """How to renew what is stored; by default, what has expired."""
    state = world.state()
    needed = horizon or Horizon.now(world.now_ns)
    return freshness.renewal(GUN, state, world.held(state), world.now_ns, LIFETIMES, needed)


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
    assert due(world) == set()
    assert renewal(world) is None


def test_a_file_is_fresh_to_its_last_nanosecond(world: World) -> None:
    """Expiry is the last instant at which a file is valid."""
    world.now_ns += LIFETIMES.timestamp * 10**9
    assert due(world) == set()
    world.now_ns += 1
    assert due(world) == {"timestamp"}
    world.now_ns += (LIFETIMES.snapshot - LIFETIMES.timestamp) * 10**9 - 1
    assert due(world) == {"timestamp"}
    world.now_ns += 1
    assert due(world) == {"timestamp", "snapshot"}


def test_an_expired_timestamp_is_made_anew_over_the_same_snapshot(world: World) -> None:
    """Only the timestamp gets a new version."""
    before = world.latest("snapshot")
    world.now_ns += FORTNIGHT
    assert due(world) == {"timestamp"}
    renew(world)
    assert world.latest("snapshot") == before
    assert world.walk()["timestamp"]["version"] == 2
    assert due(world) == set()


def test_an_expired_snapshot_is_made_anew_with_its_timestamp(world: World) -> None:
    """Both get a new version; entries stay, root's is that of the stored root."""
    before = world.walk()["snapshot"]["meta"]
    world.now_ns += FOUR_YEARS
    assert due(world) == {"timestamp", "snapshot"}
    renew(world)
    after = world.walk()
    assert after["snapshot"]["meta"] == before
    assert after["snapshot"]["version"] == after["timestamp"]["version"] == 2
    for role, lifetime in (("snapshot", LIFETIMES.snapshot), ("timestamp", LIFETIMES.timestamp)):
        assert instant.parse(after[role]["expires"]) == world.now_ns + lifetime * instant.SECOND
    assert due(world) == set()


def test_an_expired_snapshot_under_a_fresh_timestamp_renews_both(world: World) -> None:
    """A timestamp never vouches for an expired snapshot if the server can help it."""
    data = json.loads(world.latest("snapshot"))
    expired(data["signed"])
    world.store("snapshot", json.dumps(data).encode())
    assert due(world) == {"snapshot"}
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
    assert due(own) == {"timestamp", "snapshot"}
    renew(own)
    assert own.latest("snapshot") == before
    assert own.walk()["timestamp"]["version"] == 2
    assert due(own) == {"snapshot"}
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
    assert freshness.due(b"", b"{}", Horizon.now(2**62)) == set()


def test_a_new_root_key_decides_who_renews(world: World) -> None:
    """The latest stored root's keys sign."""
    world.owner.server_keys["timestamp"] = world.make_key("timestamp").object
    world.publish({"root": world.owner.root(2)})
    world.now_ns += FORTNIGHT
    renew(world)
    assert world.walk()["timestamp"]["version"] == 3


def test_asks_about_the_stored_roots_keys(world: World) -> None:
    """`online_keys` without uploads names what a renewal needs."""
    assert publish.online_keys(by_role(world.state().files), ()) == {
        key_id(key) for key in world.owner.server_keys.values()
    }
    assert ecdsa_key().id not in publish.online_keys(by_role(world.state().files), ())


def test_renewal_ahead_begins_after_half_of_the_life(world: World) -> None:
    """Before half of its life a timestamp stays; after five eighths it is due, and after the renewal it is not."""
    world.now_ns += LIFETIMES.timestamp * 10**9 // 2
    assert due_ahead(world) == set()
    world.now_ns += LIFETIMES.timestamp * 10**9 // freshness.SPREAD
    assert due_ahead(world) == {"timestamp"}
    assert due(world) == set()
    plan = renewal(world, Horizon.ahead(GUN, world.now_ns, LIFETIMES))
    assert plan is not None
    assert plan.snapshot is None
    world.store("timestamp", world.seal(plan.timestamp()))
    assert due_ahead(world) == set()


def test_a_snapshot_is_renewed_ahead_only_by_who_signs_it(world: World, own: World) -> None:
    """The server renews its own after half of its life; the owner's stays."""
    for repository, renewed in ((world, True), (own, False)):
        repository.now_ns += LIFETIMES.snapshot * 10**9 * 5 // 8
        assert due_ahead(repository) == {"timestamp", "snapshot"}
        plan = renewal(repository, Horizon.ahead(GUN, repository.now_ns, LIFETIMES))
        assert plan is not None
        assert (plan.snapshot is not None) == renewed


@given(gun=st.text(max_size=255), now_ns=st.integers(0, 2**62), days=st.integers(1, 10_000))
def test_the_time_ahead_depends_on_the_repository_alone(gun: str, now_ns: int, days: int) -> None:
    """It lies between three eighths and a half of the life, the same every time."""
    lifetimes = publish.Lifetimes(snapshot=days * 86_400, timestamp=86_400)
    horizon = Horizon.ahead(Gun(gun), now_ns, lifetimes)
    assert horizon == Horizon.ahead(Gun(gun), now_ns, lifetimes)
    for needed, life in ((horizon.timestamp, DAY), (horizon.snapshot, days * DAY)):
        assert life * 3 // 8 <= needed - now_ns <= life // 2


@given(prefix=st.text(max_size=20))
def test_repositories_signed_together_come_due_apart(prefix: str) -> None:
    """Of a thousand, no hundredth of the spread gets more than a twentieth."""
    step = LIFETIMES.timestamp * 10**9 // freshness.SPREAD // 100
    begun = Counter(
        Horizon.ahead(Gun(f"{prefix}/{number}"), 0, LIFETIMES).timestamp // step for number in range(1000)
    )
    assert max(begun.values()) <= 50
