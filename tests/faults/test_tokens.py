"""A server over a signer whose token hangs, is lost, or no longer takes the PIN: what clients see, and how it ends."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy.local.files import overlay, write_document, write_pin, write_softhsm_conf
from notary_signer.token.module import find_module
from tests.publisher import Client, Reply, Verifier
from tests.support.faulty import Faults, compiled
from tests.support.stack import Daemon, Stack

from .repository import Repository
from .rig import Rig, eventually

pytestmark = pytest.mark.faults

CALL_TIMEOUT = 2.0
"""Seconds for a call of the token; the server waits for 5."""


@dataclass
class House:
    """A server and its only signer, which has a token of its own."""

    rig: Rig
    client: Client
    daemons: tuple[Daemon, Daemon]
    faults: Faults
    pin_file: Path

    @property
    def signer(self) -> Daemon:
        """The signer."""
        return self.daemons[1]

    def health(self) -> tuple[int, dict[str, str]]:
        """What the signer says of itself: the status, and what is wrong with each part."""
        url = f"https://localhost:{Stack.port_of(self.signer)}/v1/health"
        context = self.rig.stack.client_context(identified=True)
        try:
            with urllib.request.urlopen(url, context=context, timeout=10) as answer:
                return answer.status, json.load(answer)["problems"]
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)["problems"]

    def tells(self, word: str) -> bool:
        """Whether the signer's health shows that, and why, the token cannot be used."""
        status, problems = self.health()
        return status == 503 and word in problems.get("token", "")

    def server_tells(self) -> bool:
        """Whether the server's health shows that no signer works; it looks every ten seconds."""
        return "Trust operational" in (self.client.get("/_notary_server/health").json or {})

    def is_well(self) -> bool:
        """Whether both healths are good."""
        return self.health()[0] == self.client.get("/_notary_server/health").status == 200


@pytest.fixture(scope="module")
def house(rig: Rig, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Neither daemon is ever restarted here."""
    folder = tmp_path_factory.mktemp("token")
    faults, conf, pin_file = Faults(folder), folder / "softhsm2.conf", folder / "pin"
    write_softhsm_conf(conf, folder / "tokens")
    write_pin(pin_file)
    environ = {"SOFTHSM2_CONF": str(conf), **faults.environ(find_module(None))}
    token = {"module": str(compiled(folder)), "pin_file": str(pin_file), "call_timeout": CALL_TIMEOUT}
    signer = rig.stack.another_signer("with-a-faulty-token", environ, pkcs11=token)
    server, client = rig.second_server("over-a-faulty-token")
    document = json.loads(server.config.read_text())
    write_document(server.config, overlay(document, {"trust_service": {"port": str(Stack.port_of(signer))}}))
    try:
        signer.check("token", "init")
        signer.start()
        server.start()
        pids = server.pid, signer.pid
        yield House(rig, client, (server, signer), faults, pin_file)
        assert (server.pid, signer.pid) == pids
    finally:
        server.kill()
        signer.kill()


def refused(reply: Reply) -> bool:
    """Whether the client is told to come again."""
    return (reply.status, reply.code, reply.headers.get("retry-after")) == (503, "UNAVAILABLE", "5")


def serves(repository: Repository, number: int) -> bool:
    """Whether a strict client gets that version of targets; what was signed and not stored leaves gaps elsewhere."""
    verifier = Verifier(repository.client, repository.gun)
    return verifier.problems() == [] and verifier.found.signed["targets"]["version"] == number


def test_a_token_that_hangs_while_people_publish(house: House) -> None:
    """Each is told to come again, health says why, and when the token is well they publish the same versions."""
    repositories = [Repository(house.client) for _ in range(3)]
    assert all(one.publish(1).status == 200 for one in repositories)
    house.faults.inject("C_Sign hang")
    try:
        with ThreadPoolExecutor(len(repositories)) as people:
            replies = list(people.map(lambda one: one.publish(2), repositories))
        assert all(map(refused, replies)), list(map(str, replies))
        eventually(lambda: house.tells("did not return"), "the signer tells")
        eventually(house.server_tells, "the server tells")
        assert all(serves(one, 1) for one in repositories)
    finally:
        house.faults.heal()
    eventually(house.is_well, "the token is used again")
    for one in repositories:
        assert one.publish(2).status == 200
        assert serves(one, 2)


def test_a_token_that_errs_once_or_whose_process_dies(house: House) -> None:
    """An error that passes is seen by nobody; a module that crashes is told to who publishes at that moment."""
    repository = Repository(house.client)
    assert repository.publish(1).status == 200
    house.faults.inject("C_Sign 0xb3 once")
    assert repository.publish(2).status == 200
    house.faults.inject("C_Sign exit")
    try:
        assert refused(repository.publish(3))
    finally:
        house.faults.heal()
    eventually(house.is_well, "the token is used again")
    assert repository.publish(3).status == 200
    assert serves(repository, 3)


def test_a_pin_that_is_changed_under_a_running_signer(house: House, tmp_path: Path) -> None:
    """It works on with its session; the next login is refused, once, and all is well when the file has the new PIN."""
    repository = Repository(house.client)
    assert repository.publish(1).status == 200
    other, new = tmp_path / "pin", tmp_path / "new"
    for path, source in ((other, house.pin_file.read_text()), (new, "9253-another\n")):
        path.touch(0o600)
        path.write_text(source)
    operator = house.rig.stack.another_signer(tmp_path.name, house.signer.environ)
    document = json.loads(house.signer.config.read_text())
    write_document(operator.config, overlay(document, {"pkcs11": {"pin_file": str(other)}}))
    operator.check("token", "change-pin", "--new-pin-file", str(new))
    assert repository.publish(2).status == 200
    logins = house.faults.count("C_Login")
    house.faults.inject("C_Sign 0xb3")
    try:
        assert refused(repository.publish(3))
    finally:
        house.faults.heal()
    eventually(lambda: house.tells("refused the PIN"), "the signer tells")
    assert refused(repository.publish(3))
    assert house.faults.count("C_Login") == logins + 1
    house.pin_file.write_text(other.read_text())
    eventually(house.is_well, "the token takes the PIN")
    assert repository.publish(3).status == 200
    assert serves(repository, 3)
    assert house.faults.count("C_Login") == logins + 2
