"""Databases that are restored, and repositories that are moved as a file: the real client goes on with what it has cached."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.stack import Daemon, Stack

from .conftest import throw_away_stack
from .notary_cli import Person, TrustServer

pytestmark = pytest.mark.e2e
_SUFFIXES = ("", "-wal", "-shm")


class House:
    """A stack, with an owner who lets the server sign snapshots, and a reader."""

    def __init__(self, stack: Stack, folder: Path, gun: str) -> None:
        self.stack, self.folder, self.gun = stack, folder, gun
        server = TrustServer(stack.url, stack.ca_file)
        self.owner, self.reader = Person(folder / "owner", server), Person(folder / "reader", server)
        self.owner.notary("init", "-p", self.gun)
        self.owner.notary("key", "rotate", self.gun, "snapshot", "-r")

    def publish(self, name: str) -> None:
        """The owner publishes one more target."""
        self.owner.notary("add", "-p", self.gun, name, self.owner.file(name, name))

    def read(self) -> set[str]:
        """What the reader finds, and has cached from now on."""
        return set(self.reader.listed(self.gun))

    def back_up(self, daemon: Daemon) -> None:
        """Copy its database while it is stopped."""
        daemon.stop()
        shutil.copy(self._database(daemon), self.folder)
        daemon.start()

    def restore(self, daemon: Daemon) -> None:
        """Bring that copy back."""
        daemon.stop()
        self.lose(daemon)
        shutil.copy(self.folder / self._database(daemon).name, self._database(daemon))
        daemon.start()

    def lose(self, daemon: Daemon) -> None:
        """Remove its database."""
        path = self._database(daemon)
        for suffix in _SUFFIXES:
            path.with_name(path.name + suffix).unlink(missing_ok=True)

    def _database(self, daemon: Daemon) -> Path:
        return self.stack.folder / f"{daemon.name.removeprefix('notary-')}.sqlite3"


@pytest.fixture(scope="module")
def own_stack() -> Iterator[Stack]:
    """Over SQLite; others must not see how its databases go."""
    with throw_away_stack() as stack:
        yield stack


@pytest.fixture
def house(own_stack: Stack, tmp_path: Path, gun: str) -> House:
    """With a repository of its own."""
    return House(own_stack, tmp_path, gun)


def test_moved_as_a_file(house: House, tmp_path: Path) -> None:
    """Exported, imported into an empty server with the same signer: the owner publishes on, the reader follows."""
    server = house.stack.server
    house.publish("v1")
    assert house.read() == {"v1"}
    archive = str(tmp_path / "all.tar")
    assert "1 repositories: 10 files" in server.check("repo", "export", "--all", "--output", archive)
    server.stop()
    house.lose(server)
    server.check("db", "upgrade")
    assert "1 imported, 0 current, 0 refused; 10 files" in server.check("repo", "import", archive)
    assert "0 imported, 1 current" in server.check("repo", "import", archive)
    server.start()
    assert house.read() == {"v1"}
    house.publish("v2")
    assert house.read() == {"v1", "v2"}
    assert "nothing needs attention" in server.check("repo", "verify", "--all")


def test_a_server_database_from_yesterday(house: House) -> None:
    """Clients that have seen more are told of an attack until everything is signed anew, above what the signer remembers."""
    server = house.stack.server
    house.publish("v1")
    house.back_up(server)
    for name in ("v2", "v3"):
        house.publish(name)
    assert house.read() == {"v1", "v2", "v3"}
    house.restore(server)
    assert "is lower than current version" in house.reader.refused("list", house.gun)
    assert "is lower than current version" in house.owner.refused("publish", house.gun)
    assert "repositories were renewed" in server.check("repo", "renew", "--all")
    assert house.read() == {"v1"}
    house.publish("v4")
    assert house.read() == {"v1", "v4"}


def test_a_signer_database_from_yesterday(house: House) -> None:
    """It has forgotten how far its keys have come; the server knows, and clients notice nothing."""
    house.publish("v1")
    house.back_up(house.stack.signer)
    for name in ("v2", "v3"):
        house.publish(name)
    assert house.read() == {"v1", "v2", "v3"}
    house.restore(house.stack.signer)
    house.publish("v4")
    assert house.read() == {"v1", "v2", "v3", "v4"}
