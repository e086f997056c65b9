"""An installation of Notary 0.7.0 is taken over with every key, and given back: nobody rotates, nobody is warned."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from deploy.local.files import overlay, write_document
from tests.publisher import Client, Publisher, entry
from tests.publisher.keys import ecdsa_key, key_id
from tests.support.reference import Reference
from tests.support.reference_mysql import MysqlReference
from tests.support.stack import Daemon, Stack, console_script

from .notary_cli import Person, TrustServer

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

PASSPHRASE = "a pass phrase for tests"
"""Of the alias `alias1`, as `Reference` starts the old signer."""
SCRIPTED = 8
"""Repositories that are made by script, beside those of real clients."""


@dataclass
class Scripted:
    """A repository's owner who publishes by script, and the version that comes next."""

    owner: Publisher
    delegates: tuple[str, ...] = ()
    version: int = 1

    def publish(self, client: Client) -> None:
        """One version more; with a delegation and the owner's own snapshot, if it has such."""
        owner, version = self.owner, self.version
        tag = {f"v{version}": entry(f"content {version}".encode())}
        files = {"targets": owner.targets(version, targets=tag, delegates=self.delegates)}
        files |= {role: owner.delegation(role, version) for role in self.delegates}
        files |= {"root": owner.root()} if version == 1 else {}
        if owner.snapshot_keys:
            listed = files if version == 1 else {"root": client.role(owner.gun, "root.json").body, **files}
            files["snapshot"] = owner.snapshot(listed, version)
        reply = client.publish(owner.gun, files)
        assert reply.status == 200, str(reply)
        self.version += 1


@dataclass
class Takeover:
    """The old pair, ours, and everybody who publishes."""

    old: Reference
    new: Stack
    folder: Path
    scripted: list[Scripted] = field(default_factory=list)

    @property
    def before(self) -> TrustServer:
        """The old server, running."""
        server = self.old.server()
        return TrustServer(server.url, Path(server.ca_file))

    @property
    def now(self) -> TrustServer:
        """Ours, running."""
        return TrustServer(self.new.url, self.new.ca_file)

    def person(self, name: str, server: TrustServer) -> Person:
        """The same name is the same person with the same trust directory, whichever server they go to."""
        return Person(self.folder / name, server)

    def everybody_publishes(self, server: TrustServer, tag: str) -> None:
        """Real clients and scripts, and readers who know the repositories from before."""
        for name in ("alice", "bob"):
            owner = self.person(name, server)
            shown = owner.try_("add", "-p", f"ours/{name}", tag, owner.file("f", tag))
            assert (shown.status, shown.errors) == (0, ""), shown
        self.scripts_publish(server)
        reader = self.person("reader", server)
        shown = reader.try_("list", "ours/bob")
        assert (shown.status, shown.errors) == (0, ""), shown
        assert tag in shown.output

    def copied(self) -> Any:
        """The proof that a copy of our database in SQLite holds the same."""
        config = self.new.folder / "copy.json"
        document = json.loads(self.new.server_config.read_text())
        write_document(
            config, overlay(document, {"storage": {"backend": "sqlite3", "db_url": "copy.sqlite3"}})
        )
        copy = Daemon("notary-server", config, self.new.environ, lambda: True)
        old = ("--old-server", str(self.old.folder / "server.json"))
        copy.check("takeover", "run", *old)
        return json.loads(copy.check("takeover", "verify", *old, "--json"))

    def scripts_publish(self, server: TrustServer) -> None:
        """Those who publish by script, one version each."""
        client = Client(server.url, str(server.ca_file))
        for one in self.scripted:
            one.publish(client)

    def begin(self) -> None:
        """What an installation holds: owners with and without the snapshot key, delegations, rotated roots."""
        server = self.before
        alice, bob = self.person("alice", server), self.person("bob", server)
        for owner, name in ((alice, "alice"), (bob, "bob")):
            owner.notary("init", "-p", f"ours/{name}")
        bob.notary("key", "rotate", "ours/bob", "snapshot", "-r")
        bob.notary("key", "rotate", "ours/bob", "root", stdin="yes\n")
        client = Client(server.url, str(server.ca_file))
        for number in range(SCRIPTED):
            own_snapshot = ecdsa_key() if number % 3 == 0 else None
            owner_ = Publisher(f"scripted/{number}", snapshot=own_snapshot).learn(client)
            self.scripted.append(Scripted(owner_, ("targets/releases",) if number % 2 else ()))
            self.scripted[-1].publish(client)
        # Asked for and not yet used: the next who asks gets the same key, at the new server too.
        client.role("not/yet", "timestamp.key")

    def signer(self, *arguments: str, way: str = "from") -> Any:
        """`notary-signer keys import | export` with the old signer's configuration; the report."""
        passphrase = self.folder / "passphrase"
        passphrase.write_text(PASSPHRASE + "\n")
        passphrase.chmod(0o600)
        said = self.new.signer.check(
            *arguments, f"--{way}-config", str(self.old.folder / "signer.json"),
            "--passphrase-file", str(passphrase), "--json",
        )  # fmt: skip
        assert PASSPHRASE not in said
        return json.loads(said)

    def plan(self) -> Any:
        """`notary-server takeover plan`, which needs nothing of ours."""
        old = ("server", "signer")
        where = [word for name in old for word in (f"--old-{name}", str(self.old.folder / f"{name}.json"))]
        done = subprocess.run(
            [console_script("notary-server"), "takeover", "plan", *where, "--json"],
            capture_output=True, text=True, timeout=60, check=True,
        )  # fmt: skip
        return json.loads(done.stdout)

    def server(self, command: str, *more: str, json_: bool = True) -> Any:
        """`notary-server takeover COMMAND` with the old server's configuration; what it says."""
        where = ("--old-server", str(self.old.folder / "server.json"), *more, *(["--json"] if json_ else []))
        said = self.new.server.check("takeover", command, *where)
        return json.loads(said) if json_ else said


