"""What is said of a repository that is verified: nothing if all is well, and each damage is found."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notary_server.inspection.examine import Stored
from notary_server.tuf.model import FileSummary
from notary_server.tuf.names import RoleName, Sha256Hex
from notary_server.upkeep.check import check
from notary_server.upkeep.evidence import Evidence

from ..tuf.world import DAY, GUN, World


@pytest.fixture
def world() -> World:
    """A repository with a delegation, published twice."""
    return _world()


def _world() -> World:
    world = World()
    world.first()
    world.publish(
        {
            "targets": world.owner.targets(2, delegates=["targets/a"]),
            "targets/a": world.owner.delegation("targets/a"),
        }
    )
    return world


_WORLD = _world()
"""Never changed."""


def evidence(world: World, changed: Mapping[str, bytes | None] | None = None) -> Evidence:
    """What a database holds that has the latest files of `world`; with other bytes for some, or without them."""
    listed = {role: world.latest(role) for role in world.files}
    digests = {role: Sha256Hex(hashlib.sha256(data).hexdigest()) for role, data in listed.items()}
    changed = changed or {}
    files = {RoleName(role): data for role in listed if (data := changed.get(role, listed[role])) is not None}
    stored = Stored(
        gun=GUN,
        latest={
            role: FileSummary(max(world.files[role]), digests[role], len(data))
            for role, data in files.items()
        },
        files=files,
        current={role: digests[role] for role in files},
        roots=list(world.files["root"]),
    )
    roots = [data for _, data in sorted(world.files["root"].items())]
    return Evidence(stored, roots, files)


def kinds(
    world: World, found: Evidence, *, asked: bool = True, late: int = 0, keyless: bool = False
) -> set[tuple[str, str]]:
    """Weights and kinds of what is said."""
    held = {} if keyless else {keyid: held for keyid, (_, held) in world.signer.items()}
    findings = check(found, held if asked else None, world.now_ns + late * DAY)  # type: ignore[arg-type]
    return {(finding.weight, finding.kind) for finding in findings}


def test_nothing_is_said_of_a_repository_in_good_order(world: World) -> None:
    """Whether the signer was asked or not."""
    assert kinds(world, evidence(world)) == set()
    assert kinds(world, evidence(world), asked=False) == set()


@pytest.mark.parametrize("role", ["root", "targets", "snapshot", "timestamp", "targets/a"])
def test_a_missing_file_is_found(world: World, role: str) -> None:
    """A row that is gone; of a delegation, since its parent leads to it."""
    found = kinds(world, evidence(world, {role: None}))
    assert ("broken", "torn" if role == "targets/a" else "missing") in found


def test_a_missing_delegation_that_nobody_delegates_to(world: World) -> None:
    """The snapshot goes on listing it; no client asks for it."""
    world.publish({"targets": world.owner.targets(3)})
    assert kinds(world, evidence(world, {"targets/a": None})) == {("note", "torn-unused")}


@given(
    role=st.sampled_from(["root", "targets", "snapshot", "timestamp", "targets/a"]), place=st.floats(0, 0.999)
)
def test_any_changed_byte_is_found(role: str, place: float) -> None:
    """Even if the row's digest was changed with it."""
    world = _WORLD
    data = bytearray(world.latest(role))
    data[int(len(data) * place)] ^= 1
    assert any(weight != "note" for weight, _ in kinds(world, evidence(world, {role: bytes(data)})))


def test_signatures_and_the_succession_of_roots(world: World) -> None:
    """All hashes are right, and a signature is not; a root that the one before did not sign."""
    stranger = _world()
    mixed = evidence(world)
    roots = [stranger.latest("root"), *mixed.roots]
    assert ("broken", "chain") in kinds(world, replace(mixed, roots=roots[:1]))
    snapshot = json.loads(world.latest("snapshot"))
    snapshot["signatures"][0]["sig"] = json.loads(stranger.latest("snapshot"))["signatures"][0]["sig"]
    assert ("broken", "chain") in kinds(world, evidence(world, {"snapshot": json.dumps(snapshot).encode()}))


def test_a_wrong_length_is_found(world: World) -> None:
    """The SHA-256 is right, and the length is not."""
    timestamp = json.loads(world.latest("timestamp"))
    timestamp["signed"]["meta"]["snapshot"]["length"] += 1
    found = kinds(world, evidence(world, {"timestamp": json.dumps(timestamp).encode()}))
    assert ("broken", "listed-otherwise") in found


def test_an_expired_timestamp(world: World) -> None:
    """The server renews it with the signer's key; without that it is broken, and so it is if nobody can tell."""
    good = evidence(world)
    assert kinds(world, good, late=15) == {("note", "expired")}
    assert kinds(world, good, late=15, asked=False) == {("broken", "expired")}
    assert {("broken", "expired"), ("broken", "key")} <= kinds(world, good, late=15, keyless=True)
