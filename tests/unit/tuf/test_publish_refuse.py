"""Uploads that are refused: with which error, in which order, and in words that clients show."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import combinations
from typing import Any

import pytest

from notary_server.errors import InvalidUpdate, NotaryError, VersionConflict
from notary_server.tuf import publish
from notary_server.tuf.document import Document, by_role
from notary_server.tuf.names import MAX_VERSION, SNAPSHOT, Gun, RoleName
from tests.publisher.certificates import root_key, sha1_certificate
from tests.publisher.files import expires_in
from tests.publisher.keys import ecdsa_key, key_id, rsa_private

from .world import DAY, GUN, World

Files = dict[str, bytes]


def expired(signed: dict[str, Any]) -> None:
    """An edit that lets a file have expired."""
    signed["expires"] = expires_in(-1)


def reply_size(error: NotaryError) -> int:
    """Bytes of the reply's body if every character outside ASCII is escaped."""
    entry = {"code": error.code, "message": error.message, "detail": error.detail}
    return len(json.dumps({"errors": [entry]}))


def refused(world: World, files: Mapping[str, bytes]) -> str:
    """The name (`VERSION` for a conflict) under which an upload is refused, in words that clients show."""
    with pytest.raises(NotaryError) as caught:
        world.plan(files)
    error = caught.value
    assert isinstance(error, InvalidUpdate | VersionConflict)
    assert reply_size(error) <= 1024
    assert not re.search("[0-9a-f]{16}", error.message)
    return error.name if isinstance(error, InvalidUpdate) else "VERSION"


@pytest.fixture
def world() -> World:
    """Root 1, targets 2 with the delegations targets/a and targets/b, targets/a 2; the server signs the rest."""
    return standing(client_snapshot=False)


@pytest.fixture
def own() -> World:
    """The same, with the client's snapshot in version 2."""
    return standing(client_snapshot=True)


def standing(*, client_snapshot: bool) -> World:
    """A repository after its first publish."""
    made = World(client_snapshot=client_snapshot)
    owner = made.owner
    files: Files = {
        "root": owner.root(),
        "targets": owner.targets(2, delegates=["targets/a", "targets/b"]),
        "targets/a": owner.delegation("targets/a", 2, delegates=["targets/a/x"]),
    }
    made.publish(files | ({"snapshot": owner.snapshot(files, 2)} if client_snapshot else {}))
    return made


def targets(world: World, version: int = 3, **knobs: Any) -> bytes:
    """The next targets file with the same delegations."""
    return world.owner.targets(version, delegates=["targets/a", "targets/b"], **knobs)


def snapshot(world: World, files: Files, version: int = 3, **knobs: Any) -> Files:
    """`files` with a client-signed snapshot over them and all that is stored."""
    stored = {role: world.latest(role) for role in world.files if role not in {"snapshot", "timestamp"}}
    return files | {"snapshot": world.owner.snapshot(stored | files, version, **knobs)}


def without(name: str) -> Callable[[dict[str, Any]], None]:
    """An edit that takes an entry out of `meta`."""

    def edit(signed: dict[str, Any]) -> None:
        del signed["meta"][name]

    return edit


