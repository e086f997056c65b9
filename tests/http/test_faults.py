"""What the server answers when what it depends on fails. The faults are made; all the rest is real."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Collection
from functools import partial
from typing import Any

import pytest

from notary_server.app import tell_health
from notary_server.errors import HeadMoved, SignerRefused, SignerUnavailable, StoreUnavailable
from notary_server.http.render import MAX_ERROR_BYTES
from notary_server.operations.health import CHECKS, check
from notary_server.operations.publish import ATTEMPTS
from notary_server.tuf.model import HeldKey
from notary_server.tuf.names import KeyId
from tests.publisher import Publisher, ecdsa_key, form
from tests.publisher.files import expires_in

from .running import DEADLINE, RawReply, Running, read_all


class Faulty:
    """Passes every call on, except those that a test makes fail: by name, an exception to raise."""

    def __init__(self, real: Any) -> None:
        self._real = real
        self.faults: dict[str, Exception] = {}
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        async def call(*arguments: Any, **named: Any) -> Any:
            self.calls.append(name)
            if name in self.faults:
                raise self.faults[name]
            return await getattr(self._real, name)(*arguments, **named)

        return call


class Faults:
    """A running server with a faulty store and a faulty signer, and an owner of a repository on it."""

    owner: Publisher

    def __init__(self) -> None:
        self.server = Running(wrap_store=self._wrap_store, wrap_signer=self._wrap_signer)

    def _wrap_store(self, real: Any) -> Any:
        self.store = Faulty(real)
        return self.store

    def _wrap_signer(self, real: Any) -> Any:
        self.signer = Faulty(real)
        return self.signer


@pytest.fixture
def faults() -> Any:
    """A server of one's own, with an existing repository `g`."""
    made = Faults()
    with made.server:
        made.owner = Publisher("g").learn(made.server.client)
        assert made.server.client.publish("g", made.owner.first()).status == 200
        yield made


def test_an_unreachable_database_is_503_everywhere(faults: Any) -> None:
    """Reads, writes and keys answer 503 with Retry-After; nothing of the fault is told; ping goes on."""
    faults.store.faults = dict.fromkeys(
        ("current", "by_version", "by_checksum", "trust_state", "commit", "delete", "changes"),
        StoreUnavailable("the database does not answer"),
    )
    client = faults.server.client
    for reply in (
        client.role("g", "root.json"),
        client.role("g", "1.root.json"),
        client.role("g", "timestamp.json"),
        client.role("g", "timestamp.key"),
        client.publish("g", {"targets": faults.owner.targets(2)}),
        client.delete("g"),
        client.changes(),
    ):
        assert (reply.status, reply.code, reply.headers["retry-after"]) == (503, "UNAVAILABLE", "5")
    assert client.get("/v2/").status == 200


def test_an_unreachable_signer_is_503_and_never_an_unknown_key(faults: Any) -> None:
    """A publish or an expired timestamp waits for the signer to come back; what has not expired is served."""
    faults.signer.faults = dict.fromkeys(
        ("describe_keys", "sign", "create_key"), SignerUnavailable("the signer does not answer")
    )
    client = faults.server.client
    assert client.publish("g", {"targets": faults.owner.targets(2)}).status == 503
    assert client.role("g", "timestamp.key").status == 503
    assert client.role("new", "timestamp.key").status == 503
    assert client.role("g", "timestamp.json").status == 200
    faults.server.clock.forward(days=15)
    assert client.role("g", "timestamp.json").status == 503
    faults.signer.faults = {}
    renewed = client.role("g", "timestamp.json")
    assert json.loads(renewed.body)["signed"]["version"] == 2


def test_an_expired_timestamp_whose_key_is_gone_is_served_as_it_is(faults: Any) -> None:
    """If the signer does not hold the key, nobody can renew: serve what there is."""
    before = faults.server.client.role("g", "timestamp.json").body

    async def holds_nothing(_ids: Collection[KeyId]) -> dict[KeyId, HeldKey]:
        return {}

    faults.signer.describe_keys = holds_nothing
    faults.server.clock.forward(days=15)
    reply = faults.server.client.role("g", "timestamp.json")
    assert (reply.status, reply.body) == (200, before)


