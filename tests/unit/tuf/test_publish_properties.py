"""Whatever is sent: a refusal of the two known kinds, or a repository that a strict client can read.

Uploads are bent in three ways: bytes are changed at random, values anywhere in a file are replaced and the file
signed again by the right keys (so that the change gets past the signatures), and good uploads come in random order.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from functools import partial
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from notary_server.errors import InvalidUpdate, MalformedJson, VersionConflict
from notary_server.tuf.names import RoleName
from notary_server.tuf.parse import check_part
from tests.publisher.files import file_of
from tests.publisher.keys import Key, ecdsa_key

from .world import Walker, World

Files = dict[str, bytes]

STRANGE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 4),
    st.sampled_from([2**31 - 1, 2**31, 2**53, 2**63, -(2**63)]),
    st.sampled_from(
        ["", "root", "targets", "targets/a", "targets/a/x", "snapshot", "AAAA", "9999-01-01T00:00:00Z"]
    ),
    st.text(max_size=5),
    st.sampled_from([[], {}, [None], [[]], [{}], {"": {}}, {"targets/a": {}}, {"root": None}]),
)


def base(client_snapshot: bool) -> World:
    """A repository with a nested delegation."""
    world = World(client_snapshot=client_snapshot)
    owner = world.owner
    files = {
        "root": owner.root(),
        "targets": owner.targets(delegates=["targets/a"]),
        "targets/a": owner.delegation("targets/a", delegates=["targets/a/x"]),
        "targets/a/x": owner.delegation("targets/a/x"),
    }
    world.publish(files | ({"snapshot": owner.snapshot(files)} if client_snapshot else {}))
    return world


BASES = {client_snapshot: base(client_snapshot) for client_snapshot in (False, True)}


def good_upload(world: World, roles: set[str]) -> Files:
    """The next version of these files, and of the snapshot if the client signs it."""
    owner = world.owner
    makers: dict[str, Callable[[], bytes]] = {
        "root": lambda: owner.root(2),
        "targets": lambda: owner.targets(2, delegates=["targets/a"]),
        "targets/a": lambda: owner.delegation("targets/a", 2, delegates=["targets/a/x"]),
        "targets/a/x": lambda: owner.delegation("targets/a/x", 2),
    }
    return {role: makers[role]() for role in makers if role in roles}


def keys_for(world: World, role: str) -> list[Key]:
    """Who signs an uploaded role."""
    owner = world.owner
    return {"root": owner.root_keys, "snapshot": owner.snapshot_keys}.get(role) or owner.keys_of(role)


def with_snapshot(world: World, files: Files) -> Files:
    """`files` with the client's snapshot over them, if the client signs it."""
    if not world.owner.snapshot_keys:
        return files
    stored = {role: world.latest(role) for role in world.files if role not in {"snapshot", "timestamp"}}
    return files | {"snapshot": world.owner.snapshot(stored | files, 2)}


def play(world: World, files: Files) -> bool:
    """Publish as the server would; whether it was accepted. What was accepted must be readable."""
    trial = copy.copy(world)
    trial.files = {role: dict(versions) for role, versions in world.files.items()}
    try:
        for role, data in files.items():
            check_part(RoleName(role), data)
        trial.publish(files)
    except (MalformedJson, InvalidUpdate, VersionConflict):
        assert trial.files == world.files
        return False
    read = Walker(trial.files).walk()
    assert files.keys() <= read.keys()
    for role, data in files.items():
        assert trial.latest(role) == data
        assert read[role] == json.loads(data)["signed"]
    return True


def bend(data: st.DataObject, value: Any) -> Any:
    """`value` with one of its parts replaced, removed, or one added."""
    if isinstance(value, dict | list) and value and data.draw(st.integers(0, 5)):
        places = sorted(value) if isinstance(value, dict) else list(range(len(value)))
        place = data.draw(st.sampled_from(places))
        bent = copy.copy(value)
        if not data.draw(st.integers(0, 4)):
            del bent[place]
        else:
            bent[place] = bend(data, bent[place])
        return bent
    if isinstance(value, dict):
        return value | {data.draw(st.text(max_size=8)): data.draw(STRANGE)}
    return data.draw(STRANGE)


ROLES = st.sets(st.sampled_from(["root", "targets", "targets/a", "targets/a/x"]))
SLOW = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@SLOW
@given(st.booleans(), ROLES)
def test_good_uploads_of_any_roles_are_accepted(client_snapshot: bool, roles: set[str]) -> None:
    """Every combination of next versions is accepted and readable."""
    world = BASES[client_snapshot]
    assert play(world, with_snapshot(world, good_upload(world, roles)))


