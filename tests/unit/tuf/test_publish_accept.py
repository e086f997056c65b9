"""Uploads that are accepted: what is stored, what is signed, and that a strict client can read it all."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest

from notary_server.tuf import instant, publish
from notary_server.tuf.document import Document, by_role
from notary_server.tuf.names import RoleName
from tests.publisher.certificates import root_key
from tests.publisher.files import Edit, expires_in
from tests.publisher.keys import ecdsa_key, ed25519_key, key_id, rsa_key

from .world import DAY, GUN, LIFETIMES, World


def expired(signed: dict[str, Any]) -> None:
    """An edit that lets a file have expired long ago."""
    signed["expires"] = expires_in(-1)


def edited(data: bytes, edit: Edit) -> bytes:
    """A file with another `signed` under the old signatures, spelled as no Go program could."""
    document = json.loads(data)
    edit(document["signed"])
    return json.dumps(document).encode()


def test_first_publish_makes_snapshot_and_timestamp_version_one() -> None:
    """Root and targets are enough when the server signs the rest."""
    world = World()
    world.first()
    read = world.walk()
    assert read["snapshot"]["version"] == read["timestamp"]["version"] == 1
    assert set(read["snapshot"]["meta"]) == {"root", "targets"}
    for role, lifetime in (("snapshot", LIFETIMES.snapshot), ("timestamp", LIFETIMES.timestamp)):
        assert instant.parse(read[role]["expires"]) == world.now_ns + lifetime * instant.SECOND


def test_first_publish_with_the_clients_snapshot() -> None:
    """A client-signed snapshot is stored as it came, and the server only makes the timestamp."""
    world = World(client_snapshot=True)
    files = world.owner.first()
    assert world.plan(files).snapshot is None
    world.publish(files)
    assert world.latest("snapshot") == files["snapshot"]
    world.walk()


def test_files_are_ordered_root_targets_by_depth_snapshot() -> None:
    """The plan lists root first, targets by depth, then the client's snapshot, whatever order they came in."""
    world = World(client_snapshot=True)
    owner = world.owner
    files = {
        "targets/b": owner.delegation("targets/b"),
        "targets/a/x": owner.delegation("targets/a/x"),
        "targets/a": owner.delegation("targets/a", delegates=["targets/a/x"]),
        "targets": owner.targets(delegates=["targets/b", "targets/a"]),
        "root": owner.root(),
    }
    plan = world.plan({"snapshot": owner.snapshot(files)} | files)
    assert [file.role for file in plan.files] == [
        "root",
        "targets",
        "targets/a",
        "targets/b",
        "targets/a/x",
        "snapshot",
    ]


@pytest.mark.parametrize(("root_version", "targets_version"), [(1, 2), (2, 1), (2, 40)])
def test_first_versions_may_be_higher(root_version: int, targets_version: int) -> None:
    """The first root is 1 or 2 and other files start anywhere."""
    world = World()
    world.publish({"root": world.owner.root(root_version), "targets": world.owner.targets(targets_version)})
    assert world.walk()["targets"]["version"] == targets_version


def test_a_delegation_is_checked_against_the_stored_ancestors() -> None:
    """Only the delegation travels; its ancestors come from storage, and their entries stay right."""
    world = World()
    owner = world.owner
    world.first(
        targets=owner.targets(delegates=["targets/a"]),
        **{"targets/a": owner.delegation("targets/a", delegates=["targets/a/x"])},
    )
    world.publish({"targets/a/x": owner.delegation("targets/a/x", 7)})
    assert world.walk()["targets/a/x"]["version"] == 7


def test_expired_stored_ancestors_are_accepted() -> None:
    """A delegation may still be published while the targets file above it has expired."""
    world = World()
    owner = world.owner
    world.first(targets=owner.targets(delegates=["targets/a"]))
    world.store("targets", owner.targets(2, delegates=["targets/a"], edit=expired))
    world.publish({"targets/a": owner.delegation("targets/a")})
    assert "targets/a" in world.walk()


