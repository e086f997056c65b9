"""Content trust through the real docker: push, pull, trust sign, inspect, revoke, signer add and remove, key generate."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .docker_engine import DockerUser, Workplace, engine, registry
from .notary_cli import TrustServer

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

NewUser = Callable[[str], DockerUser]


@pytest.fixture(scope="module")
def machine() -> Iterator[tuple[str, str]]:
    """An engine and a registry, for all tests here."""
    with (
        tempfile.TemporaryDirectory(prefix="notary-docker-", ignore_cleanup_errors=True) as folder,
        engine(Path(folder)) as host,
        registry(Path(folder)) as address,
    ):
        yield host, address


@pytest.fixture
def place(machine: tuple[str, str], trust_server: TrustServer) -> Workplace:
    """Engine, registry and trust server."""
    return Workplace(*machine, trust_server)


@pytest.fixture
def user(tmp_path: Path, place: Workplace) -> NewUser:
    """Makes people; the same name is the same person."""
    return lambda name: DockerUser(tmp_path / name, place)


@pytest.fixture
def repository(place: Workplace) -> str:
    """An image name nobody has used yet."""
    return f"{place.registry}/team/{uuid.uuid4().hex[:8]}"


@pytest.fixture
def owner(user: NewUser, repository: str) -> DockerUser:
    """Has pushed and signed the tag v1."""
    made = user("owner")
    made.image(f"{repository}:v1", f"{repository} one")
    said = made.docker("push", f"{repository}:v1", trust=True)
    assert f"Successfully signed {repository}:v1" in said
    return made


def test_a_signed_image_is_pulled_by_its_digest(owner: DockerUser, user: NewUser, repository: str) -> None:
    """What is pushed with content trust, somebody else pulls with content trust, by the digest that was signed."""
    digest = owner.pushed_digest(f"{repository}:v1")
    owner.docker("image", "rm", f"{repository}:v1")
    assert f"{repository}:v1@sha256:{digest}" in user("reader").docker("pull", f"{repository}:v1", trust=True)


def test_an_unsigned_tag_is_not_pulled(owner: DockerUser, user: NewUser, repository: str) -> None:
    """A tag that was pushed without signing is refused with content trust on, and pulled with it off."""
    owner.image(f"{repository}:v2", "two")
    owner.docker("push", f"{repository}:v2")
    assert user("reader").refused("pull", f"{repository}:v2", trust=True) == "No valid trust data for v2"
    user("reader").docker("pull", f"{repository}:v2")


def test_an_unknown_repository_is_not_pulled(owner: DockerUser, user: NewUser, repository: str) -> None:
    """A repository without trust data is refused with content trust on, and docker says that there is none."""
    owner.image(f"{repository}-other:v1", "other")
    owner.docker("push", f"{repository}-other:v1")
    said = user("reader").refused("pull", f"{repository}-other:v1", trust=True)
    assert "does not have trust data for" in said


def test_a_replaced_image_is_not_pulled(owner: DockerUser, user: NewUser, repository: str) -> None:
    """Somebody overwrites a signed tag in the registry: a pull with content trust gets the signed image all the same."""
    signed = owner.pushed_digest(f"{repository}:v1")
    owner.docker("image", "rm", f"{repository}:v1")
    intruder = user("intruder")
    intruder.image(f"{repository}:v1", "replaced")
    intruder.docker("push", f"{repository}:v1")
    intruder.docker("image", "rm", f"{repository}:v1")
    reader = user("reader")
    assert f"@sha256:{signed}" in reader.docker("pull", f"{repository}:v1", trust=True)
    assert reader.pushed_digest(f"{repository}:v1") == signed


def test_inspect_shows_tags_digests_and_signers(owner: DockerUser, user: NewUser, repository: str) -> None:
    """`docker trust inspect` shows every signed tag with its digest and who signed it."""
    digest = owner.pushed_digest(f"{repository}:v1")
    assert user("reader").signatures(repository) == {"v1": (digest, ["Repo Admin"])}
    pretty = user("reader").docker("trust", "inspect", "--pretty", repository)
    assert "Repository Key:" in pretty
    assert "Root Key:" in pretty


def test_inspect_of_an_unsigned_repository_says_so(user: NewUser, repository: str) -> None:
    """`docker trust inspect` of a repository without trust data says that there are no signatures."""
    assert "no signatures" in user("reader").refused("trust", "inspect", repository).lower()


def test_sign_publishes_a_new_repository(user: NewUser, place: Workplace, repository: str) -> None:
    """`docker trust sign` alone makes keys, repository and a signer of the name that is logged in, pushes and signs."""
    carol = user("carol")
    carol.log_in(place.registry, "carol")
    carol.image(f"{repository}:v1", "one")
    assert "Successfully signed" in carol.docker("trust", "sign", f"{repository}:v1")
    assert user("reader").signatures(repository) == {
        "v1": (carol.pushed_digest(f"{repository}:v1"), ["carol"])
    }


def test_several_tags_are_signed_one_after_the_other(
    owner: DockerUser, user: NewUser, repository: str
) -> None:
    """Signing goes on with the same keys, tag after tag; signing a tag again replaces it."""
    for tag in ("v2", "v3"):
        owner.image(f"{repository}:{tag}", tag)
        owner.docker("trust", "sign", f"{repository}:{tag}")
    owner.image(f"{repository}:v2", "v2 again")
    owner.docker("trust", "sign", "--local", f"{repository}:v2")
    found = user("reader").signatures(repository)
    assert set(found) == {"v1", "v2", "v3"}
    assert found["v2"][0] == owner.pushed_digest(f"{repository}:v2")


def test_a_revoked_tag_is_not_pulled(owner: DockerUser, user: NewUser, repository: str) -> None:
    """After `docker trust revoke` a tag is no longer pulled with content trust; the others are."""
    owner.image(f"{repository}:v2", "two")
    owner.docker("trust", "sign", f"{repository}:v2")
    assert "Successfully deleted signature" in owner.docker("trust", "revoke", f"{repository}:v1")
    reader = user("reader")
    assert reader.refused("pull", f"{repository}:v1", trust=True) == "No valid trust data for v1"
    reader.docker("pull", f"{repository}:v2", trust=True)


def test_a_whole_repository_is_revoked(owner: DockerUser, user: NewUser, repository: str) -> None:
    """`docker trust revoke` without a tag takes every signature away."""
    owner.docker("trust", "revoke", "--yes", repository)
    assert user("reader").signatures(repository) == {}


def test_a_signer_signs_with_a_key_of_their_own(owner: DockerUser, user: NewUser, repository: str) -> None:
    """A signer makes a key, the owner adds it, the signer signs: everybody sees the signer's name beside the tag."""
    alice = user("alice")
    alice.docker("trust", "key", "generate", "alice")
    public = alice.folder / "alice.pub"
    said = owner.docker("trust", "signer", "add", "--key", str(public), "alice", repository)
    assert "Successfully added signer: alice" in said
    assert user("reader").signers(repository) == ["alice"]
    alice.image(f"{repository}:v2", "two")
    alice.docker("trust", "sign", f"{repository}:v2")
    found = user("reader").signatures(repository)
    assert found["v2"] == (alice.pushed_digest(f"{repository}:v2"), ["alice"])
    alice.docker("image", "rm", f"{repository}:v2")
    user("reader").docker("pull", f"{repository}:v2", trust=True)


