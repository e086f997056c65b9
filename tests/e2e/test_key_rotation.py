"""Keys are replaced while readers look on: rotate root, targets, snapshot (to the server and back), timestamp."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .conftest import NewPerson
from .notary_cli import Person

pytestmark = pytest.mark.e2e


def role_keys(reader: Person, gun: str, role: str) -> list[str]:
    """The ids that the root in the reader's cache lists for `role`."""
    roles = reader.metadata(gun, "root")["roles"]
    assert isinstance(roles, dict)
    return list(roles[role]["keyids"])


@pytest.fixture
def readers(owner: Person, person: NewPerson, gun: str) -> Iterator[list[Person]]:
    """Somebody who knew the repository before, and somebody new; at the end both must see the same."""
    owner.notary("add", "-p", gun, "before", owner.file("f", "before"))
    known, new = person("known reader"), person("new reader")
    known.listed(gun)
    yield [known, new]
    owner.notary("add", "-p", gun, "after", owner.file("f", "after"))
    assert set(known.listed(gun)) == {"before", "after"}
    assert set(new.listed(gun)) == {"before", "after"}


def test_the_root_key_is_rotated(owner: Person, readers: list[Person], gun: str) -> None:
    """A new root key, signed in by the old one: readers of before follow, new ones need nothing else."""
    old = role_keys(readers[0], gun, "root")
    assert "Successfully rotated root key" in owner.notary("key", "rotate", gun, "root", stdin="yes\n")
    for reader in readers:
        reader.listed(gun)
        assert not set(role_keys(reader, gun, "root")) & set(old)
        assert reader.metadata(gun, "root")["version"] == 2


def test_the_root_key_is_rotated_again_and_again(owner: Person, readers: list[Person], gun: str) -> None:
    """A reader three root versions behind walks through every version in between."""
    for _ in range(3):
        owner.notary("key", "rotate", gun, "root", stdin="yes\n")
    for reader in readers:
        reader.listed(gun)
        assert reader.metadata(gun, "root")["version"] == 4


def test_the_root_key_is_rotated_to_a_given_one(owner: Person, readers: list[Person], gun: str) -> None:
    """`key rotate root -k` takes a key from a file."""
    old = role_keys(readers[0], gun, "root")
    owner.notary("key", "generate", "ecdsa", "--role", "root", "-o", "next")
    owner.notary("key", "rotate", gun, "root", "-k", str(owner.folder / "next-key.pem"), stdin="yes\n")
    readers[1].listed(gun)
    assert not set(role_keys(readers[1], gun, "root")) & set(old)


def test_the_targets_key_is_rotated(owner: Person, readers: list[Person], gun: str) -> None:
    """A new targets key signs what was published before and what comes after."""
    old = role_keys(readers[0], gun, "targets")
    owner.notary("key", "rotate", gun, "targets")
    for reader in readers:
        assert set(reader.listed(gun)) == {"before"}
        assert not set(role_keys(reader, gun, "targets")) & set(old)


def test_the_timestamp_key_is_rotated(owner: Person, readers: list[Person], gun: str) -> None:
    """The server makes a new timestamp key and signs with it once a root names it."""
    old = role_keys(readers[0], gun, "timestamp")
    owner.notary("key", "rotate", gun, "timestamp", "-r")
    for reader in readers:
        reader.listed(gun)
        assert not set(role_keys(reader, gun, "timestamp")) & set(old)


def test_the_timestamp_key_is_rotated_twice(owner: Person, readers: list[Person], gun: str) -> None:
    """Each rotation brings a key of its own."""
    seen = {*role_keys(readers[0], gun, "timestamp")}
    for _ in range(2):
        owner.notary("key", "rotate", gun, "timestamp", "-r")
        readers[0].listed(gun)
        (key,) = role_keys(readers[0], gun, "timestamp")
        assert key not in seen
        seen.add(key)


def test_the_snapshot_key_goes_to_the_server_and_back(owner: Person, readers: list[Person], gun: str) -> None:
    """The owner hands snapshots to the server, publishes with them, and takes them back."""
    owners = role_keys(readers[0], gun, "snapshot")
    owner.notary("key", "rotate", gun, "snapshot", "-r")
    owner.notary("add", "-p", gun, "meanwhile", owner.file("f", "meanwhile"))
    for reader in readers:
        assert set(reader.listed(gun)) == {"before", "meanwhile"}
    servers = role_keys(readers[1], gun, "snapshot")
    assert servers != owners
    owner.notary("key", "rotate", gun, "snapshot")
    owner.notary("remove", "-p", gun, "meanwhile")
    for reader in readers:
        assert set(reader.listed(gun)) == {"before"}
        assert role_keys(reader, gun, "snapshot") not in (owners, servers)


def test_every_key_is_rotated_in_a_row(owner: Person, readers: list[Person], gun: str) -> None:
    """One rotation after the other without a publish in between leaves a repository that works."""
    for role, where in (("targets", ()), ("snapshot", ("-r",)), ("timestamp", ("-r",)), ("targets", ())):
        owner.notary("key", "rotate", gun, role, *where)
    owner.notary("key", "rotate", gun, "root", stdin="yes\n")
    assert set(readers[0].listed(gun)) == {"before"}


def test_the_timestamp_key_cannot_be_the_owners(owner: Person, gun: str) -> None:
    """The timestamp is the server's business: the client refuses to take its key."""
    assert (
        owner.refused("key", "rotate", gun, "timestamp")
        == "notary does not permit the client managing the timestamp key"
    )
