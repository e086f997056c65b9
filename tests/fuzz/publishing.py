"""Whole publishes against the planner: what it accepts, the strict client must be able to use."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager

from hypothesis import strategies as st

from notary_server.errors import InvalidUpdate, MalformedJson, VersionConflict
from notary_server.tuf import keys as key_types
from notary_server.tuf.names import RoleName
from notary_server.tuf.parse import check_part
from tests.publisher.client import Client, Reply
from tests.publisher.verifier import Verifier
from tests.unit.tuf.test_publish_properties import (
    BASES,
    bend,
    file_of_any,
    good_upload,
    keys_for,
    with_snapshot,
)
from tests.unit.tuf.world import GUN, World

from .bending import bent

ROLES = ("root", "targets", "targets/a", "targets/a/x")


class Shelf(Client):
    """Serves a world's files as the server serves its own, without a server."""

    def __init__(self, world: World) -> None:
        super().__init__("http://nowhere:1")
        self._files = world.files

    def role(self, gun: str, name: str) -> Reply:
        """A file by role, or by role and SHA-256."""
        role, _, digest = name.removesuffix(".json").partition(".")
        versions = self._files.get(role, {})
        if not digest:
            digest = self._current(role)
        for data in versions.values():
            if hashlib.sha256(data).hexdigest() == digest:
                return Reply(200, {}, data)
        return Reply(404)

    def _current(self, role: str) -> str:
        timestamp = self._files["timestamp"][max(self._files["timestamp"])]
        if role == "timestamp":
            return hashlib.sha256(timestamp).hexdigest()
        meta = json.loads(timestamp)["signed"]["meta"]
        if role != "snapshot":
            snapshot = self.role(GUN, "snapshot").body
            meta = json.loads(snapshot)["signed"]["meta"]
        listed = meta.get(role)
        return base64.b64decode(listed["hashes"]["sha256"]).hex() if listed else "none"


def bent_bytes(data: st.DataObject) -> bool:
    """Some bytes of one file are changed after it was signed."""
    world, files = _good(data)
    role = data.draw(st.sampled_from(sorted(files)))
    files[role] = bent(data, files[role])
    return _play(world, files)


def bent_and_signed(data: st.DataObject) -> bool:
    """A value anywhere in one file is strange, and the right keys have signed it."""
    world, files = _good(data)
    role = data.draw(st.sampled_from(sorted(files)))
    signed = bend(data, json.loads(files[role])["signed"])
    files[role] = file_of_any(signed, keys_for(world, role))
    if role != "snapshot" and data.draw(st.booleans()):
        files = with_snapshot(world, files)
    return _play(world, files)


def _good(data: st.DataObject) -> tuple[World, dict[str, bytes]]:
    world = BASES[data.draw(st.booleans())]
    roles = data.draw(st.sets(st.sampled_from(ROLES), min_size=1))
    return world, with_snapshot(world, good_upload(world, roles))


def _play(world: World, files: dict[str, bytes]) -> bool:
    trial = copy.copy(world)
    trial.files = {role: dict(versions) for role, versions in world.files.items()}
    signatures = sum(data.count(b'"sig"') for data in files.values()) + 100
    try:
        with _at_most(signatures):
            for role, data in files.items():
                check_part(RoleName(role), data)
            trial.publish(files)
    except (MalformedJson, InvalidUpdate, VersionConflict):
        assert trial.files == world.files, "refused, but stored"
        return False
    # Delegations that their parent's keys do not verify are left out by clients, and by nobody else.
    problems = [one for one in Verifier(Shelf(trial), GUN).problems() if not one.startswith("targets/")]
    assert not problems, problems
    return True


@contextmanager
def _at_most(verifications: int) -> Iterator[None]:
    """Count the signatures that are verified: each costs as much as reading kilobytes."""
    real, count = key_types.verifies, 0

    def counted(*arguments: object) -> bool:
        nonlocal count
        count += 1
        assert count <= verifications, "more signatures were verified than were sent"
        return real(*arguments)  # type: ignore[arg-type]

    key_types.verifies = counted  # type: ignore[assignment]
    try:
        yield
    finally:
        key_types.verifies = real