class TestRoot:
    """Steps 3.1 and 3.2."""

    def test_no_root_at_all(self) -> None:
        """A repository begins with a root."""
        world = World()
        assert refused(world, {"targets": world.owner.targets()}) == "ErrValidation"
        assert refused(world, {}) == "ErrValidation"

    @pytest.mark.parametrize("version", [3, MAX_VERSION, MAX_VERSION + 1])
    def test_a_first_root_beyond_two(self, version: int) -> None:
        """The first root is version 1 or 2."""
        world = World()
        files = world.owner.first() | {"root": world.owner.root(version)}
        assert refused(world, files) == "ErrBadRoot"

    @pytest.mark.parametrize("version", [3, 17])
    def test_a_root_that_skips_versions(self, world: World, version: int) -> None:
        """A new root is the current version or the one after it."""
        assert refused(world, {"root": world.owner.root(version)}) == "ErrBadRoot"

    def test_a_root_behind_the_stored_one(self, world: World) -> None:
        """A root older than the stored one is a bad root, not a version conflict."""
        world.publish({"root": world.owner.root(2)})
        assert refused(world, {"root": world.owner.root(1)}) == "ErrBadRoot"

    def test_malformed_root(self, world: World) -> None:
        """Structure comes first."""
        assert refused(world, {"root": b'{"signed":{}}'}) == "ErrBadRoot"

    def test_expired_root(self, world: World) -> None:
        """An uploaded root must not have expired."""
        assert refused(world, {"root": world.owner.root(2, edit=expired)}) == "ErrBadRoot"

    def test_successor_without_the_old_keys(self, world: World) -> None:
        """The current root's keys must sign the next one."""
        world.owner.root_keys = [root_key(GUN)]
        assert refused(world, {"root": world.owner.root(2)}) == "ErrBadRoot"

    def test_first_root_for_another_repository(self) -> None:
        """The certificate names the repository."""
        world = World()
        world.owner.root_keys = [root_key("docker.example/other")]
        assert refused(world, world.owner.first()) == "ErrBadRoot"

    def test_the_stored_roots_certificate_has_ended(self) -> None:
        """Then only a successor is taken, and the text says so."""
        world = World()
        world.owner.root_keys = [root_key(GUN, not_after=dt.timedelta(days=1))]
        world.first()
        world.now_ns += 2 * DAY
        assert refused(world, {}) == "ErrBadRoot"
        assert refused(world, {"targets": world.owner.targets(2)}) == "ErrBadRoot"
        assert refused(world, {"root": world.owner.root(2)}) == "ErrBadRoot"
        with pytest.raises(InvalidUpdate, match="new certificate"):
            world.plan({})

    def test_a_successor_after_the_end_still_needs_the_old_key(self) -> None:
        """A fresh certificate alone does not take over a repository whose certificate has ended."""
        world = World()
        world.owner.root_keys = [root_key(GUN, not_after=dt.timedelta(days=1))]
        world.first()
        world.now_ns += 2 * DAY
        world.owner.root_keys = [root_key(GUN)]
        assert refused(world, {"root": world.owner.root(2)}) == "ErrBadRoot"

    def test_an_unusable_stored_root_is_never_replaced_silently(self, world: World) -> None:
        """Any root would do otherwise: a repository could be taken over."""
        world.store("root", b'{"Signed":1}', 2)
        for version in (1, 2, 3):
            assert refused(world, {"root": world.owner.root(version)}) == "ErrBadRoot"

    def test_a_long_repository_name_is_cut(self) -> None:
        """Texts that quote what was sent stay short enough for clients to show."""
        world = World()
        files = world.owner.first()
        uploads = [Document(RoleName(role), data) for role, data in files.items()]
        state = replace(world.state(), gun=Gun("\U0001f600" * 255))
        with pytest.raises(InvalidUpdate) as caught:
            publish.plan(state, by_role(state.files), uploads, {}, world.now_ns, publish.Lifetimes())
        assert reply_size(caught.value) <= 1024


class TestTargets:
    """Step 3.3; everything is ErrBadTargets."""

    @pytest.mark.parametrize(
        "knobs",
        [
            {"signers": [ecdsa_key()]},
            {"signatures": lambda made: []},
            {"edit": expired},
            {"edit": lambda signed: signed.update(_type="Snapshot")},
            {"edit": lambda signed: signed.update(version=0)},
            {"edit": lambda signed: signed.update(version=MAX_VERSION + 1)},
            {"edit": lambda signed: signed["targets"]["v1"].update(length=-1)},
            {"edit": lambda signed: signed["delegations"]["roles"].append(None)},
            {"spell": lambda data: data + b"garbage"},
        ],
    )
    def test_bad_targets(self, world: World, knobs: dict[str, Any]) -> None:
        """Signatures, structure, version and expiry of targets and of a delegation."""
        assert refused(world, {"targets": targets(world, **knobs)}) == "ErrBadTargets"
        assert (
            refused(world, {"targets/a": world.owner.delegation("targets/a", 3, **knobs)}) == "ErrBadTargets"
        )

    def test_a_delegation_before_its_parent(self, world: World) -> None:
        """targets/b is delegated to but not published, so nothing below it can be."""
        assert refused(world, {"targets/b/x": world.owner.delegation("targets/b/x")}) == "ErrBadTargets"

    def test_a_delegation_before_targets(self) -> None:
        """Nothing is delegated in a repository without targets."""
        world = World()
        files = {"root": world.owner.root(), "targets/a": world.owner.delegation("targets/a")}
        assert refused(world, files) == "ErrBadTargets"

    def test_a_delegation_that_nobody_delegates_to(self, world: World) -> None:
        """The parent must list it."""
        assert refused(world, {"targets/c": world.owner.delegation("targets/c")}) == "ErrBadTargets"

    def test_a_delegation_removed_by_the_same_upload(self, world: World) -> None:
        """The uploaded parent counts, not the stored one."""
        files = {"targets": world.owner.targets(3), "targets/a": world.owner.delegation("targets/a", 3)}
        assert refused(world, files) == "ErrBadTargets"

    def test_a_stored_ancestor_that_cannot_be_trusted(self, world: World) -> None:
        """A delegation whose parent's signature does not hold any more waits for the parent."""
        owner = world.owner
        owner.delegation_keys["targets/a"] = [ecdsa_key()]
        world.publish({"targets": targets(world)})
        assert refused(world, {"targets/a/x": owner.delegation("targets/a/x")}) == "ErrBadTargets"

    def test_a_delegation_key_too_weak(self, world: World) -> None:
        """A certificate signed with SHA-1 delegates nothing, though it is not named after the repository."""
        private = rsa_private(2048, 0)
        weak = root_key("anybody", private, certificate=sha1_certificate(private, "anybody"))
        world.owner.delegation_keys["targets/a"] = [weak]
        files = {"targets": targets(world), "targets/a": world.owner.delegation("targets/a", 3)}
        assert refused(world, files) == "ErrBadTargets"


