"""A person with the real `notary` client, keys and trust data of their own."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.support.tools import program

PASSPHRASE = "only for tests"
"""Of every key that a person makes here."""
_KEY_ROW = re.compile(r"^(?P<role>\S+) +(?:(?P<gun>\S+) +)?(?P<id>[0-9a-f]{64}) ", re.MULTILINE)
_CLIENT_LOG = re.compile(r'^time="[^"]*" level=\w+ ', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class TrustServer:
    """Where a trust server is and which authority vouches for it."""

    url: str
    ca_file: Path

    @property
    def address(self) -> str:
        """`host:port`."""
        return self.url.removeprefix("https://")


@dataclass(frozen=True, slots=True)
class Shown:
    """What a command left on the screen.

    Attributes:
        output: standard output.
        errors: standard error, without the time stamps of the client's own log.
    """

    status: int
    output: str
    errors: str

    @property
    def fatal(self) -> str:
        """What the client gives as the reason of its failure."""
        return (self.output + self.errors).partition("* fatal: ")[2].strip()


class Person:
    """Keys, trust data and working files below `folder`. Pass phrases come from the environment."""

    def __init__(self, folder: Path, server: TrustServer) -> None:
        self.folder = folder
        self.trust = folder / "trust"
        folder.mkdir(parents=True, exist_ok=True)
        self._server = server
        self._notary = program("notary", "notary")
        roles = ("ROOT", "TARGETS", "SNAPSHOT", "DELEGATION")
        passphrases = {f"NOTARY_{role}_PASSPHRASE": PASSPHRASE for role in roles}
        # HOME: a ~/.notary/config.json of whoever runs the tests must not count.
        self.environ = os.environ | passphrases | {"HOME": str(folder), "NOTARY_AUTH": ""}

    def command(self, *arguments: str) -> list[str]:
        """The whole command line of a `notary` command."""
        where = ("-s", self._server.url, "--tlscacert", str(self._server.ca_file), "-d", str(self.trust))
        return [self._notary, *where, *arguments]

    def copy(self, name: str) -> Person:
        """Somebody else with a copy of this person's keys and trust data, as on a second machine."""
        other = Person(self.folder.with_name(name), self._server)
        shutil.copytree(self.trust, other.trust, dirs_exist_ok=True)
        return other

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a command without waiting for it."""
        return subprocess.Popen(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def try_(self, *arguments: str, stdin: str = "", timeout: float = 60) -> Shown:
        """Run a command, whatever comes of it."""
        return finish(self.start(*arguments), stdin, timeout)

    def notary(self, *arguments: str, stdin: str = "") -> str:
        """Run a command that has to succeed; what it prints."""
        shown = self.try_(*arguments, stdin=stdin)
        assert shown.status == 0, f"notary {' '.join(arguments)}: {shown.output}{shown.errors}"
        return shown.output

    def refused(self, *arguments: str, stdin: str = "") -> str:
        """Run a command that has to fail; the reason it gives."""
        shown = self.try_(*arguments, stdin=stdin)
        assert shown.status == 1, (
            f"notary {' '.join(arguments)} was not refused: {shown.output}{shown.errors}"
        )
        return shown.fatal

    def file(self, name: str, content: str) -> str:
        """A file in the person's folder; its path."""
        path = self.folder / name
        path.write_text(content)
        return str(path)

    def listed(self, gun: str, *arguments: str) -> dict[str, tuple[str, int, str]]:
        """`notary list` as name -> (sha256, size, role)."""
        rows = [line.split() for line in self.notary("list", gun, *arguments).splitlines()]
        return {row[0]: (row[1], int(row[2]), row[3]) for row in rows if len(row) == 4 and row[2].isdigit()}

    def pending(self, gun: str) -> list[tuple[str, ...]]:
        """`notary status` as (action, scope, type, path) rows."""
        rows = [line.split() for line in self.notary("status", gun).splitlines()]
        return [tuple(row[1:]) for row in rows if row and row[0].isdigit()]

    def keys(self) -> dict[str, tuple[str, str]]:
        """`notary key list` as id -> (role, GUN or "")."""
        found = _KEY_ROW.finditer(self.notary("key", "list"))
        return {match["id"]: (match["role"], match["gun"] or "") for match in found}

    def delegations(self, gun: str) -> dict[str, tuple[set[str], set[str]]]:
        """`notary delegation list` as role -> (paths, key ids). A role's further paths and keys have rows of their own."""
        roles: dict[str, tuple[set[str], set[str]]] = {}
        paths, keys = set[str](), set[str]()
        for line in self.notary("delegation", "list", gun).splitlines():
            row = line.replace('"" <all paths>', "<all>")
            if row.startswith("targets/"):
                name, _, row = row.partition(" ")
                paths, keys = roles.setdefault(name, (set(), set()))
            for word in row.split():
                if re.fullmatch("[0-9a-f]{64}", word):
                    keys.add(word)
                elif not word.isdigit():  # the threshold
                    paths.add(word)
        return roles

    def metadata(self, gun: str, role: str) -> dict[str, object]:
        """The signed part of a file in the person's cache."""
        path = self.trust / "tuf" / gun / "metadata" / f"{role}.json"
        signed = json.loads(path.read_text())["signed"]
        assert isinstance(signed, dict)
        return signed

    def delegation_key(self, name: str) -> str:
        """Make a key with openssl and import it; `NAME.pem` is its bare public half. Its id."""
        self._openssl(
            "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", f"{name}-key.pem"
        )
        self._openssl("pkey", "-in", f"{name}-key.pem", "-pubout", "-out", f"{name}.pem")
        return self._import(name)

    def delegation_certificate(self, name: str) -> str:
        """The same with a self-signed certificate in `NAME.pem`."""
        new_key = (
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-keyout",
            f"{name}-key.pem",
        )
        self._openssl("req", "-x509", *new_key, "-subj", f"/CN={name}", "-days", "365", "-out", f"{name}.pem")
        return self._import(name)

    def _openssl(self, *arguments: str) -> None:
        command = [program("openssl", "openssl"), *arguments]
        subprocess.run(command, cwd=self.folder, check=True, capture_output=True)

    def _import(self, role: str) -> str:
        before = set(self.keys())
        self.notary("key", "import", "--role", role, str(self.folder / f"{role}-key.pem"))
        (added,) = set(self.keys()) - before
        return added

    def forget(self, gun: str) -> None:
        """Drop the cached metadata of a GUN, as somebody who has never seen it; keys and changes stay."""
        folder = self.trust / "tuf" / gun / "metadata"
        for path in sorted(folder.rglob("*.json")):
            path.unlink()


def finish(process: subprocess.Popen[str], stdin: str = "", timeout: float = 60) -> Shown:
    """Wait for a started command."""
    try:
        output, errors = process.communicate(stdin, timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        output, errors = process.communicate()
        raise AssertionError(f"notary hangs: {output}{errors}") from None
    return Shown(process.returncode, output, _CLIENT_LOG.sub("", errors))
