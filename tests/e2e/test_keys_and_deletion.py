"""Keys leave and enter the client's store; repositories end and begin again."""

from __future__ import annotations

import pytest

from .conftest import NewPerson
from .notary_cli import Person

pytestmark = pytest.mark.e2e


def test_exported_keys_publish_elsewhere(owner: Person, person: NewPerson, gun: str) -> None:
    """Keys exported on one machine and imported on another sign there as they did before."""
    owner.notary("add", "-p", gun, "v1", owner.file("f", "one"))
    owner.notary("key", "export", "-o", "all.pem")
    elsewhere = person("elsewhere")
    elsewhere.notary("key", "import", str(owner.folder / "all.pem"))
    assert elsewhere.keys() == owner.keys()
    elsewhere.notary("add", "-p", gun, "v2", elsewhere.file("f", "two"))
    assert set(person("reader").listed(gun)) == {"v1", "v2"}


def test_one_key_is_exported(owner: Person, person: NewPerson, gun: str) -> None:
    """`key export --key` exports the one that is named; with it alone the others' roles cannot be signed."""
    targets = next(key for key, (role, _) in owner.keys().items() if role == "targets")
    owner.notary("key", "export", "--key", targets, "-o", "targets.pem")
    elsewhere = person("elsewhere")
    elsewhere.notary("key", "import", str(owner.folder / "targets.pem"))
    assert elsewhere.keys() == {targets: ("targets", gun)}


def test_a_repository_is_deleted_and_started_again(owner: Person, person: NewPerson, gun: str) -> None:
    """After `delete --remote` nothing is left to read; the same name can be taken again, with other keys."""
    owner.notary("add", "-p", gun, "v1", owner.file("f", "one"))
    assert set(person("reader").listed(gun)) == {"v1"}
    assert "Successfully deleted local and remote trust data" in owner.notary("delete", "--remote", gun)
    assert "does not have trust data for" in person("late reader").refused("list", gun)
    successor = person("successor")
    successor.notary("init", "-p", gun)
    successor.notary("add", "-p", gun, "v2", successor.file("f", "two"))
    assert set(person("new reader").listed(gun)) == {"v2"}


def test_the_owner_starts_again_with_the_same_root_key(owner: Person, person: NewPerson, gun: str) -> None:
    """An owner who deleted the repository makes it anew with the root key that is still there."""
    owner.notary("delete", "--remote", gun)
    assert "Root key found" in owner.notary("init", "-p", gun)
    owner.notary("add", "-p", gun, "v1", owner.file("f", "one"))
    assert set(person("reader").listed(gun)) == {"v1"}


def test_deleting_one_repository_leaves_the_others(owner: Person, person: NewPerson, gun: str) -> None:
    """A repository whose name begins with the deleted one's stays."""
    owner.notary("init", "-p", f"{gun}-more")
    owner.notary("add", "-p", f"{gun}-more", "v1", owner.file("f", "one"))
    owner.notary("delete", "--remote", gun)
    assert set(person("reader").listed(f"{gun}-more")) == {"v1"}


def test_a_local_delete_is_no_remote_one(owner: Person, person: NewPerson, gun: str) -> None:
    """`delete` without `--remote` forgets the owner's cache alone."""
    owner.notary("add", "-p", gun, "v1", owner.file("f", "one"))
    owner.notary("delete", gun)
    assert set(person("reader").listed(gun)) == {"v1"}


def test_deleting_what_is_not_there_succeeds(person: NewPerson, gun: str) -> None:
    """`delete --remote` of a repository nobody made says that it is gone."""
    assert "Successfully deleted" in person("anybody").notary("delete", "--remote", gun)
