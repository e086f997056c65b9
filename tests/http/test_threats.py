"""What somebody can't do who holds the server's database or its process: shown with real rows, and a strict client.

A client that has used the repository before keeps its root: it believes another one only if that root's keys signed it.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from notary_server.errors import NotaryError, SignerRefused
from notary_server.ports import RemoteSigner
from notary_server.tuf.model import SigningOrder
from tests.publisher import Publisher, Verifier
from tests.publisher.canonical import canonical
from tests.publisher.keys import ecdsa_key
from tests.publisher.verifier import verifies

from .running import Running

Rows = dict[str, bytes]


@pytest.fixture
def attacked() -> Iterator[Running]:
    """A server whose database somebody else holds too, with one repository in it."""
    with Running() as running:
        yield running


def published(server: Running, gun: str) -> tuple[Publisher, Rows]:
    """A repository in its second version, as it is served."""
    owner = Publisher(gun).learn(server.client)
    assert server.client.publish(gun, owner.first()).status == 200
    assert server.client.publish(gun, {"targets": owner.targets(2)}).status == 200
    assert Verifier(server.client, gun).problems() == []
    roles = ("root", "targets", "snapshot", "timestamp")
    return owner, {role: server.client.role(gun, f"{role}.json").body for role in roles}


def replace(server: Running, gun: str, role: str, data: bytes, old: bytes) -> None:
    """Put other bytes into a row, and their digest, as whoever holds the database would."""
    server.tamper(
        "UPDATE tuf_files SET data = :data, sha256 = :new WHERE gun = :gun AND role = :role AND sha256 = :old",
        data=data,
        new=hashlib.sha256(data).hexdigest(),
        gun=gun,
        role=role,
        old=hashlib.sha256(old).hexdigest(),
    )


def relisted(parent: bytes, role: str, data: bytes) -> bytes:
    """A snapshot or timestamp that lists these bytes instead, its signature unchanged."""
    document = json.loads(parent)
    digests = {
        name: base64.b64encode(hashlib.new(name, data).digest()).decode() for name in ("sha256", "sha512")
    }
    document["signed"]["meta"][role] |= {"hashes": digests, "length": len(data)}
    return json.dumps(document).encode()


def evil_targets(owner: Publisher, rows: Rows) -> bytes:
    """Other content, signed with a key that root does not list."""
    return owner.targets(
        3, targets={"v1": {"hashes": {"sha256": "A" * 43 + "="}, "length": 1}}, signers=[ecdsa_key()]
    )


def changed_content(_: Publisher, rows: Rows) -> bytes:
    """The owner's file with one digest changed."""
    document = json.loads(rows["targets"])
    document["signed"]["targets"]["v1"]["length"] += 1
    return json.dumps(document).encode()


def extended_life(_: Publisher, rows: Rows) -> bytes:
    """The owner's file with a later end."""
    return rows["targets"].replace(b'"expires":"20', b'"expires":"21')


@pytest.mark.parametrize("forge", [evil_targets, changed_content, extended_life])
@pytest.mark.parametrize("chain", [False, True], ids=["row alone", "row and what lists it"])
def test_changed_rows_convince_no_client(
    attacked: Running, forge: Callable[[Publisher, Rows], bytes], chain: bool
) -> None:
    """Whatever is put into the rows of targets, and of snapshot and timestamp to fit, does not verify."""
    owner, rows = published(attacked, "threat/app")
    forged = forge(owner, rows)
    assert forged != rows["targets"]
    replace(attacked, "threat/app", "targets", forged, rows["targets"])
    if chain:
        snapshot = relisted(rows["snapshot"], "targets", forged)
        replace(attacked, "threat/app", "snapshot", snapshot, rows["snapshot"])
        timestamp = relisted(rows["timestamp"], "snapshot", snapshot)
        replace(attacked, "threat/app", "timestamp", timestamp, rows["timestamp"])
    found = Verifier(attacked.client, "threat/app").walk()
    assert found.problems
    if chain:
        assert any("0 good signatures" in problem for problem in found.problems)


def test_the_server_signs_nothing_over_changed_rows(attacked: Running) -> None:
    """Neither a publisher nor an expiry makes it vouch for targets that it did not accept itself."""
    owner, rows = published(attacked, "threat/app")
    replace(attacked, "threat/app", "targets", evil_targets(owner, rows), rows["targets"])
    attacked.clock.forward(20)
    attacked.client.role("threat/app", "timestamp.json")
    attacked.client.publish("threat/app", {"root": owner.root(2)})
    assert Verifier(attacked.client, "threat/app").problems()


