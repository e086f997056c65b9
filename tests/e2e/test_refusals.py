"""What stands on a person's screen when something is refused: what happened, and where there is one, the way on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.stack import Stack

from .conftest import NewPerson, throw_away_stack
from .notary_cli import Person, TrustServer

pytestmark = pytest.mark.e2e


def test_a_repository_nobody_made(person: NewPerson, trust_server: TrustServer, gun: str) -> None:
    """Reading a repository that is not there: the client says whose server has no data for what."""
    for command in (("list", gun), ("lookup", gun, "v1"), ("delegation", "list", gun)):
        assert f"{trust_server.address} does not have trust data for {gun}" in person("reader").refused(
            *command
        )


def test_custom_data_out_of_order(owner: Person, person: NewPerson, gun: str) -> None:
    """The client signs custom data as it is spelled, which nobody can verify unless it is spelled canonically."""
    custom = owner.file("custom.json", '{"b": 1, "a": 2}')
    said = owner.refused("add", "-p", gun, "v1", owner.file("f", "x"), "--custom", custom)
    assert said == (
        "The targets metadata is invalid: the targets file is not valid: "
        "it has 0 valid signatures of distinct keys where 1 are needed"
    )
    owner.notary("reset", gun, "--all")
    owner.notary("add", "-p", gun, "v1", owner.file("f", "x"))
    assert set(person("reader").listed(gun)) == {"v1"}


def test_a_delegate_without_anybody_to_sign_the_snapshot(owner: Person, person: NewPerson, gun: str) -> None:
    """While the owner keeps the snapshot key, a delegate's publish is refused, and the delegate reads why."""
    alice = person("alice")
    alice.delegation_key("alice")
    pem = str(alice.folder / "alice.pem")
    owner.notary("delegation", "add", "-p", gun, "targets/alice", pem, "--all-paths")
    said = alice.refused("add", "-p", gun, "v1", alice.file("f", "x"), "-r", "targets/alice")
    assert said == (
        "Metadata hierarchy is incomplete: no snapshot was sent, and the server does not hold the snapshot keys that "
        "root asks for; publish with the snapshot key, or hand the role to the server (notary key rotate GUN snapshot -r)"
    )
    owner.notary("key", "rotate", gun, "snapshot", "-r")
    alice.notary("publish", gun)
    assert set(person("reader").listed(gun)) == {"v1"}


def test_a_role_that_is_removed_and_added_again(owner: Person, person: NewPerson, gun: str) -> None:
    """A role that comes back goes on above its old versions; whoever does not know them reads which they are."""
    owner.notary("key", "rotate", gun, "snapshot", "-r")
    alice = person("alice")
    alice.delegation_key("alice")
    pem = str(alice.folder / "alice.pem")
    owner.notary("delegation", "add", "-p", gun, "targets/alice", pem, "--all-paths")
    for number in range(2):
        alice.notary("add", "-p", gun, f"v{number}", alice.file("f", "x"), "-r", "targets/alice")
    owner.notary("delegation", "remove", "-p", "-y", gun, "targets/alice")
    owner.notary("delegation", "add", "-p", gun, "targets/alice", pem, "--all-paths")
    alice.notary("add", "-p", gun, "v2", alice.file("f", "x"), "-r", "targets/alice")
    assert "v2" in person("reader").listed(gun)


def test_a_repository_that_others_own(owner: Person, person: NewPerson, gun: str) -> None:
    """Somebody initialises a name that is taken: the client finds the other root key and goes no further."""
    other = person("other")
    other.notary("init", gun)
    other.notary("add", gun, "mine", other.file("f", "mine"))
    assert "could not rotate trust to a new trusted root" in other.refused("publish", gun)
    assert person("reader").listed(gun) == {}


@pytest.mark.parametrize(("length", "taken"), [(255, True), (256, False)])
def test_a_very_long_name(person: NewPerson, gun: str, length: int, taken: bool) -> None:
    """A name of 255 characters works like any other; a longer one is refused at the first question."""
    name = f"{gun}/{'x' * 120}/"
    name += "y" * (length - len(name))
    one = person("one")
    if not taken:
        assert "trust data unavailable" in one.refused("init", "-p", name)
        return
    one.notary("init", "-p", name)
    one.notary("add", "-p", name, "v1", one.file("f", "x"))
    assert set(person("reader").listed(name)) == {"v1"}


@pytest.fixture
def own_stack() -> Iterator[Stack]:
    """A stack for one test, which changes or breaks it."""
    with throw_away_stack() as stack:
        yield stack


@pytest.fixture
def own_person(own_stack: Stack, tmp_path: Path) -> NewPerson:
    """People of `own_stack`."""
    return lambda name: Person(tmp_path / name, TrustServer(own_stack.url, own_stack.ca_file))