class TestSnapshot:
    """Step 3.4."""

    @pytest.mark.parametrize(
        "knobs",
        [
            {"signers": [ecdsa_key()]},
            {"edit": expired},
            {"edit": without("root")},
            {"edit": without("targets")},
            {"edit": without("targets/a")},
            {"edit": lambda signed: signed["meta"]["targets/a"]["hashes"].clear()},
            {"edit": lambda signed: signed["meta"]["targets/a"]["hashes"].update(sha512="AAAA")},
            {"edit": lambda signed: signed.update(version=MAX_VERSION + 1)},
        ],
    )
    def test_bad_snapshot(self, own: World, knobs: dict[str, Any]) -> None:
        """Signatures, structure, expiry, and the entries of what was sent."""
        files = {"targets/a": own.owner.delegation("targets/a", 3)}
        assert refused(own, snapshot(own, files, **knobs)) == "ErrBadSnapshot"

    def test_the_server_signs_it_and_the_client_sent_one(self, world: World) -> None:
        """A snapshot by a key that root does not list is refused even where the server could make one."""
        files = snapshot(world, {"targets": targets(world)}, signers=[ecdsa_key()])
        assert refused(world, files) == "ErrBadSnapshot"

    def test_the_client_signs_it_and_sent_none(self, own: World) -> None:
        """The client must send what only it can sign; the reply names it."""
        for files in ({}, {"targets": targets(own)}, {"root": own.owner.root(2)}):
            with pytest.raises(InvalidUpdate) as caught:
                own.plan(files)
            assert caught.value.name == "ErrBadHierarchy"
            assert caught.value.detail["Error"]["Missing"] == "snapshot"  # type: ignore[call-overload, index]

    def test_too_few_held_keys_for_the_threshold(self, world: World) -> None:
        """One held key does not meet a threshold of two."""

        def edit(signed: dict[str, Any]) -> None:
            signed["roles"]["snapshot"]["threshold"] = 2

        assert refused(world, {"root": world.owner.root(2, edit=edit)}) == "ErrBadHierarchy"

    def test_nothing_to_list(self) -> None:
        """Without targets there is nothing that a snapshot could be made of."""
        world = World()
        assert refused(world, {"root": world.owner.root()}) == "ErrValidation"

    def test_no_version_left(self, world: World) -> None:
        """Versions end at 2^31 - 1; the text says so instead of a failure inside the database."""
        world.store("snapshot", world.latest("snapshot"), MAX_VERSION)
        assert refused(world, {}) == "ErrValidation"


