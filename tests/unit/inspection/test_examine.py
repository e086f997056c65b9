"""What is said of a stored repository before it is taken over: nothing if all is well, else what and what to do."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notary_server.inspection.examine import Finding, Stored, examine
from notary_server.tuf.model import FileSummary
from notary_server.tuf.names import MAX_VERSION, ROOT, SNAPSHOT, TARGETS, TIMESTAMP, Gun, RoleName, Sha256Hex
from tests.publisher import Publisher
from tests.publisher.certificates import root_key
from tests.publisher.files import expires_in
from tests.publisher.keys import ecdsa_key

from ..tuf.world import GUN, World


def stored(world: World, gun: str = GUN) -> Stored:
    """What a database holds that has all files of `world`."""
    files = {RoleName(role): world.latest(role) for role in world.files}
    digests = {role: Sha256Hex(hashlib.sha256(data).hexdigest()) for role, data in files.items()}
    return Stored(
        gun=Gun(gun),
        latest={
            role: FileSummary(max(world.files[role]), digests[role], len(data))
            for role, data in files.items()
        },
        files=files,
        current=dict(digests),
        roots=list(world.files["root"]),
    )


def found(world: World, changed: Stored | None = None) -> list[Finding]:
    """The findings for `world`, or for what was made of it."""
    held = {keyid: held for keyid, (_, held) in world.signer.items()}
    return examine(changed or stored(world), held, world.now_ns)  # type: ignore[arg-type]


def kinds(findings: list[Finding]) -> list[tuple[str, str]]:
    """Their weights and kinds."""
    return [(finding.weight, finding.kind) for finding in findings]


@pytest.fixture
def world() -> World:
    """A repository in good order."""
    world = World()
    world.first()
    return world


def without(entries: Mapping[RoleName, Any], role: RoleName) -> dict[RoleName, Any]:
    """The mapping without one role."""
    return {name: value for name, value in entries.items() if name != role}


def test_nothing_is_said_of_a_repository_in_good_order(world: World) -> None:
    """Not a word."""
    assert found(world) == []


def test_a_snapshot_key_of_the_owner_is_only_noted() -> None:
    """The owner goes on as before."""
    world = World(client_snapshot=True)
    world.first()
    assert kinds(found(world)) == [("note", "client-snapshot")]


@pytest.mark.parametrize("role", [ROOT, TARGETS, SNAPSHOT, TIMESTAMP])
def test_a_file_that_is_listed_and_not_stored(world: World, role: RoleName) -> None:
    """Old servers tore repositories apart when two published at once, or when a file was spelled unlike Go's."""
    whole = stored(world)
    torn = replace(whole, current=without(whole.current, role))
    assert ("broken", "torn") in kinds(found(world, torn))


@pytest.mark.parametrize("role", [ROOT, TARGETS, SNAPSHOT, TIMESTAMP])
def test_a_role_that_is_missing(world: World, role: RoleName) -> None:
    """All four are needed."""
    whole = stored(world)
    changed = replace(
        whole,
        latest=without(whole.latest, role),
        files=without(whole.files, role),
        current=without(whole.current, role),
    )
    assert kinds(found(world, changed))[0] == ("broken", "missing")


@pytest.mark.parametrize("role", ["timestamp", "snapshot"])
def test_a_key_that_the_old_signer_does_not_hold(world: World, role: str) -> None:
    """The timestamp key must be held; a snapshot key that is not is the owner's, as far as anybody can tell."""
    keyid = next(keyid for keyid, (_, held) in world.signer.items() if held.role == role)
    del world.signer[keyid]
    expected = {"timestamp": ("broken", "key"), "snapshot": ("note", "client-snapshot")}
    findings = found(world)
    assert kinds(findings) == [expected[role]]
    assert role == "snapshot" or f"notary key rotate {GUN} timestamp -r" in findings[0].text


def test_keys_are_of_no_interest_where_nobody_asked(world: World) -> None:
    """Without the old signer's database nothing is said of keys."""
    assert examine(stored(world), None, world.now_ns) == []


def test_a_key_of_another_repository(world: World) -> None:
    """Notary's signer signs with any key; ours does not, and the owner must know before."""
    for keyid, (key, held) in world.signer.items():
        world.signer[keyid] = key, replace(held, gun=Gun("elsewhere"))
    assert {kind for _, kind in kinds(found(world))} == {"foreign-key"}


@pytest.mark.parametrize(
    ("days", "kind"), [(-2, "certificate"), (100, "certificate"), (20 * 365, None)], ids=str
)
def test_the_end_of_the_root_certificate(days: int, kind: str | None) -> None:
    """Ended: clients refuse it. Less than two years: time to rotate. More: nothing to say."""
    world = World()
    world.owner.root_keys = [root_key(GUN, not_after=dt.timedelta(days=30 * 365))]
    world.first()
    end = dt.datetime.now(dt.UTC) + dt.timedelta(days=30 * 365)
    world.now_ns = int((end - dt.timedelta(days=days)).timestamp()) * 10**9
    weights = {weight for weight, name in kinds(found(world)) if name == "certificate"}
    assert weights == (set() if kind is None else {"broken"} if days < 0 else {"owner"})


