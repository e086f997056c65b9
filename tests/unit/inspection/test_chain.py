"""A repository as a client gets it: accepted whole, and refused for every link that does not hold."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notary_server.inspection.chain import BrokenChain, listed_files, listed_snapshot, verified
from notary_server.tuf.names import RoleName
from tests.publisher import Publisher
from tests.publisher.certificates import root_key

from ..tuf.world import GUN, World


def fetched(world: World) -> tuple[list[bytes], bytes, bytes, dict[RoleName, bytes]]:
    """What a mirror fetches: roots, timestamp, snapshot, and the files that it lists."""
    roots = [world.files["root"][version] for version in sorted(world.files["root"])]
    files = {role: world.latest(role) for role in listed_files(world.latest("snapshot"))}
    return roots, world.latest("timestamp"), world.latest("snapshot"), files


@pytest.fixture
def world() -> World:
    """Two roots with a changed root key, targets, and a delegation below a delegation."""
    world = World()
    world.first()
    owner = world.owner
    old = owner.root_keys
    owner.root_keys = [root_key(GUN)]
    world.publish({"root": owner.root(2, signers=[*owner.root_keys, *old])})
    world.publish(
        {
            "targets": owner.targets(2, delegates=["targets/a"]),
            "targets/a": owner.delegation("targets/a", delegates=["targets/a/b"]),
            "targets/a/b": owner.delegation("targets/a/b"),
        }
    )
    return world


def test_a_sound_repository_is_taken_whole(world: World) -> None:
    """Every version of root, and everything else once; bytes as they came."""
    files = verified(GUN, *fetched(world))
    assert [(file.role, file.version) for file in files] == [
        ("root", 1),
        ("root", 2),
        ("targets", 2),
        ("targets/a", 1),
        ("targets/a/b", 1),
        ("snapshot", 3),
        ("timestamp", 3),
    ]
    assert all(file.data == world.files[file.role][file.version] for file in files)


def test_a_removed_delegation_stays_readable(world: World) -> None:
    """A snapshot goes on listing it; nobody is led to it, and nobody has to have signed it."""
    world.publish({"targets": world.owner.targets(3)})
    assert "targets/a/b" in {file.role for file in verified(GUN, *fetched(world))}


def test_dates_do_not_matter(world: World) -> None:
    """What has expired is brought over as it is: its owner renews it at the new server."""
    world.publish(
        {"targets": world.owner.targets(3, edit=lambda signed: signed.update(expires="2050-01-02T03:04:05Z"))}
    )
    assert verified(GUN, *fetched(world))


@pytest.mark.parametrize("role", ["root", "targets", "targets/a", "targets/a/b"])
def test_other_bytes_than_listed(world: World, role: str) -> None:
    """A file is the one that the snapshot lists, to the byte."""
    roots, timestamp, snapshot, files = fetched(world)
    files[RoleName(role)] += b"\n"
    with pytest.raises(BrokenChain):
        verified(GUN, roots, timestamp, snapshot, files)


def test_another_snapshot_than_the_timestamp_lists(world: World) -> None:
    """An older one, though well signed."""
    roots, timestamp, _, files = fetched(world)
    with pytest.raises(BrokenChain):
        verified(GUN, roots, timestamp, world.files["snapshot"][2], files)


def _resigned(role: str) -> Callable[[World, Publisher], None]:
    """Has a stranger sign what is stored of `role`."""

    def forge(world: World, stranger: Publisher) -> None:
        owner = world.owner
        if role == "targets":
            data = owner.targets(3, delegates=["targets/a"], signers=stranger.targets_keys)
        else:
            data = owner.delegation(role, 2, signers=stranger.targets_keys)
        world.store(role, data)
        listed = {name: world.latest(name) for name in ("root", "targets", "targets/a", "targets/a/b")}
        world.store("snapshot", _by_server(world, "snapshot", listed))
        world.store("timestamp", _by_server(world, "timestamp", {"snapshot": world.latest("snapshot")}))

    return forge


def _by_server(world: World, role: str, files: dict[str, bytes]) -> bytes:
    key = next(key for key, held in world.signer.values() if held.role == role)

    def retyped(signed: dict[str, object]) -> None:
        signed["_type"] = role.capitalize()

    return world.owner.snapshot(files, 4, signers=[key], edit=retyped)


@pytest.mark.parametrize("role", ["targets", "targets/a", "targets/a/b"])
def test_signed_by_a_stranger(world: World, role: str) -> None:
    """Digests are right, and the server signed them; whoever should have signed the file has not."""
    _resigned(role)(world, Publisher(GUN))
    with pytest.raises(BrokenChain):
        verified(GUN, *fetched(world))


def test_a_root_that_does_not_follow_from_the_one_before(world: World) -> None:
    """Old servers took any root once the one before had become unreadable; no client follows there."""
    roots, timestamp, snapshot, files = fetched(world)
    first = Publisher(GUN)
    first.server_keys = world.owner.server_keys
    with pytest.raises(BrokenChain, match="published for this repository already"):
        verified(GUN, [first.root(1), *roots[1:]], timestamp, snapshot, files)


def test_across_a_gap_nobody_can_tell(world: World) -> None:
    """A root version that is missing does not keep the rest from being brought over."""
    roots, timestamp, snapshot, files = fetched(world)
    assert verified(GUN, roots[1:], timestamp, snapshot, files)


def test_without_any_root(world: World) -> None:
    """Nothing can be trusted."""
    _, timestamp, snapshot, files = fetched(world)
    with pytest.raises(BrokenChain):
        verified(GUN, [], timestamp, snapshot, files)


def test_a_repository_of_another_name(world: World) -> None:
    """The root's certificate names its repository."""
    with pytest.raises(BrokenChain):
        verified(type(GUN)("docker.example/other"), *fetched(world))


def test_a_role_with_a_strange_name(world: World) -> None:
    """It would become part of an address."""
    listing = json.loads(world.latest("snapshot"))
    listing["signed"]["meta"]["../x"] = listing["signed"]["meta"]["targets"]
    with pytest.raises(BrokenChain, match="which is no role"):
        listed_files(json.dumps(listing).encode())


@given(st.binary(max_size=200))
def test_bytes_that_are_no_metadata(data: bytes) -> None:
    """A sentence, never another exception."""
    for read in (listed_snapshot, listed_files):
        with pytest.raises(BrokenChain):
            read(data)
