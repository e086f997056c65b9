"""One person publishes, others read: init, add, addhash, remove, publish, list, lookup, verify, status, reset, witness."""

from __future__ import annotations

import hashlib

import pytest

from .conftest import NewPerson
from .notary_cli import Person

pytestmark = pytest.mark.e2e

CONTENT = "the released file\n"
SHA256 = hashlib.sha256(CONTENT.encode()).hexdigest()
SIZE = len(CONTENT)


def test_a_reader_finds_what_was_published(owner: Person, person: NewPerson, gun: str) -> None:
    """What is added and published, somebody with nothing but the server's address lists with digest, size and role."""
    assert "staged for next publish" in owner.notary("add", gun, "v1", owner.file("v1", CONTENT))
    assert "Successfully published changes" in owner.notary("publish", gun)
    assert person("reader").listed(gun) == {"v1": (SHA256, SIZE, "targets")}


def test_an_empty_repository_lists_nothing(owner: Person, person: NewPerson, gun: str) -> None:
    """A repository without targets is there, and empty."""
    assert "No targets present in this repository." in person("reader").notary("list", gun)


def test_init_can_publish_at_once(person: NewPerson, gun: str) -> None:
    """`init -p` makes and publishes the repository in one command."""
    assert "Successfully published changes" in person("owner").notary("init", "-p", gun)
    assert person("reader").listed(gun) == {}


def test_a_digest_alone_can_be_published(owner: Person, person: NewPerson, gun: str) -> None:
    """`addhash` publishes a file that is not at hand, by its digests and size."""
    other = hashlib.sha512(CONTENT.encode()).hexdigest()
    owner.notary("addhash", "-p", gun, "v2", str(SIZE), "--sha256", SHA256, "--sha512", other)
    assert person("reader").listed(gun) == {"v2": (SHA256, SIZE, "targets")}


def test_lookup_finds_one_target(owner: Person, person: NewPerson, gun: str) -> None:
    """`lookup` prints digest and size of the target that is asked for, and says so if there is none."""
    owner.notary("add", "-p", gun, "v1", owner.file("v1", CONTENT))
    reader = person("reader")
    assert reader.notary("lookup", gun, "v1").strip() == f"v1 sha256:{SHA256} {SIZE}"
    assert reader.refused("lookup", gun, "v9") == "No valid trust data for v9"


def test_verify_passes_the_right_file_on_and_refuses_another(
    owner: Person, person: NewPerson, gun: str
) -> None:
    """`verify` hands the signed content through and refuses any other, and one under a name nobody signed."""
    owner.notary("add", "-p", gun, "v1", owner.file("v1", CONTENT))
    reader = person("reader")
    assert reader.notary("verify", gun, "v1", stdin=CONTENT) == CONTENT
    # The client looks at one of two digests, whichever comes first.
    assert "checksum for v1 did not match" in reader.refused("verify", gun, "v1", stdin="forged")
    assert "No valid trust data for v9" in reader.refused("verify", gun, "v9", stdin=CONTENT)


def test_a_removed_target_is_gone(owner: Person, person: NewPerson, gun: str) -> None:
    """After `remove` and `publish` a target is no longer listed, neither to new readers nor to old ones."""
    owner.notary("add", gun, "v1", owner.file("v1", CONTENT))
    owner.notary("add", "-p", gun, "v2", owner.file("v2", "another"))
    old_reader = person("old reader")
    assert set(old_reader.listed(gun)) == {"v1", "v2"}
    owner.notary("remove", "-p", gun, "v2")
    assert set(person("reader").listed(gun)) == {"v1"}
    assert set(old_reader.listed(gun)) == {"v1"}


def test_status_shows_what_is_staged_until_it_is_published(owner: Person, gun: str) -> None:
    """`status` lists staged changes in order, and none after the publish."""
    owner.notary("add", gun, "v1", owner.file("v1", CONTENT))
    owner.notary("remove", gun, "v0")
    assert owner.pending(gun) == [
        ("create", "targets", "target", "v1"),
        ("delete", "targets", "target", "v0"),
    ]
    owner.notary("publish", gun)
    assert "No unpublished changes" in owner.notary("status", gun)