@pytest.fixture(params=[Reference, MysqlReference], ids=["postgres", "mysql"])
def takeover(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Takeover]:
    """Notary 0.7.0, and ours over its server's database, with a registry of its own."""
    with tempfile.TemporaryDirectory(prefix="notary-takeover-", ignore_cleanup_errors=True) as folder:
        old: Reference = request.param(Path(folder))
        old.start()
        urls = (old.storage("notaryserver")["db_url"], old.create_database("ours"))
        new = Stack(Path(tempfile.mkdtemp(prefix="notary-e2e-")), databases=urls)
        try:
            yield Takeover(old, new, tmp_path)
        finally:
            new.destroy()
            old.stop()


def test_there_and_back_again(takeover: Takeover) -> None:
    """Every key comes over; the same trust directories go on at the new server, and back at the old one with the keys
    that were made meanwhile. A copy in a database of another kind holds the same."""
    takeover.begin()
    takeover.everybody_publishes(takeover.before, "old")
    takeover.new.prepare()

    plan = takeover.plan()
    assert {finding["kind"] for finding in plan["findings"]} <= {"client-snapshot"}
    assert plan["repositories"] == SCRIPTED + 2

    first = takeover.signer("keys", "import")
    assert first["counts"]["imported"] == plan["keys"]
    assert (first["counts"]["refused"], first["exposed"]) == (0, {})
    takeover.server("run", json_=False)
    takeover.scripts_publish(takeover.before)

    # The moment itself: the old server stops, what changed is brought over, ours starts.
    takeover.old.server().stop()
    takeover.server("run", json_=False)
    again = takeover.signer("keys", "import")
    assert again["counts"]["present"] == first["counts"]["imported"]
    takeover.new.start()
    asked = ("--url", takeover.new.url, "--ca-file", str(takeover.new.ca_file))
    proof = takeover.server("verify", *asked)
    assert proof["problems"] == []
    assert proof["publishes_planned"] == plan["repositories"]

    takeover.everybody_publishes(takeover.now, "new")
    client = Client(takeover.now.url, str(takeover.now.ca_file))
    unused = [key for key in first["keys"] if key["gun"] == "not/yet"]
    assert [_key_id(client, "not/yet", "timestamp")] == [key["key_id"] for key in unused]
    carol = takeover.person("carol", takeover.now)
    carol.notary("init", "-p", "ours/carol")
    assert takeover.copied()["problems"] == []

    # The way back. Keys that were made meanwhile leave the token only because an operator allows it.
    refused = takeover.new.signer.command(
        "keys", "export", "--to-config", str(takeover.old.folder / "signer.json"), "--alias", "alias1",
        "--passphrase-file", str(takeover.folder / "passphrase"), "--yes",
    )  # fmt: skip
    assert (refused.returncode, "pkcs11.allow_export" in refused.stderr) == (1, True)
    takeover.new.change(signer={"pkcs11": {"allow_export": True}})
    back = takeover.signer("keys", "export", "--alias", "alias1", "--yes", way="to")
    assert back["counts"]["present"] == first["counts"]["imported"]
    assert {key["gun"] for key in back["keys"] if key["outcome"] == "exported"} == {"ours/carol"}
    takeover.new.stop()
    takeover.everybody_publishes(takeover.before, "old again")
    carol = takeover.person("carol", takeover.before)
    shown = carol.try_("add", "-p", "ours/carol", "v1", carol.file("f", "x"))
    assert (shown.status, shown.errors) == (0, ""), shown


def _key_id(client: Client, gun: str, role: str) -> str:
    return key_id(client.role(gun, f"{role}.key").json)