def test_an_expired_timestamp_that_the_signer_refuses_to_sign_is_served_as_it_is(faults: Any) -> None:
    """A refusal is no reason to withhold what is stored."""
    before = faults.server.client.role("g", "timestamp.json").body
    faults.signer.faults = {"sign": SignerRefused("retired")}
    faults.server.clock.forward(days=15)
    assert faults.server.client.role("g", "timestamp.json").body == before


def test_readers_of_an_ended_client_snapshot_do_not_wait_for_the_signer(faults: Any) -> None:
    """Its owner alone can renew it; once that is known the signer is not asked at every read."""
    owner = Publisher("held", snapshot=ecdsa_key()).learn(faults.server.client)
    files = {"root": owner.root(), "targets": owner.targets()}
    files["snapshot"] = owner.snapshot(files, edit=lambda signed: signed.update(expires=expires_in(1)))
    assert faults.server.client.publish("held", files).status == 200
    before = faults.server.client.role("held", "timestamp.json").body
    faults.server.clock.forward(days=2)
    assert faults.server.client.role("held", "timestamp.json").body == before
    faults.signer.calls.clear()
    faults.signer.faults = {"describe_keys": SignerUnavailable("the signer does not answer")}
    assert faults.server.client.role("held", "timestamp.json").body == before
    assert faults.server.client.role("held", "snapshot.json").status == 200
    assert faults.signer.calls == []


def test_publishes_to_one_repository_take_turns(faults: Any) -> None:
    """People who publish different delegations at once do not outrun each other: each is planned and signed once."""
    client, owner = faults.server.client, faults.owner
    roles = [f"targets/person{number}" for number in range(12)]
    assert client.publish("g", {"targets": owner.targets(2, delegates=roles)}).status == 200
    faults.store.calls.clear()
    statuses: list[int] = []

    def publish(role: str) -> None:
        statuses.append(client.publish("g", {role: owner.delegation(role)}).status)

    threads = [threading.Thread(target=publish, args=(role,)) for role in roles]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * len(roles)
    assert faults.store.calls.count("commit") == len(roles)


def test_a_defect_is_500_with_the_request_id_and_nothing_else(faults: Any) -> None:
    """An exception nobody expected tells the client only where to look in the log."""
    faults.store.faults = {"current": ZeroDivisionError("secret detail")}
    reply = faults.server.client.role("g", "root.json")
    assert (reply.status, reply.code) == (500, "UNKNOWN")
    assert reply.error["detail"] == {"request_id": reply.headers["x-request-id"]}
    assert b"secret" not in reply.body


def test_a_refusing_signer_is_a_fault_of_ours(faults: Any) -> None:
    """The publisher can do nothing about it: 500, nothing stored."""
    faults.signer.faults = {"sign": SignerRefused("policy")}
    assert faults.server.client.publish("g", {"targets": faults.owner.targets(2)}).status == 500
    assert faults.server.client.role("g", "2.targets.json").status == 404


def test_a_moved_head_is_planned_again_a_bounded_number_of_times(faults: Any) -> None:
    """A repository that changes under every attempt is called busy, in words that clients show."""
    faults.store.faults = {"commit": HeadMoved("moved")}
    reply = faults.server.client.publish("g", {"targets": faults.owner.targets(2)})
    assert (reply.status, reply.code, reply.name) == (400, "VERSION", "ErrValidation")
    assert "run publish again" in reply.error["detail"]["Error"]["Msg"]
    assert faults.store.calls.count("commit") == ATTEMPTS + 1  # one was the fixture's