def test_a_root_put_into_the_database_is_believed_by_nobody_who_knew_the_old_one(attacked: Running) -> None:
    """A whole repository of one's own under the name verifies in itself; but the known root's keys did not sign it."""
    _, rows = published(attacked, "threat/app")
    thief = Publisher("threat/app").learn(attacked.client)
    attacked.tamper("DELETE FROM tuf_files WHERE gun = :gun", gun="threat/app")
    assert attacked.client.publish("threat/app", thief.first()).status == 200
    forged = json.loads(attacked.client.role("threat/app", "root.json").body)
    known = json.loads(rows["root"])["signed"]
    message = canonical(forged["signed"])
    assert not any(
        verifies(known["keys"][keyid], one["method"], base64.b64decode(one["sig"]), message)
        for one in forged["signatures"]
        for keyid in known["roles"]["root"]["keyids"]
    )


def test_rows_taken_away_bring_back_only_what_was_signed_once(attacked: Running) -> None:
    """An older state of the whole repository: who has seen the newer one refuses it, nobody can be shown a mixture."""
    _, rows = published(attacked, "threat/app")
    attacked.tamper(
        "DELETE FROM tuf_files WHERE gun = :gun AND version = 2 AND role <> 'root'", gun="threat/app"
    )
    older = json.loads(attacked.client.role("threat/app", "timestamp.json").body)["signed"]
    newer = json.loads(rows["timestamp"])["signed"]
    assert older["version"] < newer["version"]  # what a client that saw the newer one refuses
    assert older["expires"] < newer["expires"]


class Recording:
    """A signer that keeps the orders it gets, as whoever has taken the server over could write them."""

    def __init__(self, real: RemoteSigner) -> None:
        self._real = real
        self.orders: list[SigningOrder] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    async def sign(self, order: SigningOrder) -> object:
        """As the real one."""
        self.orders.append(order)
        return await self._real.sign(order)


def test_the_server_never_holds_a_key_of_root_or_targets() -> None:
    """What it has signed are snapshots and timestamps; root and targets come signed, or not at all."""
    signers: list[Recording] = []

    def wrap(real: RemoteSigner) -> RemoteSigner:
        signers.append(Recording(real))
        return signers[-1]  # type: ignore[return-value]

    with Running(wrap_signer=wrap) as server:
        owner, _ = published(server, "threat/app")
        unsigned = owner.targets(3, signers=[ecdsa_key()])
        assert server.client.publish("threat/app", {"targets": unsigned}).status == 400
        (signer,) = signers
        kinds = {json.loads(order.payload)["_type"] for order in signer.orders}
        assert kinds == {"Snapshot", "Timestamp"}
        for role in ("root", "targets"):
            assert server.client.role("threat/app", f"{role}.key").status == 404
            assert server.client.rotate("threat/app", role).status == 404


def test_a_publishers_keys_open_no_other_repository(attacked: Running) -> None:
    """Neither the root certificate nor the targets key of one repository says anything in another."""
    owner, _ = published(attacked, "threat/mine")
    other, _ = published(attacked, "threat/other")
    stolen = other.targets(3, signers=owner.targets_keys)
    assert attacked.client.publish("threat/other", {"targets": stolen}).code == "INVALID_UPDATE"
    assert attacked.client.publish("threat/other", {"root": owner.root(2)}).code == "INVALID_UPDATE"
    assert attacked.client.publish("threat/new", owner.first()).code == "INVALID_UPDATE"
    assert Verifier(attacked.client, "threat/other").problems() == []


def test_a_delegations_key_signs_for_nothing_but_its_delegation(attacked: Running) -> None:
    """It can't publish targets, nor another delegation, nor give itself more."""
    owner = Publisher("threat/team").learn(attacked.client)
    files = owner.first() | {"targets": owner.targets(delegates=["targets/a", "targets/b"])}
    assert attacked.client.publish("threat/team", files).status == 200
    mine = owner.keys_of("targets/a")
    for upload in (
        {"targets": owner.targets(2, delegates=["targets/a"], signers=mine)},
        {"targets/b": owner.delegation("targets/b", signers=mine)},
        {"root": owner.root(2, signers=mine)},
    ):
        reply = attacked.client.publish("threat/team", upload)
        assert (reply.status, reply.code) == (400, "INVALID_UPDATE")
    assert attacked.client.publish("threat/team", {"targets/a": owner.delegation("targets/a")}).status == 200


def test_errors_of_the_signer_tell_a_client_nothing() -> None:
    """What the signer says to the server stays in the server's log."""

    class Talking:
        def __init__(self, real: RemoteSigner) -> None:
            self._real = real

        def __getattr__(self, name: str) -> Any:
            return getattr(self._real, name)

        async def create_key(self, *_: object) -> NotaryError:
            raise SignerRefused("the token says CKR_PIN_LOCKED, slot 7")

    with Running(wrap_signer=Talking) as server:  # type: ignore[arg-type]
        reply = server.client.rotate("threat/app", "timestamp")
        assert reply.status == 500
        assert b"CKR" not in reply.body