def test_two_signers_sign_one_tag(owner: DockerUser, user: NewUser, repository: str) -> None:
    """Two signers sign the same image: both names stand beside the tag."""
    for name in ("alice", "bob"):
        user(name).docker("trust", "key", "generate", name)
        public = user(name).folder / f"{name}.pub"
        owner.docker("trust", "signer", "add", "--key", str(public), name, repository)
    user("alice").image(f"{repository}:v2", "two")
    for name in ("alice", "bob"):
        user(name).docker("trust", "sign", f"{repository}:v2")
    assert user("reader").signatures(repository)["v2"][1] == ["alice", "bob"]


def test_a_signer_is_added_to_a_new_repository(user: NewUser, repository: str) -> None:
    """`docker trust signer add` makes a repository that is not there yet; the signer publishes the first tag."""
    alice, someone = user("alice"), user("someone")
    alice.docker("trust", "key", "generate", "alice")
    someone.docker("trust", "signer", "add", "--key", str(alice.folder / "alice.pub"), "alice", repository)
    alice.image(f"{repository}:v1", "one")
    alice.docker("trust", "sign", f"{repository}:v1")
    assert user("reader").signatures(repository)["v1"][1] == ["alice"]


def test_a_removed_signer_signs_no_more(owner: DockerUser, user: NewUser, repository: str) -> None:
    """After `docker trust signer remove` the signer is gone from the list, and what they sign is refused."""
    for name in ("alice", "bob"):
        user(name).docker("trust", "key", "generate", name)
        public = user(name).folder / f"{name}.pub"
        owner.docker("trust", "signer", "add", "--key", str(public), name, repository)
    user("bob").image(f"{repository}:v2", "two")
    user("bob").docker("trust", "sign", f"{repository}:v2")
    said = owner.docker("trust", "signer", "remove", "alice", repository)
    if "Successfully removed alice" not in said:
        # docker 28 asks the server what there is, then ends without removing anybody, and with status 0.
        assert "version 28." in owner.docker("--version")
        assert user("reader").signers(repository) == ["alice", "bob"]
        return
    assert user("reader").signers(repository) == ["bob"]
    alice = user("alice")
    alice.image(f"{repository}:v3", "three")
    alice.refused("trust", "sign", f"{repository}:v3")
    assert set(user("reader").signatures(repository)) == {"v1", "v2"}


def test_a_stranger_cannot_sign(owner: DockerUser, user: NewUser, repository: str) -> None:
    """Somebody without a key of the repository signs nothing there."""
    stranger = user("stranger")
    stranger.image(f"{repository}:v9", "nine")
    stranger.refused("push", f"{repository}:v9", trust=True)
    assert set(user("reader").signatures(repository)) == {"v1"}
