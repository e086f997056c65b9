"""An installation of Notary 0.7.0 is taken over without its signer's keys: what its owners read, and what they do."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from notary_server.tokens.issue import signed_token
from notary_server.tokens.keys import new_key, write_bundle
from notary_server.tokens.scopes import parse_scopes
from tests.support.reference import Reference
from tests.support.stack import Stack

from .conftest import throw_away_stack
from .notary_cli import Person, TrustServer

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def old() -> Iterator[Reference]:
    """Notary 0.7.0, running."""
    with tempfile.TemporaryDirectory(prefix="notary-takeover-", ignore_cleanup_errors=True) as folder:
        reference = Reference(Path(folder))
        reference.start()
        try:
            yield reference
        finally:
            reference.stop()


def _before(old: Reference) -> TrustServer:
    server = old.server()
    return TrustServer(server.url, Path(server.ca_file))


@pytest.fixture
def mirror() -> Iterator[Stack]:
    """Ours over SQLite, with nothing in it."""
    with throw_away_stack() as stack:
        yield stack


@pytest.fixture
def in_place(old: Reference) -> Iterator[Stack]:
    """Ours over the old server's database with one of its own for the signer, not yet started."""
    databases = (old.storage("notaryserver")["db_url"], old.create_database("ours"))
    stack = Stack(Path(tempfile.mkdtemp(prefix="notary-e2e-")), databases=databases)
    try:
        yield stack
    finally:
        stack.destroy()


def test_an_owner_moves_on_from_the_old_signers_keys(old: Reference, in_place: Stack, tmp_path: Path) -> None:
    """Where the old signer held the timestamp key, the owner reads what to do, rotates it, and publishes on."""
    owner = Person(tmp_path / "owner", _before(old))
    owner.notary("init", "-p", "ours/app")
    old.server().stop()
    in_place.start()
    now = TrustServer(in_place.url, in_place.ca_file)
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


def test_a_live_server_is_mirrored(old: Reference, mirror: Stack, tmp_path: Path) -> None:
    """Everything but the keys comes over HTTPS; readers go on at once, owners after the command that the report names."""
    before = _before(old)
    owner, reader = Person(tmp_path / "owner", before), Person(tmp_path / "reader", before)
    owner.notary("init", "-p", "far/app")
    owner.notary("key", "rotate", "far/app", "root", stdin="yes\n")
    owner.notary("add", "-p", "far/app", "v1", owner.file("f", "x"))
    reader.listed("far/app")
    where = ("--from", before.url, "--ca-file", str(before.ca_file), "--json")
    said = json.loads(mirror.server.check("takeover", "mirror", *where))
    (mine,) = (one for one in said["repositories"] if one["gun"] == "far/app")
    assert mine["outcome"] == "mirrored"
    assert mine["commands"][0] == "notary key rotate far/app timestamp -r"

    now = TrustServer(mirror.url, mirror.ca_file)
    assert set(Person(tmp_path / "reader", now).listed("far/app")) == {"v1"}
    owner = Person(tmp_path / "owner", now)
    owner.notary(*mine["commands"][0].split()[1:])
    owner.notary("add", "-p", "far/app", "v2", owner.file("f", "x"))
    assert set(Person(tmp_path / "reader", now).listed("far/app")) == {"v1", "v2"}
    said = json.loads(mirror.server.check("takeover", "mirror", *where))
    assert {one["outcome"] for one in said["repositories"] if one["gun"] == "far/app"} == {"ahead"}


def test_named_repositories_are_mirrored_from_a_server_that_asks_for_tokens(
    old: Reference, mirror: Stack, tmp_path: Path
) -> None:
    """Those in the file, with the token in the other file; without it nothing."""
    owner = Person(tmp_path / "owner", _before(old))
    for gun in ("asked/one", "asked/two"):
        owner.notary("init", "-p", gun)
    now = datetime.now(UTC)
    key = new_key("tokens", now - timedelta(days=1))
    (tmp_path / "keys").mkdir()
    options = {
        "realm": "https://tokens.example.org/token",
        "service": "notary",
        "issuer": "tokens",
        "rootcertbundle": str(write_bundle(tmp_path / "keys", [key])),
    }
    guarded = old.server("guarded", {"auth": {"type": "token", "options": options}})
    guns, token = tmp_path / "guns.txt", tmp_path / "token"
    guns.write_text("asked/one\n")
    granted = parse_scopes(["repository:asked/one:pull"])
    signed = signed_token(
        key,
        issuer="tokens",
        service="notary",
        subject="mirror",
        granted=granted,
        now=now,
        lifetime=300,
        token_id="1",
    )
    token.touch(0o600)
    token.write_text(signed + "\n")
    words = (
        *("takeover", "mirror", "--from", guarded.url, "--ca-file", guarded.ca_file),
        *("--guns", str(guns), "--json"),
    )
    refused = mirror.server.command(*words)
    assert refused.returncode == 1, refused.stdout + refused.stderr
    assert "asks for a token that allows this" in refused.stderr
    done = mirror.server.command(*words, "--token-file", str(token))
    assert done.returncode == 0, done.stdout + done.stderr
    outcomes = {one["gun"]: one["outcome"] for one in json.loads(done.stdout)["repositories"]}
    assert outcomes == {"asked/one": "mirrored"}
    assert signed not in done.stdout + done.stderr
    reader = Person(tmp_path / "reader", TrustServer(mirror.url, mirror.ca_file))
    assert reader.listed("asked/one") == {}
    assert "does not have trust data" in reader.refused("list", "asked/two")