def test_an_empty_upload_renews_snapshot_and_timestamp() -> None:
    """Nothing to store is legal on an existing repository: the server signs both again."""
    world = World()
    world.first()
    before = world.walk()
    world.publish({})
    after = world.walk()
    assert after["snapshot"]["meta"] == before["snapshot"]["meta"]
    assert after["snapshot"]["version"] == after["timestamp"]["version"] == 2


def test_a_timestamp_part_is_ignored() -> None:
    """Whatever was sent as timestamp, the server's own is what gets planned."""
    world = World()
    plan = world.plan(world.owner.first() | {"timestamp": b"anything"})
    assert [file.role for file in plan.files] == ["root", "targets"]


def test_the_last_part_of_a_role_counts() -> None:
    """Given a role twice, the planner takes the later one."""
    world = World()
    files = world.owner.first()
    uploads = [Document(RoleName("targets"), b"{}"), *(Document(RoleName(r), d) for r, d in files.items())]
    state = world.state()
    plan = publish.plan(
        state, by_role(state.files), uploads, world.held(state, uploads), world.now_ns, LIFETIMES
    )
    assert plan.files[1].data == files["targets"]


def test_lists_the_received_bytes_however_they_are_spelled() -> None:
    """Hashes are over what was sent: spaces, other member order and unknown members survive."""
    world = World()

    def respell(data: bytes) -> bytes:
        document = json.loads(data)
        return json.dumps({"unknown": [1, 2], **dict(reversed(document.items()))}, indent=2).encode() + b"\n"

    files = {"root": world.owner.root(spell=respell), "targets": world.owner.targets(spell=respell)}
    world.publish(files)
    world.walk()
    assert world.latest("root") == files["root"]


def test_a_root_rotation_is_signed_by_old_and_new() -> None:
    """A root with a new root key needs the old key's signature beside its own."""
    world = World()
    world.first()
    old = world.owner.root_keys
    world.owner.root_keys = [root_key(GUN)]
    world.publish({"root": world.owner.root(2, signers=[*old, *world.owner.root_keys])})
    assert world.walk()["root"]["version"] == 2


def test_a_successor_is_taken_after_the_certificates_end() -> None:
    """The old certificate has ended; a root with a fresh one, signed by both keys, still follows it."""
    world = World()
    world.owner.root_keys = [root_key(GUN, not_after=dt.timedelta(days=1))]
    world.first()
    old = world.owner.root_keys
    world.now_ns += 2 * DAY
    world.owner.root_keys = [root_key(GUN, old[0].private)]
    world.publish({"root": world.owner.root(2, signers=[*old, *world.owner.root_keys])})
    world.publish({"targets": world.owner.targets(2)})
    assert world.walk()["targets"]["version"] == 2


def test_an_expired_stored_root_still_carries_uploads() -> None:
    """Only the certificate's end stops a publish; the stored root's own expiry does not."""
    world = World()
    world.first()
    world.store("root", world.owner.root(2, edit=expired))
    world.publish({"targets": world.owner.targets(2)})
    assert world.walk()["root"]["version"] == 2


@pytest.mark.parametrize("make", [ecdsa_key, ed25519_key, rsa_key])
def test_server_keys_of_every_type_sign(make: Any) -> None:
    """Held keys sign with the method of their type."""
    world = World(key=make())
    world.first()
    world.walk()


def test_one_held_key_that_meets_the_threshold_is_enough() -> None:
    """A foreign key beside the server's does not stop the server from signing with its own."""
    world = World()
    stranger = ecdsa_key()
    world.owner.snapshot_keys = [stranger]
    world.publish({"root": world.owner.root(), "targets": world.owner.targets()})
    world.walk()
    signers = [one["keyid"] for one in json.loads(world.latest("snapshot"))["signatures"]]
    assert signers == [key_id(world.owner.server_keys["snapshot"])]


def test_every_held_key_of_the_role_signs() -> None:
    """Two held keys and a threshold of two: both sign, once each though one is listed twice."""
    world = World()
    second = world.make_key("timestamp")

    def edit(signed: dict[str, Any]) -> None:
        signed["keys"][second.id] = second.object
        role = signed["roles"]["timestamp"]
        role["keyids"] += [second.id, second.id]
        role["threshold"] = 2

    world.publish({"root": world.owner.root(edit=edit), "targets": world.owner.targets()})
    world.walk()
    assert len(json.loads(world.latest("timestamp"))["signatures"]) == 2


