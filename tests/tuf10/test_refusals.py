"""The attacks that the TUF specification names, and what else a client could not read, are refused at upload."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, Snapshot, Timestamp

from tests.http.running import Running
from tests.publisher import Publisher

from .owner import Owner, Refused, Server, days, delegation, listing, signed


@pytest.fixture
def owner(server: Server, gun: str) -> Owner:
    """The owner of a published repository with a threshold of two for root."""
    made = Owner(server, gun, threshold=2)
    made.add("a", b"one")
    made.first()
    made.root.version = 2
    return made


def refused(owner: Owner, files: dict[str, bytes], why: str, code: str = "INVALID_UPDATE") -> None:
    """The upload is refused for that reason, and nothing of it is stored."""
    before = owner.server.file(owner.gun, "timestamp.json")
    with pytest.raises(Refused, match=why) as answer:
        owner.server.publish(owner.gun, files)
    assert (answer.value.status, answer.value.code) == (400, code)
    assert owner.server.file(owner.gun, "timestamp.json") == before


def test_rollback(owner: Owner) -> None:
    """A version that is not higher than the published one, of any role, however well signed."""
    owner.server.publish(owner.gun, {"targets": owner.next_targets()})
    refused(owner, {"targets": owner.signed_targets()}, "published already", "VERSION")
    owner.targets.version = 1
    refused(owner, {"targets": owner.signed_targets()}, "behind version 2", "VERSION")
    owner.root.version = 1
    refused(owner, {"root": owner.signed_root()}, "published", "VERSION")


def test_a_root_is_never_left_out(owner: Owner) -> None:
    """Clients go from root to root: the next one is the published one's successor."""
    owner.root.version = 3
    refused(owner, {"root": owner.signed_root()}, "the next one is 2")


def test_freeze(owner: Owner) -> None:
    """Metadata that has expired already."""
    owner.targets.expires = days(-1)
    refused(owner, {"targets": owner.next_targets()}, "targets file has expired")
    owner.root.expires = days(-1)
    refused(owner, {"root": owner.signed_root()}, "root file has expired")


def test_mix_and_match(owner: Owner, gun: str) -> None:
    """The server alone says which files belong together; another repository's files are nobody's here."""
    for role, body in (("snapshot", Snapshot()), ("timestamp", Timestamp())):
        refused(owner, {role: signed(body, owner.root_keys)}, "the server signs the")
    other = Owner(owner.server, gun + "/other")
    other.targets.version = 2
    refused(owner, {"targets": other.signed_targets()}, "0 valid signatures")
    other.root.version = 2
    refused(owner, {"root": other.signed_root()}, "keys that are published already")


def test_a_root_may_not_strand_what_is_published(owner: Owner) -> None:
    """New targets keys without targets that they signed: clients could not go on."""
    key = CryptoSigner.generate_ed25519()
    owner.root.revoke_key(owner.targets_keys[0].public_key.keyid, "targets")
    owner.root.add_key(key.public_key, "targets")
    refused(owner, {"root": owner.signed_root()}, "targets file is not valid")


def test_thresholds(owner: Owner) -> None:
    """Both roots' thresholds count, and distinct keys: neither a second signature nor a second ID of one key."""
    first, second = owner.root_keys
    refused(owner, {"root": signed(owner.root, [first])}, "1 valid signatures of distinct keys where 2")
    again = copy.deepcopy(second.public_key)
    again.keyid = "f" * 64
    owner.root.add_key(again, "root")
    document = Metadata.from_bytes(signed(owner.root, [second]))
    document.signatures[again.keyid] = copy.deepcopy(document.signatures[second.public_key.keyid])
    document.signatures[again.keyid].keyid = again.keyid
    owner.root_keys = [second]
    refused(owner, {"root": document.to_bytes()}, "1 valid signatures of distinct keys where 2")
    newcomer = CryptoSigner.generate_ed25519()
    owner.root.revoke_key(again.keyid, "root")
    owner.root.add_key(newcomer.public_key, "root")
    refused(owner, {"root": signed(owner.root, [first, newcomer])}, "keys that are published already")


def test_wrong_keys(owner: Owner, server: Server, gun: str) -> None:
    """Signatures of a revoked key, over other bytes, or by keys of another role."""
    old = owner.targets_keys[0]
    refused(owner, {"targets": signed(owner.targets, owner.root_keys)}, "0 valid signatures")
    tampered = json.loads(owner.next_targets())
    tampered["signed"]["targets"]["a"]["length"] = 9
    refused(owner, {"targets": json.dumps(tampered).encode()}, "0 valid signatures")
    new = CryptoSigner.generate_ecdsa()
    owner.targets_keys = [new]
    owner.root.revoke_key(old.public_key.keyid, "targets")
    owner.root.add_key(new.public_key, "targets")
    server.publish(gun, {"root": owner.signed_root(), "targets": owner.signed_targets()})
    owner.targets.version += 1
    refused(owner, {"targets": signed(owner.targets, [old])}, "0 valid signatures")