def test_reset_drops_staged_changes(owner: Person, person: NewPerson, gun: str) -> None:
    """`reset -n` drops one staged change and `reset --all` all of them; nothing of them is published."""
    owner.notary("add", gun, "v1", owner.file("v1", CONTENT))
    owner.notary("add", gun, "v2", owner.file("v2", CONTENT))
    owner.notary("reset", gun, "-n", "0")
    assert [row[3] for row in owner.pending(gun)] == ["v2"]
    owner.notary("reset", gun, "--all")
    assert owner.pending(gun) == []
    owner.notary("publish", gun)
    assert person("reader").listed(gun) == {}


def test_witness_signs_a_role_again(owner: Person, person: NewPerson, gun: str) -> None:
    """`witness` publishes the role again one version higher, with the same targets."""
    owner.notary("add", "-p", gun, "v1", owner.file("v1", CONTENT))
    reader = person("reader")
    before = reader.listed(gun)
    version = reader.metadata(gun, "targets")["version"]
    assert isinstance(version, int)
    assert "successfully marked for witnessing" in owner.notary("witness", gun, "targets")
    owner.notary("publish", gun)
    assert reader.listed(gun) == before
    assert reader.metadata(gun, "targets")["version"] == version + 1


def test_custom_data_comes_back(owner: Person, person: NewPerson, gun: str) -> None:
    """Custom data of a target reaches a reader as it was given."""
    custom = owner.file("custom.json", '{"a": ["ü", 1, null], "b": {"c": "d"}}')
    owner.notary("add", "-p", gun, "v1", owner.file("v1", CONTENT), "--custom", custom)
    reader = person("reader")
    reader.listed(gun)
    targets = reader.metadata(gun, "targets")["targets"]
    assert isinstance(targets, dict)
    assert targets["v1"]["custom"] == {"a": ["ü", 1, None], "b": {"c": "d"}}


@pytest.mark.parametrize(
    "name", ["sp ace", "ünïcode/ñame", "a/b/c", "<&>", "q'uo\"te", "back\\slash", "x" * 300]
)
def test_any_target_name_survives(owner: Person, person: NewPerson, gun: str, name: str) -> None:
    """Target names are free text to the server: what is published under them is found under them."""
    owner.notary("add", "-p", gun, name, owner.file("v1", CONTENT))
    assert person("reader").notary("lookup", gun, name).strip() == f"{name} sha256:{SHA256} {SIZE}"


def test_ten_publishes_one_after_the_other(owner: Person, person: NewPerson, gun: str) -> None:
    """Every publish builds on the one before, and a reader who looks in between follows."""
    reader = person("reader")
    for number in range(10):
        owner.notary("add", "-p", gun, f"v{number}", owner.file("v", CONTENT))
        assert len(reader.listed(gun)) == number + 1


def test_the_owner_goes_on_from_another_machine(owner: Person, person: NewPerson, gun: str) -> None:
    """An owner whose cached metadata is gone publishes on with the keys alone."""
    owner.notary("add", "-p", gun, "v1", owner.file("v1", CONTENT))
    owner.forget(gun)
    owner.notary("add", "-p", gun, "v2", owner.file("v2", CONTENT))
    assert set(person("reader").listed(gun)) == {"v1", "v2"}


def test_two_repositories_of_one_owner_stay_apart(owner: Person, person: NewPerson, gun: str) -> None:
    """One root key may serve two repositories; what is published in one is not in the other."""
    owner.notary("init", "-p", f"{gun}/second")
    owner.notary("add", "-p", f"{gun}/second", "v1", owner.file("v1", CONTENT))
    reader = person("reader")
    assert reader.listed(gun) == {}
    assert set(reader.listed(f"{gun}/second")) == {"v1"}
