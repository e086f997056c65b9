"""A root key is lost: the repository is reset, begins anew under the same name, and everybody does what was printed."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

import pytest

from tests.support.stack import Stack

from .conftest import NewPerson
from .notary_cli import Person

pytestmark = pytest.mark.e2e


@pytest.fixture
def stack(request: pytest.FixtureRequest) -> Stack:
    """Whose server the people talk to."""
    found: Stack = request.getfixturevalue(f"{request.node.callspec.params['trust_server']}_stack")
    return found


def reset(stack: Stack, gun: str, *options: str) -> Any:
    """Run the command; what it writes as JSON."""
    config = str(stack.server_config)
    return json.loads(stack.server.check("repo", "reset", "--config", config, gun, "--json", *options))


def online_key(stack: Stack, gun: str, role: str) -> Any:
    """The public half that the server gives to who publishes a repository."""
    url = f"{stack.url}/v2/{gun}/_trust/tuf/{role}.key"
    with urllib.request.urlopen(url, context=stack.client_context(), timeout=10) as answer:
        return json.load(answer)["keyval"]["public"]


def signed(person: Person, gun: str, role: str) -> Any:
    """What the person has cached of a role."""
    return person.metadata(gun, role)


def test_a_lost_root_key(owner: Person, person: NewPerson, gun: str, stack: Stack) -> None:
    """A successor takes the name; versions of the timestamp go on; who knew the old one reads after the step
    that was printed. Undoing it then would lose what is new, and is refused."""
    owner.notary("key", "rotate", gun, "snapshot", "-r")
    for number in range(4):
        owner.notary("add", "-p", gun, f"v{number}", owner.file("f", str(number)))
    alice = person("alice")
    alice.delegation_key("alice")
    certificate = str(alice.folder / "alice.pem")
    owner.notary("delegation", "add", "-p", gun, "targets/alice", certificate, "--all-paths")
    reader = person("reader")
    assert set(reader.listed(gun)) == {"v0", "v1", "v2", "v3"}
    before, root = signed(reader, gun, "timestamp")["version"], signed(reader, gun, "root")

    foreseen = reset(stack, gun, "--dry-run")
    assert [entry["role"] for entry in foreseen["delegations"]] == ["targets/alice"]
    assert sorted(entry["tag"] for entry in foreseen["tags"]) == ["v0", "v1", "v2", "v3"]
    assert set(person("another").listed(gun)) == {"v0", "v1", "v2", "v3"}
    done = reset(stack, gun, "--yes")
    assert {**done, "dry_run": True} == foreseen
    assert "does not have trust data for" in person("late reader").refused("list", gun)

    # A job that goes on signing with what it has cached does not bring the old root back.
    owner.notary("add", gun, "late", owner.file("f", "late"))
    said = owner.refused("publish", gun)
    assert "this repository was reset" in said
    assert "tuf/GUN in your trust directory" in said
    for role in ("snapshot", "timestamp"):
        (old,) = root["roles"][role]["keyids"]
        assert online_key(stack, gun, role) == root["keys"][old]["keyval"]["public"]
    successor = person("successor")
    successor.notary("init", gun)
    successor.notary("key", "rotate", gun, "snapshot", "-r")
    successor.notary("add", "-p", gun, "new", successor.file("f", "new"))
    assert set(person("new reader").listed(gun)) == {"new"}
    assert "could not rotate trust to a new trusted root" in reader.refused("list", gun)
    reader.forget(gun)
    assert set(reader.listed(gun)) == {"new"}
    assert signed(reader, gun, "timestamp")["version"] > before
    assert signed(reader, gun, "root")["roles"]["timestamp"] == root["roles"]["timestamp"]
    refused = stack.server.command("repo", "reset", "--config", str(stack.server_config), gun, "--undo")
    assert refused.returncode == 1
    assert "published anew since" in refused.stderr


def test_a_reset_by_mistake(owner: Person, person: NewPerson, gun: str, stack: Stack) -> None:
    """Undone, its owner and its readers go on as if nothing had been."""
    owner.notary("add", "-p", gun, "v1", owner.file("f", "one"))
    reader = person("reader")
    assert set(reader.listed(gun)) == {"v1"}
    reset(stack, gun, "--yes")
    assert reset(stack, gun, "--undo")["brought_back"] > 0
    assert set(reader.listed(gun)) == {"v1"}
    owner.notary("add", "-p", gun, "v2", owner.file("f", "two"))
    assert set(reader.listed(gun)) == {"v1", "v2"}
    config = str(stack.server_config)
    verified = stack.server.check("repo", "verify", "--config", config, gun, "--json")
    assert json.loads(verified.splitlines()[-1])["broken"] == 0


def test_what_is_not_there_and_questions(person: NewPerson, gun: str, stack: Stack) -> None:
    """An unknown name is said to be unknown; without an answer nothing happens."""
    config = str(stack.server_config)
    unknown = stack.server.command("repo", "reset", "--config", config, gun, "--yes")
    assert unknown.returncode == 1
    assert "nothing is stored of" in unknown.stderr
    owner = person("owner of one")
    owner.notary("init", "-p", gun)
    asked = stack.server.command("repo", "reset", "--config", config, gun)
    assert asked.returncode == 1
    assert "Put it away?" in asked.stdout
    owner.notary("list", gun)
    assert stack.server.command("repo", "reset", "--config", config, gun, "--json").returncode == 2
    assert (
        stack.server.command("repo", "reset", "--config", config, gun, "--undo", "--dry-run").returncode == 2
    )