def test_server_keys_of_others(owner: Owner, server: Server, gun: str) -> None:
    """A root that lists a key which the server made for another repository or role, or none that it holds."""
    root = copy.deepcopy(owner.root)
    root.add_key(server.online_key(gun + "/other", "timestamp"), "timestamp")
    refused(owner, {"root": signed(root, owner.root_keys)}, "made for another repository or role")
    root = copy.deepcopy(owner.root)
    root.add_key(root.keys[root.roles["timestamp"].keyids[0]], "snapshot")
    refused(owner, {"root": signed(root, owner.root_keys)}, "made for another repository or role")
    root = copy.deepcopy(owner.root)
    root.revoke_key(root.roles["timestamp"].keyids[0], "timestamp")
    root.add_key(CryptoSigner.generate_ed25519().public_key, "timestamp")
    refused(owner, {"root": signed(root, owner.root_keys)}, "does not hold enough of the timestamp keys")


def test_delegations_that_nobody_could_follow(owner: Owner) -> None:
    """An unsigned or foreign delegate, a name that no address can carry, a bin that delegates."""
    alice, mallory = CryptoSigner.generate_ed25519(), CryptoSigner.generate_ed25519()
    owner.targets.delegations = delegation("alice", alice, paths=["*"])
    targets = owner.next_targets()
    refused(owner, {"targets": targets}, "neither sent nor published")
    refused(owner, {"targets": targets, "alice": signed(listing("x"), [mallory])}, "alice file is not valid")
    refused(owner, {"targets": targets, "bob": signed(listing("x"), [alice])}, "alice is delegated to")
    owner.server.publish(owner.gun, {"targets": targets, "alice": signed(listing("x"), [alice])})
    owner.targets.delegations = delegation("alice", mallory, paths=["*"])
    refused(owner, {"targets": owner.next_targets()}, "alice file is not valid")
    owner.targets.delegations = delegation("../up", alice, paths=["*"])
    refused(owner, {"targets": owner.next_targets()}, "cannot be served here")


BENT: list[tuple[Callable[[dict[str, Any]], Any], str]] = [
    (lambda file: file["signed"].update(Version=9), "differ only in case"),
    (lambda file: file["signed"].update(Delegations=None), "known name in another case"),
    (lambda file: file["signed"].update(x=1.5), "cannot be signed"),
    (lambda file: file["signed"].update(spec_version="2.0.0"), "spec_version"),
    (lambda file: file["signed"].update(version=2**31), "higher than"),
    (lambda file: file["signed"].update(_type="root"), "not valid"),
    (lambda file: file["signed"].pop("targets"), "missing required field `targets`"),
    (lambda file: file["signed"].update(expires="2099-01-01T00:00:00.5Z"), "not valid"),
    (lambda file: file["signatures"].append(file["signatures"][0]), "Multiple signatures"),
    (
        lambda file: file["signatures"].extend([{"keyid": str(n), "sig": ""} for n in range(64)]),
        "more than 64 sig",
    ),
    (lambda file: file.update(more=1), "exactly the members"),
    (lambda file: file["signed"].update(x=json.loads("[" * 64 + "]" * 64)), "nested too deeply"),
]


@pytest.mark.parametrize(("bend", "why"), BENT, ids=range(len(BENT)))
def test_files_that_readers_would_see_differently(
    owner: Owner, bend: Callable[[dict[str, Any]], Any], why: str
) -> None:
    """Refused before anything is decided."""
    file = json.loads(owner.next_targets())
    bend(file)
    refused(owner, {"targets": json.dumps(file).encode()}, why, "MALFORMED_JSON")


def test_members_that_are_there_twice(owner: Owner) -> None:
    """Some readers take the first of two members, others the last."""
    data = owner.next_targets().replace(b'"version":2', b'"version":2,"version":2')
    refused(owner, {"targets": data}, "two members of one name", "MALFORMED_JSON")


def test_files_that_are_longer_than_clients_read(owner: Owner) -> None:
    """python-tuf's client reads 512,000 bytes of a root."""
    data = owner.signed_root()
    refused(owner, {"root": data + b" " * 512_000}, "longer than the 512000 bytes", "MALFORMED_JSON")


def test_a_first_root_is_the_first(server: Server, gun: str) -> None:
    """Version 1, consistent snapshots, with targets, and one dialect only."""
    for member, value, why in (
        ("version", 2, "the next one is 1"),
        ("consistent_snapshot", False, "must be true"),
    ):
        made = Owner(server, gun)
        setattr(made.root, member, value)
        with pytest.raises(Refused, match=why):
            made.first()
    made = Owner(server, gun)
    with pytest.raises(Refused, match="no targets file yet"):
        server.publish(gun, {"root": made.signed_root()})
    with pytest.raises(Refused, match="no root yet"):
        server.publish(gun, {"targets": made.signed_targets()})


def test_the_first_root_fixes_the_dialect(running: Running, server: Server, gun: str) -> None:
    """Neither dialect is taken where the other is published, and no upload holds both."""
    notary = Publisher(gun).learn(running.client)
    files = notary.first()
    made = Owner(server, gun)
    with pytest.raises(Refused, match="mixes"):
        server.publish(gun, {**files, "targets/x": made.signed_targets()})
    assert running.client.publish(gun, files).status == 200
    with pytest.raises(Refused, match="in Notary's dialect"):
        made.first()
    standard = Owner(server, gun + "/standard")
    standard.first()
    late = Publisher(gun + "/standard").learn(running.client)
    reply = running.client.publish(gun + "/standard", late.first())
    assert (reply.status, "TUF 1.0" in str(reply.body)) == (400, True)
    with pytest.raises(Refused) as strange:
        server.publish(gun, {"Alice": b"{}"})
    assert strange.value.code == "INVALID_ROLE"
