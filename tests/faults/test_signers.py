"""Two signers over one registry and one token: killed, hung, refused, or of no use, one of them or both."""

from __future__ import annotations

import json
import random
import re
import signal
import threading
import urllib.request
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from deploy.local.files import write_softhsm_conf
from notary_common.tls import client_context
from notary_server.errors import SignerUnavailable
from notary_server.metrics import Metrics
from notary_server.signing.remote_signer import HttpSigner
from notary_server.signing.transport import Endpoint
from notary_server.tuf.keys import verifies
from notary_server.tuf.model import SigningOrder
from notary_server.tuf.names import TIMESTAMP, Gun, KeyId
from tests.e2e.notary_cli import Person, TrustServer
from tests.publisher import Client
from tests.publisher.keys import key_id
from tests.support.payloads import canonical, timestamp_signed
from tests.support.pki import LOCAL_NAMES, Authority
from tests.support.stack import Daemon, Stack

from .repository import Repository
from .rig import Rig, eventually

pytestmark = pytest.mark.faults

PUBLISHERS = 8


@dataclass
class House:
    """A server and its two signers, without the gateway."""

    rig: Rig
    server: Daemon
    client: Client
    signers: list[Daemon]

    def name(self, signer: Daemon) -> str:
        """What the server calls a signer."""
        return f"localhost:{Stack.port_of(signer)}"

    def metric(self, name: str, signer: Daemon) -> float:
        """The sum of a metric over the samples about one signer."""
        lines = self.client.get("/metrics").body.decode().splitlines()
        found = (
            re.fullmatch(rf'notary_server_signer_{name}\{{.*signer="([^"]*)".*\}} (\S+)', line)
            for line in lines
        )
        return sum(float(one[2]) for one in found if one is not None and one[1] == self.name(signer))

    def revive(self) -> None:
        """Let both signers run, and the server know it."""
        for one in self.signers:
            one.send(signal.SIGCONT)
            one.start()
        for one in self.signers:
            eventually(lambda: self.metric("circuit_open", one) == 0, "the server asks it again")  # noqa: B023

    def state(self, key: str) -> str:
        """What a signer says of a key."""
        url = f"https://localhost:{Stack.port_of(self.signers[1])}/v1/keys/{key}"
        context = self.rig.stack.client_context(identified=True)
        with urllib.request.urlopen(url, context=context, timeout=10) as answer:
            return str(json.load(answer)["state"])


@pytest.fixture(scope="module")
def house(rig: Rig) -> Iterator[House]:
    """The server is never restarted here."""
    second = rig.stack.another_signer("second-signer")
    trust = {"signers": [f"localhost:{Stack.port_of(second)}"], "key_grace": 0}
    server, client = rig.second_server("with-two-signers", trust_service=trust)
    try:
        second.start()
        server.start()
        pid = server.pid
        yield House(rig, server, client, [rig.stack.signer, second])
        assert server.pid == pid
    finally:
        server.kill()
        second.kill()
        rig.revive()


class _Publisher(threading.Thread):
    """Publishes version after version; what is not acknowledged is unexpected."""

    def __init__(self, client: Client) -> None:
        super().__init__(daemon=True)
        self.repository = Repository(client)
        self.acknowledged = 0
        self.unexpected = ""
        self.stop = threading.Event()

    def run(self) -> None:
        while not self.stop.is_set() and not self.unexpected:
            reply = self.repository.publish(self.acknowledged + 1)
            if reply.status == 200:
                self.acknowledged += 1
            else:
                self.unexpected = str(reply)


def test_a_signer_killed_or_hung_at_random_fails_no_publish(house: House) -> None:
    """Eight people publish while one signer is killed with SIGKILL and one hung with SIGSTOP, whichever and whenever."""
    publishers = [_Publisher(house.client) for _ in range(PUBLISHERS)]
    for one in publishers:
        one.start()

    def everybody_publishes(times: int) -> None:
        goals = [one.acknowledged + times for one in publishers]
        eventually(
            lambda: all(
                one.acknowledged >= goal or one.unexpected
                for one, goal in zip(publishers, goals, strict=True)
            ),
            "everybody publishes",
        )

    victims = random.sample(house.signers, 2)
    faults = random.sample(list(zip(victims, (signal.SIGKILL, signal.SIGSTOP), strict=True)), 2)
    try:
        for victim, number in faults:
            everybody_publishes(1)
            if number == signal.SIGKILL:
                victim.kill()
            else:
                victim.send(number)
            everybody_publishes(2)
            house.revive()
    finally:
        house.revive()
        for one in publishers:
            one.stop.set()
        for one in publishers:
            one.join(30)
    assert [one.unexpected for one in publishers if one.unexpected] == [], faults
    assert all(house.metric("failovers_total", one) for one in house.signers)
    for one in publishers:
        assert house.rig.tables.publishes(one.repository.gun) == one.acknowledged
        assert one.repository.problems(one.acknowledged) == []