@SLOW
@given(st.data(), st.booleans(), ROLES)
def test_bent_and_signed_again(data: st.DataObject, client_snapshot: bool, roles: set[str]) -> None:
    """A strange value anywhere in a well-signed file is refused or does no harm."""
    world = BASES[client_snapshot]
    files = good_upload(world, roles)
    if not client_snapshot or data.draw(st.booleans()):
        role = data.draw(st.sampled_from(sorted(files) or ["targets"]))
        files.setdefault(role, world.owner.targets(2, delegates=["targets/a"]))
        signed = bend(data, json.loads(files[role])["signed"])
        files[role] = file_of_any(signed, keys_for(world, role))
        files = with_snapshot(world, files)
    else:
        files = with_snapshot(world, files)
        signed = bend(data, json.loads(files["snapshot"])["signed"])
        files["snapshot"] = file_of_any(signed, world.owner.snapshot_keys)
    play(world, files)


def file_of_any(signed: Any, keys: list[Key]) -> bytes:
    """A file over any value; what canonical JSON cannot carry is signed over something else."""
    try:
        return file_of(signed, keys)
    except (UnicodeEncodeError, ValueError):
        document = {"signed": signed, "signatures": [key.signature(b"") for key in keys]}
        return json.dumps(document).encode()


@SLOW
@given(st.data(), st.booleans(), ROLES)
def test_bent_bytes(data: st.DataObject, client_snapshot: bool, roles: set[str]) -> None:
    """Bytes that are cut, doubled, replaced or swapped between roles never cause anything but a refusal."""
    world = BASES[client_snapshot]
    files = with_snapshot(world, good_upload(world, roles | {"targets"}))
    role = data.draw(st.sampled_from(sorted(files)))
    sent = files[role]
    begin, end = sorted(data.draw(st.integers(0, len(sent))) for _ in range(2))
    match data.draw(st.sampled_from(["cut", "double", "replace", "swap"])):
        case "cut":
            files[role] = sent[:begin] + sent[end:]
        case "double":
            files[role] = sent[:end] + sent[begin:end] + sent[end:]
        case "replace":
            files[role] = sent[:begin] + data.draw(st.binary(min_size=1, max_size=3)) + sent[begin + 1 :]
        case _:
            files[role] = files[data.draw(st.sampled_from(sorted(files)))]
    play(world, files)


@SLOW
@given(st.data(), st.booleans())
def test_any_sequence_of_publishes_stays_readable(data: st.DataObject, client_snapshot: bool) -> None:
    """Publishes, key changes and stale uploads in any order: what is acknowledged can be read afterwards."""
    world = copy.deepcopy(BASES[client_snapshot])
    owner = world.owner
    for _ in range(data.draw(st.integers(1, 5))):
        versions = {role: max(stored) + data.draw(st.integers(0, 2)) for role, stored in world.files.items()}
        delegates = data.draw(st.sampled_from([["targets/a"], [], ["targets/a", "targets/b"]]))
        makers: dict[str, Callable[[], bytes]] = {
            "root": partial(owner.root, versions["root"]),
            "targets": partial(owner.targets, versions["targets"], delegates=delegates),
            "targets/a": partial(
                owner.delegation, "targets/a", versions["targets/a"], delegates=["targets/a/x"]
            ),
            "targets/a/x": partial(owner.delegation, "targets/a/x", versions["targets/a/x"]),
            "targets/b": partial(owner.delegation, "targets/b", versions.get("targets/b", 1)),
        }
        match data.draw(st.sampled_from(["keep", "keep", "targets key", "timestamp key", "delegation key"])):
            case "targets key":
                owner.targets_keys = [ecdsa_key()]
            case "timestamp key":
                owner.server_keys["timestamp"] = world.make_key("timestamp").object
            case "delegation key":
                owner.delegation_keys["targets/a"] = [ecdsa_key()]
        files = {role: makers[role]() for role in data.draw(st.sets(st.sampled_from(sorted(makers))))}
        if client_snapshot and data.draw(st.integers(0, 5)):
            stored = {
                role: world.latest(role) for role in world.files if role not in {"snapshot", "timestamp"}
            }
            files["snapshot"] = owner.snapshot(stored | files, versions["snapshot"])
        before = copy.deepcopy(world.files)
        try:
            world.publish(files)
        except (InvalidUpdate, VersionConflict):
            assert world.files == before
        else:
            assert files.keys() <= Walker(world.files).walk().keys()
