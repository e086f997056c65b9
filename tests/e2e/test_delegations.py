"""Several people sign for one repository, each with their own key: delegation add, purge, remove, paths, nesting."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from .conftest import NewPerson
from .notary_cli import Person

pytestmark = pytest.mark.e2e


@dataclass(frozen=True, slots=True)
class Team:
    """An owner, and two people with keys of their own who sign as targets/alice and targets/bob."""

    gun: str
    owner: Person
    alice: Person
    bob: Person
    alice_key: str
    bob_key: str

    def add(self, person: Person, role: str, name: str) -> str:
        """`person` publishes a file as `role`."""
        return person.notary("add", "-p", self.gun, name, person.file("f", name), "-r", role)


@pytest.fixture
def team(owner: Person, person: NewPerson, gun: str) -> Team:
    """Alice signs with a bare key and everything, Bob with a certificate and below bob/ only."""
    alice, bob = person("alice"), person("bob")
    owner.notary(
        "key", "rotate", gun, "snapshot", "-r"
    )  # nobody but the owner could sign the snapshot otherwise
    alice_key = alice.delegation_key("alice")
    bob_key = bob.delegation_certificate("bob")
    owner.notary(
        "delegation", "add", "-p", gun, "targets/alice", str(alice.folder / "alice.pem"), "--all-paths"
    )
    owner.notary(
        "delegation", "add", "-p", gun, "targets/bob", str(bob.folder / "bob.pem"), "--paths", "bob/"
    )
    return Team(gun, owner, alice, bob, alice_key, bob_key)


def test_two_people_publish_with_their_own_keys(team: Team, person: NewPerson) -> None:
    """Each delegate publishes without the owner; a reader sees everything with the role that signed it."""
    team.add(team.alice, "targets/alice", "from-alice")
    team.add(team.bob, "targets/bob", "bob/file")
    team.owner.notary("add", "-p", team.gun, "from-owner", team.owner.file("f", "x"))
    team.add(team.alice, "targets/alice", "again")
    roles = {name: row[2] for name, row in person("reader").listed(team.gun).items()}
    assert roles == {
        "from-alice": "targets/alice",
        "again": "targets/alice",
        "bob/file": "targets/bob",
        "from-owner": "targets",
    }


def test_list_shows_one_role(team: Team, person: NewPerson) -> None:
    """`list -r` shows what one role signed, and nothing of the others."""
    team.add(team.alice, "targets/alice", "from-alice")
    team.add(team.bob, "targets/bob", "bob/file")
    assert set(person("reader").listed(team.gun, "-r", "targets/bob")) == {"bob/file"}


def test_delegations_are_listed_with_keys_and_paths(team: Team, person: NewPerson) -> None:
    """`delegation list` shows every role with its paths and the ids of its keys, to anybody."""
    assert person("reader").delegations(team.gun) == {
        "targets/alice": ({"<all>"}, {team.alice_key}),
        "targets/bob": ({"bob/"}, {team.bob_key}),
    }


def test_a_file_outside_the_paths_is_not_published(team: Team, person: NewPerson) -> None:
    """What a delegate adds outside the role's paths reaches no reader."""
    team.bob.try_("add", "-p", team.gun, "elsewhere", team.bob.file("f", "x"), "-r", "targets/bob")
    assert "elsewhere" not in person("reader").listed(team.gun)


def test_paths_are_added_and_removed(team: Team, person: NewPerson) -> None:
    """The owner widens and narrows a role's paths; a reader follows."""
    pem = str(team.bob.folder / "bob.pem")
    team.owner.notary("delegation", "add", "-p", team.gun, "targets/bob", pem, "--paths", "docs/")
    assert person("r1").delegations(team.gun)["targets/bob"][0] == {"bob/", "docs/"}
    team.add(team.bob, "targets/bob", "docs/guide")
    assert set(person("r1").listed(team.gun)) == {"docs/guide"}
    team.owner.notary("delegation", "remove", "-p", team.gun, "targets/bob", "--paths", "bob/")
    assert person("r2").delegations(team.gun)["targets/bob"][0] == {"docs/"}


def test_a_purged_key_can_publish_no_more(team: Team, person: NewPerson) -> None:
    """`delegation purge` takes a key out of every role; its holder can publish nothing any more, others can."""
    team.add(team.alice, "targets/alice", "from-alice")
    team.add(team.bob, "targets/bob", "bob/file")
    team.owner.notary(
        "delegation", "add", "-p", team.gun, "targets/bob", str(team.alice.folder / "alice.pem")
    )
    team.owner.notary("delegation", "purge", "-p", team.gun, "--key", team.bob_key)
    assert person("reader").delegations(team.gun)["targets/bob"][1] == {team.alice_key}
    team.bob.refused("add", "-p", team.gun, "bob/late", team.bob.file("f", "x"), "-r", "targets/bob")
    team.alice.notary("witness", "-p", team.gun, "targets/bob")
    assert set(person("reader").listed(team.gun)) == {"from-alice", "bob/file"}


def test_a_removed_role_is_gone(team: Team, person: NewPerson) -> None:
    """After `delegation remove` a role and all it signed is gone for readers; the others stay."""
    team.add(team.alice, "targets/alice", "from-alice")
    team.add(team.bob, "targets/bob", "bob/file")
    team.owner.notary("delegation", "remove", "-p", "-y", team.gun, "targets/bob")
    assert set(person("reader").delegations(team.gun)) == {"targets/alice"}
    assert set(person("reader").listed(team.gun)) == {"from-alice"}


def test_a_delegate_delegates_further(team: Team, person: NewPerson) -> None:
    """Alice hands a part of her role to Carol, who publishes with her own key below Alice's role."""
    team.add(team.alice, "targets/alice", "from-alice")
    carol = person("carol")
    carol.delegation_key("carol")
    pem = str(carol.folder / "carol.pem")
    nested = "targets/alice/carol"
    said = team.owner.refused("delegation", "add", "-p", team.gun, nested, pem, "--all-paths")
    assert "could not find necessary signing keys" in said  # only Alice signs what stands in her role
    team.alice.notary("delegation", "add", "-p", team.gun, nested, pem, "--all-paths")
    team.add(carol, nested, "from-carol")
    roles = {name: row[2] for name, row in person("reader").listed(team.gun).items()}
    assert roles == {"from-alice": "targets/alice", "from-carol": nested}


def test_a_delegate_cannot_sign_for_another(team: Team, person: NewPerson) -> None:
    """A delegate publishes neither as another delegate nor as the owner."""
    for role, name in (("targets/bob", "bob/x"), ("targets", "x")):
        said = team.alice.refused("add", "-p", team.gun, name, team.alice.file("f", "x"), "-r", role)
        assert "could not find necessary signing keys" in said
        team.alice.notary("reset", team.gun, "--all")
    assert person("reader").listed(team.gun) == {}