def test_the_snapshot_role_moves_to_the_server_and_back() -> None:
    """Root says who signs the snapshot: first the client, then the server, then the client again."""
    world = World(client_snapshot=True)
    owner = world.owner
    world.first()
    mine, owner.snapshot_keys = owner.snapshot_keys, []
    owner.server_keys["snapshot"] = world.make_key("snapshot").object
    world.publish({"root": owner.root(2)})
    assert world.walk()["snapshot"]["version"] == 2
    owner.snapshot_keys = mine
    del owner.server_keys["snapshot"]
    root = owner.root(3)
    snapshot = owner.snapshot({"root": root, "targets": world.latest("targets")}, 3)
    world.publish({"root": root, "snapshot": snapshot})
    assert world.walk()["snapshot"]["version"] == 3


def test_a_new_targets_key_comes_with_new_targets() -> None:
    """Root replaces the targets key and the upload brings targets signed with it."""
    world = World()
    world.first()
    world.owner.targets_keys = [ecdsa_key()]
    world.publish({"root": world.owner.root(2), "targets": world.owner.targets(2)})
    world.walk()


def test_targets_may_drop_the_key_of_a_published_delegation() -> None:
    """The delegation is signed anew later (`witness`); until then clients leave it out."""
    world = World()
    owner = world.owner
    world.first(
        targets=owner.targets(delegates=["targets/a"]), **{"targets/a": owner.delegation("targets/a")}
    )
    owner.delegation_keys["targets/a"] = [ecdsa_key()]
    world.publish({"targets": owner.targets(2, delegates=["targets/a"])})
    world.publish({"targets/a": owner.delegation("targets/a", 2)})
    assert world.walk()["targets/a"]["version"] == 2


def test_entries_of_removed_delegations_are_kept() -> None:
    """A delegation that is no longer listed by targets stays listed by the snapshot."""
    world = World()
    owner = world.owner
    world.first(
        targets=owner.targets(delegates=["targets/a"]), **{"targets/a": owner.delegation("targets/a")}
    )
    world.publish({"targets": owner.targets(2)})
    assert "targets/a" in world.walk()["snapshot"]["meta"]


def test_a_client_snapshot_may_leave_out_sha512_and_delegations() -> None:
    """One hash is enough, and a delegation need not be listed."""
    world = World(client_snapshot=True)
    owner = world.owner
    files = owner.first() | {
        "targets": owner.targets(delegates=["targets/a"]),
        "targets/a": owner.delegation("targets/a"),
    }
    world.publish(files | {"snapshot": owner.snapshot({k: files[k] for k in files if k != "snapshot"})})

    def edit(signed: dict[str, Any]) -> None:
        del signed["meta"]["targets"]["hashes"]["sha512"]
        del signed["meta"]["root"]["hashes"]["sha512"]

    now = {"root": files["root"], "targets": owner.targets(2)}
    world.publish({"targets": now["targets"], "snapshot": owner.snapshot(now, 2, edit=edit)})
    assert set(world.walk()["snapshot"]["meta"]) == {"root", "targets"}


def test_a_client_snapshot_lists_stored_delegations_by_their_bytes() -> None:
    """A delegation that is not uploaded is checked against its latest stored version."""
    world = World(client_snapshot=True)
    owner = world.owner
    files = {
        "root": owner.root(),
        "targets": owner.targets(delegates=["targets/a"]),
        "targets/a": owner.delegation("targets/a"),
    }
    world.publish(files | {"snapshot": owner.snapshot(files)})
    files["targets"] = owner.targets(2, delegates=["targets/a"])
    world.publish({"targets": files["targets"], "snapshot": owner.snapshot(files, 2)})
    assert world.walk()["snapshot"]["version"] == 2


