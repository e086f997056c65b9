"""Old versions that an archive brings: of either dialect, each must be one that was published."""

from __future__ import annotations

import json

import pytest

from notary_server.archive.history import checker
from notary_server.archive.merge import Refused
from tests.publisher import Publisher
from tests.publisher.keys import ecdsa_key

from ..tuf.world import GUN, World
from .archives import entry


@pytest.fixture(scope="module")
def world() -> World:
    """Published three times, with a delegation and a new root in between."""
    made = World()
    made.first()
    made.publish(
        {
            "targets": made.owner.targets(2, delegates=["targets/a"]),
            "targets/a": made.owner.delegation("targets/a"),
        }
    )
    made.publish({"root": made.owner.root(2)})
    made.publish({"targets": made.owner.targets(3)})
    return made


def _roots(world: World) -> list[bytes]:
    return [data for _, data in sorted(world.files["root"].items())]


def test_everything_that_was_published(world: World) -> None:
    """Each version of each role is what it says."""
    check = checker(GUN, _roots(world))
    for role, versions in world.files.items():
        for version, data in versions.items():
            check(entry(role, version, data), data)


@pytest.mark.parametrize("role", ["root", "targets", "snapshot", "timestamp", "targets/a"])
def test_another_version_than_listed(world: World, role: str) -> None:
    """The number in the file counts."""
    data = world.latest(role)
    with pytest.raises(Refused, match="is listed as 9"):
        checker(GUN, _roots(world))(entry(role, 9, data), data)


@pytest.mark.parametrize("role", ["root", "targets", "snapshot", "timestamp"])
def test_what_no_root_knows_the_keys_of(world: World, role: str) -> None:
    """A changed file, and one of somebody else."""
    document = json.loads(world.latest(role))
    document["signed"]["expires"] = "2001-01-01T00:00:00Z"
    data = json.dumps(document).encode()
    with pytest.raises(Refused, match=f"of {role} is not valid"):
        checker(GUN, _roots(world))(entry(role, document["signed"]["version"], data), data)
    foreign = Publisher(GUN, targets=ecdsa_key()).targets(1)
    with pytest.raises(Refused, match="valid signatures"):
        checker(GUN, _roots(world))(entry("targets", 1, foreign), foreign)


@pytest.mark.parametrize("data", [b"", b"{}", b"\xff", b'{"signed": {}, "signatures": []}'])
@pytest.mark.parametrize("role", ["root", "targets", "snapshot", "timestamp", "targets/a"])
def test_what_cannot_be_read(world: World, role: str, data: bytes) -> None:
    """It is refused in words, in either dialect."""
    with pytest.raises(Refused, match=f"version 1 of {role} is not valid"):
        checker(GUN, _roots(world))(entry(role, 1, data), data)


def test_a_role_of_the_other_dialect(world: World) -> None:
    """TUF 1.0 has names that Notary's clients cannot ask for."""
    data = world.latest("targets/a")
    with pytest.raises(Refused, match="no such role"):
        checker(GUN, _roots(world))(entry("bin-7f", 1, data), data)