def test_with_every_signer_down_readers_go_on_and_the_client_says_why_not_to_publish(
    house: House, tmp_path: Path
) -> None:
    """With the real notary client: it lists and verifies, and reads 503 when it publishes, until one signer is back.

    A repository is deleted meanwhile. Its keys are retired as soon as a signer can be asked.
    """
    server = TrustServer(f"https://localhost:{house.client.port}", house.rig.stack.ca_file)
    person, gun = Person(tmp_path / "person", server), "example.com/signers/away"
    person.notary("init", gun)
    content = person.file("v1", "content")
    person.notary("add", gun, "v1", content)
    person.notary("publish", gun)
    doomed = Repository(house.client)
    assert doomed.publish(1).status == 200
    keys = [key_id(key) for key in doomed.owner.server_keys.values()]
    for one in house.signers:
        one.kill()
    try:
        reader = Person(tmp_path / "reader", server)
        assert set(reader.listed(gun)) == {"v1"}
        reader.notary("verify", gun, "v1", "-i", content)
        person.notary("add", gun, "v2", content)
        assert "unable to reach trust server at this time: 503" in person.refused("publish", gun)
        reply = doomed.publish(2)
        assert (reply.status, reply.code, reply.headers.get("retry-after")) == (503, "UNAVAILABLE", "5")
        eventually(
            lambda: "Trust operational" in (house.client.get("/_notary_server/health").json or {}),
            "health tells",
        )
        assert house.client.delete(doomed.gun).status == 200
        house.signers[1].start()
        eventually(lambda: house.client.get("/_notary_server/health").status == 200, "one signer is enough")
        person.notary("publish", gun)
        assert set(reader.listed(gun)) == {"v1", "v2"}
        eventually(lambda: {house.state(key) for key in keys} == {"retired"}, "the keys are retired")
    finally:
        house.revive()
    assert house.rig.tables.query("SELECT count(*) FROM notary_server_retirements") == [["0"]]


@dataclass
class Pair:
    """The real signer and one that is of no use, as a server sees them."""

    client: HttpSigner
    metrics: Metrics

    async def all_is_well(self, gun: str, maker: HttpSigner | None = None) -> None:
        """Have a key that `maker` made, or whoever it is, sign; the signature must be good."""
        key = await (maker or self.client).create_key(Gun(gun), TIMESTAMP, "ecdsa")
        order = SigningOrder(Gun(gun), TIMESTAMP, 1, canonical(timestamp_signed()), (key,))
        (signature,) = await self.client.sign(order)
        assert verifies(key.key, signature, order.payload)

    def failures(self, kind: str) -> bool:
        """Whether any of this kind was counted."""
        return f'kind="{kind}"' in self.metrics.exposition().decode()


def _pair(rig: Rig, *ports: int) -> Pair:
    stack = rig.stack
    context = client_context(stack.ca_file, stack.server_client.certificate, stack.server_client.key)
    metrics = Metrics()
    endpoints = [Endpoint(f"https://localhost:{port}", lambda: context) for port in ports]
    return Pair(HttpSigner(endpoints, 10.0, metrics.signers), metrics)


@pytest.fixture(params=["refused by TLS", "another token"])
def useless(request: pytest.FixtureRequest, rig: Rig, tmp_path: Path) -> Iterator[tuple[Daemon, str]]:
    """A signer that runs and is of no use, and the kind of failure it is to be counted as."""
    changes: dict[str, Any] = {}
    environ = {}
    if request.param == "refused by TLS":
        pair = Authority(tmp_path, "Nobody's CA").issue("signer", LOCAL_NAMES)
        changes["server"] = {"tls_cert_file": str(pair.certificate), "tls_key_file": str(pair.key)}
    else:
        conf = tmp_path / "softhsm2.conf"
        write_softhsm_conf(conf, tmp_path / "tokens")
        environ["SOFTHSM2_CONF"] = str(conf)
    made = rig.stack.another_signer(tmp_path.name, environ, **changes)
    try:
        if environ:
            made.check("token", "init")
            made.start()
        else:
            made.start(wait=False)
            eventually(lambda: "ready to sign" in made.log.read_text(), "it listens")
        yield made, "tls" if request.param == "refused by TLS" else "fault"
    finally:
        made.kill()


@pytest.fixture
async def pair(rig: Rig, useless: tuple[Daemon, str]) -> AsyncIterator[Pair]:
    """Whoever asks the two."""
    made = _pair(rig, rig.stack.signer_port, Stack.port_of(useless[0]))
    yield made
    await made.client.close()


async def test_one_signer_that_is_of_no_use_fails_nothing(
    rig: Rig, pair: Pair, useless: tuple[Daemon, str]
) -> None:
    """One shows a certificate of another authority, or has a token that lacks the KEK: 500 for the other's keys."""
    alone = _pair(rig, rig.stack.signer_port)
    for number in range(12):
        await pair.all_is_well(f"example.com/{useless[1]}/{number}", alone.client)
        await pair.all_is_well(f"example.com/{useless[1]}/{number}")
    await pair.client.ping()
    assert pair.failures(useless[1])
    await alone.client.close()


async def test_without_the_registrys_database_nothing_is_unknown(rig: Rig) -> None:
    """Both signers say 503: a key is neither held nor unknown. When the database is back, so are they."""
    pair = _pair(rig, rig.stack.signer_port)
    await pair.all_is_well("example.com/registry/away")
    rig.kill("postgres")
    try:
        with pytest.raises(SignerUnavailable):
            await pair.client.describe_keys([KeyId("0" * 64)])
        with pytest.raises(SignerUnavailable):
            await pair.client.create_key(Gun("example.com/registry/new"), TIMESTAMP, "ecdsa")
    finally:
        rig.revive()
    assert await pair.client.describe_keys([KeyId("0" * 64)]) == {}
    await pair.all_is_well("example.com/registry/away")
    await pair.client.close()
