"""`notary-server takeover` at the prompt: what is refused, and with which sentence."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from notary_common import migrate
from notary_common.database import parse_url
from notary_server.cli import main
from tests.unit.tuf.world import World

pytestmark = pytest.mark.usefixtures("logging_restored")

SECRET = "password-of-the-database"


def run(*words: str) -> Result:
    """`notary-server takeover` with `words`."""
    return CliRunner().invoke(main, ["takeover", *words], prog_name="notary-server")


def file(folder: Path, name: str, document: object) -> str:
    """A configuration file; its path."""
    path = folder / name
    path.write_text(json.dumps(document))
    return str(path)


@pytest.fixture
def old(tmp_path: Path) -> str:
    """An old server over an empty SQLite database, with everything else that its file may hold."""
    migrate.upgrade(parse_url("sqlite3", "old.db", tmp_path), "server", lambda _: None)
    return file(tmp_path, "old.json", {
        "server": {"http_addr": ":4443", "tls_key_file": "gone.key", "tls_cert_file": "gone.crt"},
        "trust_service": {"type": "remote", "hostname": "notarysigner", "port": "7899", "key_algorithm": "ecdsa"},
        "logging": {"level": "debug"},
        "storage": {"backend": "sqlite3", "db_url": "old.db"},
    })  # fmt: skip


@pytest.fixture
def new(tmp_path: Path) -> str:
    """This server over SQLite."""
    return file(tmp_path, "new.json", {
        "server": {"http_addr": ":4443"},
        "trust_service": {"type": "local"},
        "storage": {"backend": "sqlite3", "db_url": "new.db"},
    })  # fmt: skip


def test_a_signer_that_is_away_is_named_and_json_stays_json(old: str, tmp_path: Path) -> None:
    """What is logged goes to standard error; the sentence says what to start."""
    world = World()
    world.first()
    rows = [
        (world.owner.gun, role, version, data, hashlib.sha256(data).hexdigest())
        for role, versions in world.files.items()
        for version, data in versions.items()
    ]
    with sqlite3.connect(tmp_path / "old.db") as database:
        database.executemany(
            "INSERT INTO tuf_files (gun, role, version, data, sha256) VALUES (?, ?, ?, ?, ?)", rows
        )
    in_place = file(tmp_path, "new.json", {
        "server": {"http_addr": ":4443"},
        "trust_service": {"type": "remote", "hostname": "localhost", "port": "1", "key_algorithm": "ecdsa"},
        "storage": {"backend": "sqlite3", "db_url": "old.db"},
    })  # fmt: skip
    done = run("verify", "--config", in_place, "--old-server", old, "--json")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "start the signer that trust_service names" in done.stderr
    assert "level=warning" in done.stderr


def test_an_empty_installation_is_taken_over(old: str, new: str) -> None:
    """Nothing to do, and nothing wrong."""
    planned = run("plan", "--old-server", old)
    assert (planned.exit_code, planned.stdout) == (
        0,
        "0 repositories, 0 files, 0 bytes\nnothing needs attention\n",
    )
    done = run("run", "--config", new, "--old-server", old)
    assert done.exit_code == 0
    assert "0 rows copied" in done.stdout
    proof = run("verify", "--config", new, "--old-server", old)
    assert proof.exit_code == 0
    assert proof.stdout.endswith("everything is as it was\n")


def test_in_place_nothing_is_copied(old: str, tmp_path: Path) -> None:
    """Both files name one database."""
    same = file(tmp_path, "same.json", {
        "server": {"http_addr": ":4443"},
        "trust_service": {"type": "local"},
        "storage": {"backend": "sqlite3", "db_url": "old.db"},
    })  # fmt: skip
    done = run("run", "--config", same, "--old-server", old)
    assert done.exit_code == 0
    assert "nothing had to be copied" in done.stdout


@pytest.mark.parametrize(
    ("storage", "words"),
    [
        ({}, "storage.backend: is missing"),
        ({"backend": "rethinkdb", "db_url": "x"}, '"rethinkdb" is not supported'),
        ({"backend": "postgres", "db_url": f"postgres://u:{SECRET}@h:x/d"}, "storage.db_url"),
        ({"backend": "sqlite3", "db_url": "nowhere/at.all"}, "cannot"),
    ],
)
def test_an_old_database_that_cannot_be_had(tmp_path: Path, storage: dict[str, str], words: str) -> None:
    """Said with the key or the reason, and never with the password."""
    refused = run("plan", "--old-server", file(tmp_path, "old.json", {"storage": storage}))
    assert refused.exit_code == 1
    assert words in refused.stderr
    assert SECRET not in refused.output


def test_a_database_in_memory_is_no_place(old: str, tmp_path: Path) -> None:
    """It would be gone at once."""
    memory = file(tmp_path, "memory.json", {"storage": {"backend": "memory"}})
    refused = run("run", "--config", memory, "--old-server", old)
    assert (refused.exit_code, "would be gone" in refused.stderr) == (1, True)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--from", "notary.example.org"), "write the address with https://"),
        (("--from", "https://localhost:9", "--guns", "nowhere"), "cannot read nowhere"),
        (("--from", "https://localhost:9", "--token-file", "nowhere"), "nowhere"),
        (("--from", "https://localhost:9", "--ca-file", "nowhere"), "nowhere"),
        (("--from", "http://localhost:9"), "http://localhost:9 cannot be asked"),
    ],
)
def test_a_live_server_that_cannot_be_asked(new: str, words: tuple[str, ...], sentence: str) -> None:
    """Each in a sentence."""
    refused = run("mirror", "--config", new, *words)
    assert refused.exit_code == 1
    assert sentence in refused.stderr