class TestTimestamp:
    """Step 3.5."""

    def test_a_key_that_the_server_does_not_hold(self, world: World) -> None:
        """Root must list the server's timestamp key."""
        world.owner.server_keys["timestamp"] = ecdsa_key().object
        assert refused(world, {"root": world.owner.root(2)}) == "ErrBadRoot"

    def test_the_server_has_lost_the_key(self, world: World) -> None:
        """The stored root lists a key that the signer does not hold any more."""
        del world.signer[key_id(world.owner.server_keys["timestamp"])]
        assert refused(world, {"targets": targets(world)}) == "ErrBadRoot"

    def test_no_version_left(self, own: World) -> None:
        """Versions end at 2^31 - 1."""
        own.store("timestamp", own.latest("timestamp"), MAX_VERSION)
        assert refused(own, snapshot(own, {"targets": targets(own)})) == "ErrValidation"

    @pytest.mark.parametrize("role", ["timestamp", "snapshot"])
    def test_a_key_made_for_another_repository(self, world: World, role: str) -> None:
        """What it signed here would be valid there."""
        foreign = world.make_key(role, gun="docker.example/other")
        world.owner.server_keys[role] = foreign.object
        assert refused(world, {"root": world.owner.root(2)}) == "ErrBadRoot"

    def test_a_key_of_another_repository_beside_a_good_one(self, world: World) -> None:
        """One good key does not excuse the other."""
        foreign = world.make_key("timestamp", gun="docker.example/other")

        def edit(signed: dict[str, Any]) -> None:
            signed["keys"][foreign.id] = foreign.object
            signed["roles"]["timestamp"]["keyids"].append(foreign.id)

        assert refused(world, {"root": world.owner.root(2, edit=edit)}) == "ErrBadRoot"

    def test_a_key_made_for_the_other_role(self, world: World) -> None:
        """The timestamp key does not sign snapshots."""
        world.owner.server_keys["snapshot"] = world.owner.server_keys["timestamp"]
        assert refused(world, {"root": world.owner.root(2)}) == "ErrBadRoot"

    def test_a_foreign_snapshot_key_beside_the_clients(self, own: World) -> None:
        """Also a root with a client-signed snapshot may not list another repository's key."""
        foreign = own.make_key("snapshot", gun="docker.example/other")

        def edit(signed: dict[str, Any]) -> None:
            signed["keys"][foreign.id] = foreign.object
            signed["roles"]["snapshot"]["keyids"].append(foreign.id)

        assert refused(own, snapshot(own, {"root": own.owner.root(2, edit=edit)})) == "ErrBadRoot"

    @pytest.mark.parametrize("role", ["timestamp", "snapshot"])
    def test_a_server_key_filed_under_a_wrong_id(self, world: World, role: str) -> None:
        """Nobody could verify what it signs."""

        def edit(signed: dict[str, Any]) -> None:
            right = signed["roles"][role]["keyids"][0]
            wrong = "0" * 64
            signed["keys"][wrong] = signed["keys"].pop(right)
            signed["roles"][role]["keyids"] = [wrong]

        assert refused(world, {"root": world.owner.root(2, edit=edit)}) == "ErrBadRoot"


class TestVersions:
    """Step 3.6."""

    @pytest.mark.parametrize(
        ("version", "words"), [(2, "published by someone else"), (1, "behind version 2")]
    )
    def test_targets_that_are_not_newer(self, world: World, version: int, words: str) -> None:
        """The loser of a race reads what happened and what to do."""
        files = {"targets": targets(world, version, targets={})}
        assert refused(world, files) == "VERSION"
        with pytest.raises(VersionConflict, match=f"{words}.*again"):
            world.plan(files)

    def test_the_very_same_file(self, world: World) -> None:
        """Whoever sends a file twice reads that nothing was changed."""
        with pytest.raises(VersionConflict, match="nothing was changed"):
            world.plan({"targets": world.latest("targets")})

    def test_the_same_root_version(self, world: World) -> None:
        """A root of the current version with valid signatures is a conflict, not a bad root."""
        assert refused(world, {"root": world.owner.root(1)}) == "VERSION"
        with pytest.raises(VersionConflict, match="update and try again"):
            world.plan({"root": world.owner.root(1)})

    def test_delegations_and_snapshots(self, own: World) -> None:
        """Every uploaded file must be newer."""
        files = {"targets/a": own.owner.delegation("targets/a", 2)}
        assert refused(own, snapshot(own, files)) == "VERSION"
        assert refused(own, snapshot(own, {"targets": targets(own)}, version=2)) == "VERSION"

    def test_a_delegation_that_comes_back(self, world: World) -> None:
        """Removed and added again, it goes on above its old versions."""
        world.publish({"targets": world.owner.targets(3)})
        files = {"targets": targets(world, 4), "targets/a": world.owner.delegation("targets/a", 1)}
        assert refused(world, files) == "VERSION"