def test_configured_limits(own_stack: Stack, own_person: NewPerson) -> None:
    """A name outside the permitted prefixes and an upload over the limit are refused in words."""
    owner = own_person("owner")
    owner.notary("init", "-p", "ours/app")
    own_stack.server.stop()
    changes = {"repositories": {"gun_prefixes": ["ours/"]}, "limits": {"max_upload_bytes": 4096}}
    own_stack.change(server=changes)
    own_stack.server.start()
    # The client can show no reason here: whatever is no key is "unavailable" to it.
    assert owner.refused("init", "theirs/app") == (
        "timestamp key trust data unavailable.  Has a notary repository been initialized?"
    )
    for number in range(10):
        owner.notary("addhash", "ours/app", f"v{number}" * 100, "1", "--sha256", "ab" * 32)
    assert owner.refused("publish", "ours/app") == (
        "An error occurred during validation: the upload is larger than 4096 bytes; "
        "publish fewer targets or split them into delegations"
    )


def test_limits_of_files_and_of_writes(own_stack: Stack, own_person: NewPerson) -> None:
    """What a file has too much of is said in words; who writes too often reads a number, and both are recorded."""
    owner = own_person("owner")
    owner.notary("init", "-p", "ours/app")
    own_stack.server.stop()
    audit = own_stack.folder / "audit.log"
    own_stack.change(
        server={"limits": {"max_file_bytes": 3000, "client_writes": 2}, "audit": {"file": str(audit)}}
    )
    own_stack.server.start()
    for number in range(12):
        owner.notary("addhash", "ours/app", f"v{number}" * 100, "1", "--sha256", "ab" * 32)
    assert owner.refused("publish", "ours/app") == (
        "The targets metadata is invalid: the targets file is not valid: it is larger than 3000 bytes"
    )
    owner.notary("reset", "ours/app", "--all")
    owner.notary("add", "-p", "ours/app", "v1", owner.file("f", "x"))
    owner.notary("add", "ours/app", "v2", owner.file("f", "y"))
    assert owner.refused("publish", "ours/app") == "unable to reach trust server at this time: 429."
    recorded = [json.loads(line) for line in audit.read_text().splitlines()]
    assert [(entry["action"], entry["outcome"], entry.get("code")) for entry in recorded] == [
        ("publish", "refused", "INVALID_UPDATE"),
        ("publish", "done", None),
        ("publish", "refused", "TOOMANYREQUESTS"),
    ]


def test_the_signer_is_away(own_stack: Stack, own_person: NewPerson) -> None:
    """Without the signer what is published can be read, nothing can be published, and all is well once it is back."""
    owner = own_person("owner")
    owner.notary("init", "-p", "ours/app")
    owner.notary("add", "-p", "ours/app", "v1", owner.file("f", "x"))
    own_stack.signer.kill()
    assert set(own_person("reader").listed("ours/app")) == {"v1"}
    assert (
        owner.refused("add", "-p", "ours/app", "v2", owner.file("f", "x"))
        == "unable to reach trust server at this time: 503."
    )
    assert owner.refused("init", "ours/other") == "unable to reach trust server at this time: 503."
    own_stack.signer.start()
    owner.notary("publish", "ours/app")
    assert set(own_person("reader").listed("ours/app")) == {"v1", "v2"}


def test_the_server_is_away(own_stack: Stack, own_person: NewPerson) -> None:
    """Without the server the client says so; whoever has read before still sees what was there."""
    owner, reader = own_person("owner"), own_person("reader")
    owner.notary("init", "-p", "ours/app")
    owner.notary("add", "-p", "ours/app", "v1", owner.file("f", "x"))
    assert set(reader.listed("ours/app")) == {"v1"}
    own_stack.server.stop()
    assert owner.refused("publish", "ours/app").startswith("client is offline")
    own_stack.server.start()
    owner.notary("publish", "ours/app")


def test_everything_is_there_after_a_restart(own_stack: Stack, own_person: NewPerson) -> None:
    """Both daemons are killed and started again: what was published is there, and the same keys go on signing."""
    owner, reader = own_person("owner"), own_person("reader")
    owner.notary("init", "-p", "ours/app")
    owner.notary("key", "rotate", "ours/app", "snapshot", "-r")
    owner.notary("add", "-p", "ours/app", "v1", owner.file("f", "x"))
    assert set(reader.listed("ours/app")) == {"v1"}
    own_stack.kill()
    own_stack.start()
    assert set(reader.listed("ours/app")) == {"v1"}
    owner.notary("add", "-p", "ours/app", "v2", owner.file("f", "x"))
    assert set(reader.listed("ours/app")) == {"v1", "v2"}
