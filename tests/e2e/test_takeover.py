"""An installation of Notary 0.7.0 is taken over in place: its database, as it stands."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.reference import Reference
from tests.support.reference_mysql import MysqlReference
from tests.support.stack import Stack

from .notary_cli import Person, TrustServer

pytestmark = pytest.mark.e2e


@dataclass(frozen=True, slots=True)
class Installation:
    """The old pair, running, and ours over the old server's database, not yet started."""

    old: Reference
    new: Stack

    def take_over(self) -> TrustServer:
        """Stop the old pair's server and start ours in its place."""
        self.old.server().stop()
        self.new.start()
        return TrustServer(self.new.url, self.new.ca_file)

    def give_back(self) -> TrustServer:
        """Stop ours and start the old server on the same tables again."""
        self.new.server.stop()
        server = self.old.server()
        return TrustServer(server.url, Path(server.ca_file))


@pytest.fixture(params=[Reference, MysqlReference], ids=["postgres", "mysql"])
def installation(request: pytest.FixtureRequest) -> Iterator[Installation]:
    """Notary 0.7.0, and ours over its server's database with one of its own for the signer."""
    with tempfile.TemporaryDirectory(prefix="notary-takeover-", ignore_cleanup_errors=True) as folder:
        old: Reference = request.param(Path(folder))
        old.start()
        new = Stack(
            Path(tempfile.mkdtemp(prefix="notary-e2e-")),
            databases=(old.storage("notaryserver")["db_url"], old.create_database("ours")),
        )
        try:
            yield Installation(old, new)
        finally:
            new.destroy()
            old.stop()


def test_what_the_old_server_holds_is_served_on(installation: Installation, tmp_path: Path) -> None:
    """After the takeover everybody reads what was published before; a new repository works like any other."""
    server = installation.old.server()
    before = TrustServer(server.url, Path(server.ca_file))
    owner = Person(tmp_path / "owner", before)
    owner.notary("init", "-p", "ours/app")
    owner.notary("add", "-p", "ours/app", "v1", owner.file("f", "x"))
    now = installation.take_over()
    reader = Person(tmp_path / "reader", now)
    assert set(reader.listed("ours/app")) == {"v1"}
    owner = Person(tmp_path / "owner", now)
    owner.notary("init", "-p", "ours/other")
    owner.notary("add", "-p", "ours/other", "v1", owner.file("f", "x"))
    assert set(reader.listed("ours/other")) == {"v1"}


def test_an_owner_moves_on_from_the_old_signers_keys(installation: Installation, tmp_path: Path) -> None:
    """Where the old signer held the timestamp key, the owner reads what to do, rotates it, and publishes on."""
    server = installation.old.server()
    before = TrustServer(server.url, Path(server.ca_file))
    owner = Person(tmp_path / "owner", before)
    owner.notary("init", "-p", "ours/app")
    now = installation.take_over()
    owner = Person(tmp_path / "owner", now)
    said = owner.refused("add", "-p", "ours/app", "v1", owner.file("f", "x"))
    assert said == (
        "The root metadata is invalid: the server does not hold the timestamp keys that root asks for; "
        "publish a root that lists its key (notary key rotate GUN timestamp -r)"
    )
    assert Person(tmp_path / "reader", now).listed("ours/app") == {}
    owner.notary("key", "rotate", "ours/app", "timestamp", "-r")
    owner.notary("publish", "ours/app")
    assert set(Person(tmp_path / "reader", now).listed("ours/app")) == {"v1"}


def test_the_old_server_goes_on_with_what_ours_wrote(installation: Installation, tmp_path: Path) -> None:
    """There and back: what either of them published, the other serves, and everybody verifies it."""
    server = installation.old.server()
    old = TrustServer(server.url, Path(server.ca_file))
    owner = Person(tmp_path / "owner", old)
    owner.notary("init", "-p", "ours/app")
    owner.notary("add", "-p", "ours/app", "v1", owner.file("f", "x"))
    now = installation.take_over()
    owner = Person(tmp_path / "owner", now)
    owner.notary("key", "rotate", "ours/app", "timestamp", "-r")
    owner.notary("add", "-p", "ours/app", "v2", owner.file("f", "x"))
    old = installation.give_back()
    assert set(Person(tmp_path / "reader", old).listed("ours/app")) == {"v1", "v2"}
    other = Person(tmp_path / "other", old)
    other.notary("init", "-p", "ours/other")
    other.notary("add", "-p", "ours/other", "v1", other.file("f", "x"))
    now = installation.take_over()
    reader = Person(tmp_path / "later", now)
    assert set(reader.listed("ours/app")) == {"v1", "v2"}
    assert set(reader.listed("ours/other")) == {"v1"}