class TestAdopted:
    """Databases that an older server filled by laxer rules."""

    def test_an_unreadable_snapshot_is_made_anew_from_what_is_stored(self) -> None:
        """Every stored root, targets and delegation file is listed with what is known of it."""
        world = World()
        owner = world.owner
        world.first(
            targets=owner.targets(delegates=["targets/a"]), **{"targets/a": owner.delegation("targets/a")}
        )
        world.store("snapshot", b'{"Signed":1}', 9)
        world.publish({"targets": owner.targets(2, delegates=["targets/a"])})
        read = world.walk()
        assert read["snapshot"]["version"] == 10
        assert set(read["snapshot"]["meta"]) == {"root", "targets", "targets/a"}
        assert set(read["snapshot"]["meta"]["targets/a"]["hashes"]) == {"sha256"}

    def test_a_snapshot_that_lists_older_targets_is_put_right(self) -> None:
        """The next server-made snapshot lists the latest stored targets, not the older ones."""
        world = World()
        world.first()
        world.store("targets", world.owner.targets(2))
        world.publish({})
        assert world.walk()["targets"]["version"] == 2

    def test_entries_that_name_or_describe_nothing_are_left_behind(self) -> None:
        """Names that are no role, and hash names that cannot be spelled, do not reach the next snapshot."""
        world = World(client_snapshot=True)
        world.first()
        owner = world.owner

        def edit(signed: dict[str, Any]) -> None:
            signed["meta"]["a\nb"] = signed["meta"]["timestamp"] = signed["meta"]["root"]
            signed["meta"]["targets"]["hashes"] |= {"a\tb": "AAAA", "md5": "AAAA"}

        files = {role: world.latest(role) for role in ("root", "targets")}
        world.store("snapshot", edited(owner.snapshot(files, 2), edit))
        owner.snapshot_keys = []
        owner.server_keys["snapshot"] = world.make_key("snapshot").object
        world.publish({"root": owner.root(2)})
        meta = world.walk()["snapshot"]["meta"]
        assert set(meta) == {"root", "targets"}
        assert set(meta["targets"]["hashes"]) == {"sha256", "sha512", "md5"}

    def test_a_stored_root_with_another_repositorys_key_signs_with_its_own(self) -> None:
        """What the stored root lists wrongly is not used, and does not stop a publish."""
        world = World()
        world.first()
        foreign = world.make_key("timestamp", gun="docker.example/other")

        def edit(signed: dict[str, Any]) -> None:
            signed["keys"][foreign.id] = foreign.object
            signed["roles"]["timestamp"]["keyids"].insert(0, foreign.id)

        world.store("root", world.owner.root(2, edit=edit))
        world.publish({"targets": world.owner.targets(2)})
        world.walk()
        signers = [one["keyid"] for one in json.loads(world.latest("timestamp"))["signatures"]]
        assert foreign.id not in signers


def test_needed_roles_are_uploads_ancestors_and_what_a_snapshot_lists() -> None:
    """Deciding needs the stored bytes of all of these, base roles aside."""
    world = World(client_snapshot=True)
    listed = dict.fromkeys(("root", "targets", "targets/s"), b"x")
    uploads = [
        Document(RoleName("targets/a/b/c"), b""),
        Document(RoleName("targets"), b""),
        Document(RoleName("snapshot"), world.owner.snapshot(listed)),
    ]
    assert publish.needed_roles(uploads) == {
        "targets/a",
        "targets/a/b",
        "targets/a/b/c",
        "targets/s",
    }
    assert publish.needed_roles([Document(RoleName("snapshot"), b"nonsense")]) == frozenset()


def test_online_keys_come_from_the_uploaded_root_else_the_stored_one() -> None:
    """The signer is asked about the keys that the next snapshot and timestamp would be signed with."""
    world = World()
    ids = {role: key_id(key) for role, key in world.owner.server_keys.items()}
    root = world.owner.root()
    assert publish.online_keys(by_role(world.state().files), [Document(RoleName("root"), root)]) == set(
        ids.values()
    )
    assert publish.online_keys(by_role(world.state().files), []) == frozenset()
    world.first()
    assert publish.online_keys(by_role(world.state().files), []) == set(ids.values())
    assert (
        publish.online_keys(by_role(world.state().files), [Document(RoleName("root"), b"[")]) == frozenset()
    )
