"""An installation of Notary 0.7.0 with everybody who uses it: taken over with every key, and given back.

Real clients and scripts publish again and again with the same keys and the same cached trust data, wherever the
repositories are just then; nobody may have to rotate anything, and nobody may be warned.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path
from typing import Any, Final

from deploy.local.files import overlay, write_document
from tests.publisher import Client, Publisher, entry
from tests.publisher.keys import ecdsa_key, key_id
from tests.support.reference import Reference
from tests.support.stack import Daemon, Stack, console_script

from .docker_engine import DockerUser, Workplace
from .notary_cli import Person, Shown, TrustServer

PASSPHRASE: Final = "a pass phrase for tests"
"""Of the alias `alias1`, as `Reference` starts the old signer."""
READER: Final = "reader"
UNUSED: Final = "not/yet"
"""A repository whose timestamp key was asked for, and which nobody has published yet."""


def _quiet(shown: Shown) -> Shown:
    assert (shown.status, shown.errors) == (0, ""), shown
    assert "warn" not in shown.output.lower(), shown
    return shown


def _prepare_nothing(owner: Person, gun: str) -> None:
    """The owner keeps the snapshot key, as `notary init` makes it."""


def _prepare_rotated(owner: Person, gun: str) -> None:
    """The server signs snapshots, and the root key is not the first one."""
    owner.notary("key", "rotate", gun, "snapshot", "-r")
    owner.notary("key", "rotate", gun, "root", stdin="yes\n")


def _prepare_delegation(owner: Person, gun: str) -> None:
    """A delegate signs what begins with `releases/`."""
    owner.notary("key", "rotate", gun, "snapshot", "-r")
    owner.delegation_certificate("releases")
    certificate = str(owner.folder / "releases.pem")
    owner.notary("delegation", "add", "-p", gun, "targets/releases", certificate, "--paths", "releases/")


def _prepare_remade(owner: Person, gun: str) -> None:
    """It was deleted, and made again with other keys."""
    owner.notary("delete", "--remote", gun)
    owner.notary("init", "-p", gun)


PREPARATIONS: Final[Sequence[Callable[[Person, str], None]]] = (
    _prepare_nothing,
    _prepare_rotated,
    _prepare_delegation,
    _prepare_remade,
)
"""What makes one real repository unlike the other."""


@dataclass(frozen=True)
class NotaryOwner:
    """Somebody with the real `notary`, who has one repository. `folder` has everybody's folders."""

    folder: Path
    name: str
    prepare: Callable[[Person, str], None]

    @property
    def gun(self) -> str:
        """The repository."""
        return f"ours/{self.name}"

    def begin(self, server: TrustServer) -> None:
        """Make the repository."""
        owner = Person(self.folder / self.name, server)
        owner.notary("init", "-p", self.gun)
        self.prepare(owner, self.gun)

    def publish(self, server: TrustServer, tag: str) -> None:
        """Publish a tag; somebody who has seen the repository before finds it."""
        owner = Person(self.folder / self.name, server)
        delegated = self.prepare is _prepare_delegation
        tag = f"releases/{tag}" if delegated else tag
        role = ("--roles", "targets/releases") if delegated else ()
        _quiet(owner.try_("add", "-p", self.gun, tag, owner.file("f", tag), *role))
        where = ("--roles", "targets/releases") if delegated else ()
        assert tag in _quiet(Person(self.folder / READER, server).try_("list", self.gun, *where)).output