class TestWhole:
    """Step 3.7."""

    def test_a_snapshot_over_files_that_nobody_has(self, own: World) -> None:
        """Every listed file is there."""
        own.store("targets/gone", b"{}", 1)
        files = snapshot(own, {"targets": targets(own)})
        del own.files["targets/gone"]
        assert refused(own, files) == "ErrBadSnapshot"

    def test_a_snapshot_over_a_name_that_is_no_role(self, own: World) -> None:
        """Not even a stored file may be listed under another kind of name."""

        def edit(signed: dict[str, Any]) -> None:
            signed["meta"]["timestamp"] = signed["meta"]["root"]

        assert refused(own, snapshot(own, {"targets": targets(own)}, edit=edit)) == "ErrBadSnapshot"

    def test_a_first_publish_without_targets(self) -> None:
        """A snapshot lists targets that were never sent."""
        world = World(client_snapshot=True)
        root = world.owner.root()
        files = {"root": root, "snapshot": world.owner.snapshot({"root": root, "targets": b"{}"})}
        assert refused(world, files) == "ErrBadSnapshot"

    def test_a_snapshot_over_an_older_file(self, own: World) -> None:
        """That would roll readers back."""
        older = own.latest("targets/a")
        own.publish(snapshot(own, {"targets/a": own.owner.delegation("targets/a", 3)}))
        files = snapshot(own, {"targets": targets(own), "targets/a": older}, version=4)
        del files["targets/a"]
        assert refused(own, files) == "ErrBadSnapshot"

    def test_a_snapshot_that_lists_too_many_files(self, own: World) -> None:
        """Each would have to be read from the database; none of them is asked for then."""
        own.files |= {f"targets/{number}": {1: b"{}"} for number in range(publish.MAX_LISTED)}
        files = snapshot(own, {"targets": targets(own)})
        assert publish.needed_roles([Document(SNAPSHOT, files["snapshot"])]) == frozenset()
        assert refused(own, files) == "ErrBadSnapshot"

    @pytest.mark.parametrize("role", ["root", "targets", "targets/a"])
    def test_a_snapshot_with_a_wrong_length(self, own: World, role: str) -> None:
        """Clients would refuse to read the file."""

        def edit(signed: dict[str, Any]) -> None:
            signed["meta"][role]["length"] += 1

        assert refused(own, snapshot(own, {"targets": targets(own)}, edit=edit)) == "ErrBadSnapshot"

    def test_a_snapshot_that_lists_a_delegation_without_its_sha256(self, own: World) -> None:
        """Nobody could find the file: it is asked for by its SHA-256."""

        def edit(signed: Any) -> None:
            del signed["meta"]["targets/a"]["hashes"]["sha256"]

        assert refused(own, snapshot(own, {"targets": targets(own)}, edit=edit)) == "ErrBadSnapshot"

    def test_a_snapshot_with_a_wrong_sha512_of_a_stored_file(self, own: World) -> None:
        """Both hashes count, also of files that are not uploaded."""

        def edit(signed: dict[str, Any]) -> None:
            signed["meta"]["targets/a"]["hashes"]["sha512"] = signed["meta"]["root"]["hashes"]["sha512"]

        assert refused(own, snapshot(own, {"targets": targets(own)}, edit=edit)) == "ErrBadSnapshot"

    @pytest.mark.parametrize("client_snapshot", [False, True])
    def test_a_root_that_revokes_the_targets_key(self, client_snapshot: bool) -> None:
        """Without targets signed by the new key nobody could read the repository."""
        world = standing(client_snapshot=client_snapshot)
        world.owner.targets_keys = [ecdsa_key()]
        files = {"root": world.owner.root(2)}
        assert refused(world, snapshot(world, files) if client_snapshot else files) == "ErrBadRoot"


def _break_root(world: World, files: Files) -> None:
    files["root"] = world.owner.root(2, edit=expired)


def _break_targets(world: World, files: Files) -> None:
    files["targets"] = targets(world, signers=[ecdsa_key()])


def _break_snapshot(world: World, files: Files) -> None:
    files["snapshot"] = b"{}"


def _lose_timestamp_key(world: World, files: Files) -> None:
    del world.signer[key_id(world.owner.server_keys["timestamp"])]


def _lose_the_race(world: World, files: Files) -> None:
    world.store("targets", targets(world, 3))


def _tell_a_wrong_length(world: World, files: Files) -> None:
    def edit(signed: dict[str, Any]) -> None:
        signed["meta"]["targets"]["length"] += 1

    files.update(snapshot(world, {"targets": files["targets"]}, edit=edit))


Break = tuple[Callable[[World, Files], None], str]
BREAKS: list[Break] = [
    (_break_root, "ErrBadRoot"),
    (_break_targets, "ErrBadTargets"),
    (_break_snapshot, "ErrBadSnapshot"),
    (_lose_timestamp_key, "ErrBadRoot"),
    (_lose_the_race, "VERSION"),
    (_tell_a_wrong_length, "ErrBadSnapshot"),
]


@pytest.mark.parametrize(("first", "second"), list(combinations(BREAKS, 2)))
def test_the_earlier_step_decides(own: World, first: Break, second: Break) -> None:
    """Of two faults the one that Notary's server meets first is told."""
    files = snapshot(own, {"targets": targets(own)})
    for break_it, _ in (second, first):
        break_it(own, files)
    assert refused(own, files) == first[1]