@pytest.mark.parametrize(("days", "word"), [(-1, "expired on"), (10, "expires on"), (100, None)], ids=str)
def test_the_end_of_targets(days: float, word: str | None) -> None:
    """Only their owner can renew them."""
    world = World()
    targets = world.owner.targets(edit=lambda signed: signed.update(expires=expires_in(days)))
    world.publish(world.owner.first() | {"targets": targets}) if days > 0 else _stored_expired(world, targets)
    texts = [finding.text for finding in found(world) if finding.kind == "expiry"]
    assert len(texts) == (0 if word is None else 1)
    assert all(str(word) in text for text in texts)


def _stored_expired(world: World, targets: bytes) -> None:
    world.first()
    world.store("targets", targets, 1)


@pytest.mark.parametrize("role", ["snapshot", "timestamp"])
def test_an_expired_file_that_the_server_renews_is_no_finding(world: World, role: str) -> None:
    """It is renewed when it is asked for."""
    world.now_ns += 4 * 365 * 86_400 * 10**9
    assert role not in " ".join(finding.text for finding in found(world) if finding.kind == "expiry")


def test_members_beside_signed(world: World) -> None:
    """Old servers list such a file under the digest of another spelling."""
    document = json.loads(world.latest("targets")) | {"extra": 1}
    world.store("targets", json.dumps(document).encode())
    findings = [one for one in found(world) if one.kind == "extra-member"]
    assert len(findings) == 1
    assert "(extra)" in findings[0].text


def test_a_version_that_was_not_reached_by_counting(world: World) -> None:
    """After a few more nobody can publish."""
    whole = stored(world)
    latest = dict(whole.latest)
    latest[TARGETS] = replace(latest[TARGETS], version=MAX_VERSION - 3)
    findings = found(world, replace(whole, latest=latest))
    assert kinds(findings) == [("broken", "version-column"), ("owner", "version")]
    assert "leaves 3 more" in findings[1].text


def test_root_versions_that_are_missing(world: World) -> None:
    """Clients that stopped there cannot follow."""
    world.publish({"root": world.owner.root(2)})
    world.publish({"root": world.owner.root(3)})
    whole = stored(world)
    assert found(world) == []
    (finding,) = found(world, replace(whole, roots=[1, 3]))
    assert (finding.kind, "root versions 2 are" in finding.text) == ("root-gap", True)
    # Whoever wrote such a version, nobody counts to it.
    latest = dict(whole.latest) | {ROOT: replace(whole.latest[ROOT], version=MAX_VERSION)}
    texts = [one.text for one in found(world, replace(whole, latest=latest, roots=[2, MAX_VERSION]))]
    assert any("root versions 1, 3, 4, 5, 6 and 2147483640 more are" in text for text in texts)


def test_a_digest_that_is_not_that_of_the_bytes(world: World) -> None:
    """A damaged row."""
    whole = stored(world)
    files = dict(whole.files) | {TARGETS: whole.files[TARGETS] + b" "}
    assert ("broken", "digest") in kinds(found(world, replace(whole, files=files)))


def test_a_root_that_its_own_certificates_do_not_verify(world: World) -> None:
    """Whoever signed it, clients refuse it."""
    stranger = Publisher(GUN)
    stranger.server_keys = world.owner.server_keys
    forged = world.owner.root(1, signers=stranger.root_keys)
    world.store("root", forged, 1)
    assert ("broken", "root") in kinds(found(world))


def test_files_that_are_stored_and_not_served(world: World) -> None:
    """A version that no snapshot lists, and a delegation that none does."""
    world.store("targets", world.owner.targets(2))
    world.store("targets/x", world.owner.delegation("targets/x"))
    whole = stored(world)
    current = without(whole.current, RoleName("targets/x"))
    current[TARGETS] = Sha256Hex(hashlib.sha256(world.files["targets"][1]).hexdigest())
    assert kinds(found(world, replace(whole, current=current))) == [
        ("note", "unlisted"),
        ("note", "superfluous"),
    ]


@pytest.mark.parametrize("name", ["a//b", "a/../b", "*"])
def test_a_name_that_this_server_does_not_take(world: World, name: str) -> None:
    """Nobody could ask for it."""
    assert ("broken", "name") in kinds(found(world, stored(world, name)))


@given(st.binary(max_size=200), st.sampled_from([ROOT, TARGETS, SNAPSHOT, TIMESTAMP]))
def test_whatever_is_stored_something_is_said(data: bytes, role: RoleName) -> None:
    """Bytes that nobody can read are reported, and never an exception."""
    world = _SOUND
    whole = stored(world)
    files = dict(whole.files) | {role: data}
    found_kinds = {finding.kind for finding in found(world, replace(whole, files=files))}
    assert {"digest", "unreadable"} <= found_kinds


@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.dictionaries(
                st.sampled_from(["signed", "signatures", "version", "expires", "meta", "keys", "roles", "x"]),
                inner,
                max_size=4,
            )
            | st.lists(inner, max_size=3)
        ),
        max_leaves=12,
    )
)
def test_whatever_json_is_stored_something_is_said(document: Any) -> None:
    """The same with JSON of the right words in the wrong places."""
    whole = stored(_SOUND)
    files = dict(whole.files) | {ROOT: json.dumps(document).encode()}
    assert "digest" in {finding.kind for finding in found(_SOUND, replace(whole, files=files))}


def _sound() -> World:
    world = World(key=ecdsa_key())
    world.first()
    return world


_SOUND = _sound()