@dataclass(frozen=True)
class DockerOwner:
    """Somebody with the real `docker`, who pushes one image. `machine` is engine and registry."""

    folder: Path
    name: str
    machine: tuple[str, str]

    @property
    def gun(self) -> str:
        """The repository."""
        return f"{self.machine[1]}/ours/{self.name}"

    def begin(self, server: TrustServer) -> None:
        """Make the repository: the first push does."""
        self.publish(server, "first")

    def publish(self, server: TrustServer, tag: str) -> None:
        """Push a signed tag; somebody who has seen the repository before pulls it."""
        place = Workplace(*self.machine, server)
        owner, reader = DockerUser(self.folder / self.name, place), DockerUser(self.folder / READER, place)
        image = f"{self.gun}:{tag}"
        owner.image(image, f"{self.gun} {tag}")
        for someone, command, expected in (
            (owner, "push", f"Successfully signed {image}"),
            (reader, "pull", f"Pull (1 of 1): {image}@"),
        ):
            shown = someone.try_(command, image, trust=True)
            assert (shown.status, expected in shown.output) == (0, True), shown
            assert "warn" not in (shown.output + shown.errors).lower(), shown
            if someone is owner:
                owner.docker("image", "rm", image)
        reader.docker("image", "rm", image)


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
    """The old pair, ours, and everybody who publishes.

    Attributes:
        folder: where people have their keys and trust data.
        in_place: ours is over the old server's database, not over a copy in another one.
        people: who publish with real clients.
        scripted: who publish by script.
    """

    old: Reference
    new: Stack
    folder: Path
    in_place: bool = True
    people: list[NotaryOwner | DockerOwner] = field(default_factory=list)
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

    @property
    def repositories(self) -> int:
        """How many there are."""
        return len(self.people) + len(self.scripted)

    def begin(self, notary: int, scripted: int, docker: int = 0, machine: tuple[str, str] = ("", "")) -> None:
        """What an installation holds: so many repositories of real clients of each kind, and by script, all different."""
        for number, prepare in enumerate(islice(cycle(PREPARATIONS), notary)):
            self.people.append(NotaryOwner(self.folder, f"person-{number}", prepare))
        for number in range(docker):
            self.people.append(DockerOwner(self.folder, f"docker-{number}", machine))
        for one in self.people:
            one.begin(self.before)
        client = Client(self.before.url, str(self.before.ca_file))
        for number in range(scripted):
            own_snapshot = ecdsa_key() if number % 3 == 0 else None
            owner = Publisher(f"scripted/{number}", snapshot=own_snapshot).learn(client)
            self.scripted.append(Scripted(owner, ("targets/releases",) if number % 2 else ()))
            self.scripted[-1].publish(client)
        # Asked for and not yet used: the next who asks gets the same key, at the new server too.
        client.role(UNUSED, "timestamp.key")

    def everybody_publishes(self, server: TrustServer, tag: str) -> None:
        """Real clients and scripts, one after the other, and readers who know the repositories from before."""
        for one in self.people:
            one.publish(server, tag)
        self.scripts_publish(server)

    def scripts_publish(self, server: TrustServer) -> None:
        """Those who publish by script, one version each."""
        client = Client(server.url, str(server.ca_file))
        for one in self.scripted:
            one.publish(client)

    def there_and_back(self) -> Iterator[str]:
        """The whole way of docs/operations/takeover.md, as far as what it says before each step.

        Raises:
            AssertionError: something is not as it was, or somebody was refused or warned.
        """
        yield "everybody publishes at the old server"
        self.everybody_publishes(self.before, "old")
        yield "takeover plan"
        self._prepare()
        plan = self._plan()
        assert {finding["kind"] for finding in plan["findings"]} <= {"client-snapshot"}
        assert plan["repositories"] == self.repositories
        yield "keys import"
        first = self.keys("import")
        assert first["counts"]["imported"] == plan["keys"]
        assert (first["counts"]["refused"], first["exposed"]) == (0, {})
        yield "takeover run"
        self.server("run", json_=False)
        yield "scripts publish at the old server meanwhile"
        self.scripts_publish(self.before)

        # The moment itself: the old server stops, what changed is brought over, ours starts.
        self.old.server().stop()
        yield "takeover run, once more (nothing is served)"
        self.server("run", json_=False)
        yield "keys import, once more (nothing is served)"
        again = self.keys("import")
        assert again["counts"]["present"] == first["counts"]["imported"]
        yield "signer and server start (nothing is served)"
        self.new.start()
        yield "takeover verify --url"
        proof = self.server("verify", "--url", self.new.url, "--ca-file", str(self.new.ca_file))
        assert proof["problems"] == []
        assert proof["publishes_planned"] == self.repositories
        yield "everybody publishes at the new server"
        self.everybody_publishes(self.now, "new")
        client = Client(self.now.url, str(self.now.ca_file))
        unused = [key["key_id"] for key in first["keys"] if key["gun"] == UNUSED]
        assert [key_id(client.role(UNUSED, "timestamp.key").json)] == unused
        newcomer = NotaryOwner(self.folder, "newcomer", _prepare_nothing)
        newcomer.begin(self.now)

        # The way back. Keys that were made meanwhile leave the token only because an operator allows it.
        yield "keys export"
        refused = self.new.signer.command(*self._key_words("export"))
        assert (refused.returncode, "pkcs11.allow_export" in refused.stderr) == (1, True)
        self.new.change(signer={"pkcs11": {"allow_export": True}})
        back = self.keys("export")
        assert back["counts"]["present"] == first["counts"]["imported"]
        assert {key["gun"] for key in back["keys"] if key["outcome"] == "exported"} == {newcomer.gun}
        self.new.server.stop()
        if not self.in_place:
            yield "takeover run and verify, in the other direction (nothing is served)"
            self._copy_back()
        self.new.signer.stop()
        yield "signer and server of Notary 0.7.0 start (nothing is served)"
        self.old.stop_signer()
        self.old.start_signer()
        _ = self.before
        yield "everybody publishes at the old server again"
        self.people.append(newcomer)
        self.everybody_publishes(self.before, "again")

    def copied_to_sqlite(self) -> Any:
        """The proof that a copy of our database in SQLite holds the same."""
        config = self.new.folder / "copy.json"
        document = json.loads(self.new.server_config.read_text())
        storage = {"storage": {"backend": "sqlite3", "db_url": "copy.sqlite3"}}
        write_document(config, overlay(document, storage))
        copy = Daemon("notary-server", config, self.new.environ, lambda: True)
        copy.check("takeover", "run", *self._old("server"))
        return json.loads(copy.check("takeover", "verify", *self._old("server"), "--json"))

    def keys(self, direction: str) -> Any:
        """`notary-signer keys import | export` with the old signer's configuration; the report."""
        passphrase = self.folder / "passphrase"
        passphrase.touch(0o600)
        passphrase.write_text(PASSPHRASE + "\n")
        done = self.new.signer.command(*self._key_words(direction), timeout=900)
        assert done.returncode == 0, done.stderr
        assert PASSPHRASE not in done.stdout + done.stderr
        return json.loads(done.stdout)

    def server(self, command: str, *more: str, json_: bool = True) -> Any:
        """`notary-server takeover COMMAND` with the old server's configuration; what it says."""
        words = ("takeover", command, *self._old("server"), *more, *(["--json"] if json_ else []))
        done = self.new.server.command(*words, timeout=900)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout) if json_ else done.stdout

    def _prepare(self) -> None:
        if self.in_place:
            self.new.prepare()
        else:
            # The tables are what `takeover run` makes.
            self.new.signer.check("token", "init")
            (self.new.folder / "token-ready").touch()
            self.new.signer.check("db", "upgrade")

    def _plan(self) -> Any:
        """`notary-server takeover plan`, which needs nothing of ours."""
        done = subprocess.run(
            [console_script("notary-server"), "takeover", "plan", *self._old("server", "signer"), "--json"],
            capture_output=True, text=True, timeout=900, check=True,
        )  # fmt: skip
        return json.loads(done.stdout)

    def _copy_back(self) -> None:
        config = self.new.folder / "old-database.json"
        document = json.loads(self.new.server_config.read_text())
        write_document(config, overlay(document, {"storage": self.old.storage("notaryserver")}))
        back = Daemon("notary-server", config, self.new.environ, lambda: True)
        source = ("--old-server", str(self.new.server_config))
        for command in ("run", "verify"):
            done = back.command("takeover", command, *source, timeout=900)
            assert done.returncode == 0, done.stdout + done.stderr

    def _old(self, *daemons: str) -> list[str]:
        return [word for name in daemons for word in (f"--old-{name}", str(self.old.folder / f"{name}.json"))]

    def _key_words(self, direction: str) -> list[str]:
        way = {"import": ["--from-config"], "export": ["--alias", "alias1", "--yes", "--to-config"]}[
            direction
        ]
        opened = ("--passphrase-file", str(self.folder / "passphrase"), "--json")
        return ["keys", direction, *way, str(self.old.folder / "signer.json"), *opened]