def test_a_renewal_in_between_does_not_cost_the_publisher_anything(faults: Any) -> None:
    """If the head moves once for a reason of the server's own, the publish succeeds at the second attempt."""
    commit = faults.store.commit
    moved: list[object] = []

    async def moved_once(*arguments: object) -> None:
        if not moved:
            moved.append(True)
            raise HeadMoved("moved")
        await commit(*arguments)

    faults.store.commit = moved_once
    assert faults.server.client.publish("g", {"targets": faults.owner.targets(2)}).status == 200


def test_errors_never_exceed_what_clients_read(faults: Any) -> None:
    """However long the offending name is, the body stays within 1,024 bytes and is one JSON error."""
    for name in ("x" * 5000, "é" * 3000, "\\\\" * 3000, "<" * 3000):
        reply = faults.server.client.publish("g", {name: b"{}"})
        assert (reply.status, reply.code) == (400, "INVALID_ROLE")
        assert len(reply.body) <= MAX_ERROR_BYTES


def test_a_client_that_leaves_does_not_tear_a_publish_apart(faults: Any) -> None:
    """The commit of a publisher who hung up is carried through, whole."""
    entered, proceed = threading.Event(), asyncio.Event()
    commit = faults.store.commit

    async def slow(*arguments: object) -> None:
        entered.set()
        await proceed.wait()
        await commit(*arguments)

    faults.store.commit = slow
    kind, body = form({"targets": faults.owner.targets(2)})
    head = f"POST /v2/g/_trust/tuf/ HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    with faults.server.connect() as connection:
        connection.sendall(head.encode() + body)
        assert entered.wait(DEADLINE)
    faults.server.loop.call_soon_threadsafe(proceed.set)
    faults.server.stop()
    # The server waited for the publish before it stopped; a new look at the same database is not possible, so
    # the store's own log of calls tells.
    assert faults.store.calls[-1] == "commit"


def test_stopping_lets_a_running_publish_finish(faults: Any) -> None:
    """A publish that is under way when the server is told to stop gets its answer; idle connections are closed."""
    entered, proceed = threading.Event(), asyncio.Event()
    commit = faults.store.commit

    async def slow(*arguments: object) -> None:
        entered.set()
        await proceed.wait()
        await commit(*arguments)

    faults.store.commit = slow
    kind, body = form({"targets": faults.owner.targets(2)})
    head = f"POST /v2/g/_trust/tuf/ HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    with faults.server.connect() as idle, faults.server.connect() as busy:
        idle.sendall(b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n")
        idle.recv(65536)
        busy.sendall(head.encode() + body)
        assert entered.wait(DEADLINE)
        stopping = threading.Thread(target=faults.server.stop)
        stopping.start()
        assert idle.recv(65536) == b""
        faults.server.loop.call_soon_threadsafe(proceed.set)
        assert RawReply(read_all(busy)).status == 200
        stopping.join()


def test_health_tells_what_cannot_be_asked(faults: Any) -> None:
    """Each failing dependency is named as Notary names it, with 503; metrics say the same."""
    faults.store.faults = {"ping": StoreUnavailable("the database does not answer")}
    faults.signer.faults = {"ping": SignerUnavailable("the signer does not answer")}
    services = faults.server.services

    async def watch() -> None:
        told = partial(tell_health, services.metrics)
        async with services.health.watching(CHECKS, lambda: check(services.context), told):
            await asyncio.Event().wait()

    watching = asyncio.run_coroutine_threadsafe(watch(), faults.server.loop)
    deadline = time.monotonic() + DEADLINE
    while not services.health.problems and time.monotonic() < deadline:
        time.sleep(0.01)
    reply = faults.server.client.get("/_notary_server/health")
    watching.cancel()
    assert (reply.status, reply.headers["content-type"]) == (503, "application/json; charset=utf-8")
    assert reply.json == {
        "DB operational": "the database does not answer",
        "Trust operational": "the signer does not answer",
    }
    metrics = faults.server.client.get("/metrics").body.decode()
    assert 'notary_server_check_operational{check="DB operational"} 0.0' in metrics
