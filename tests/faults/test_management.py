"""The listener for probes and metrics: what it says while signer and database come and go, with one process and several."""

from __future__ import annotations

import json
import signal
import socket
import sqlite3
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.stack import Stack, free_port

pytestmark = pytest.mark.faults

PATIENCE = 30.0
"""Seconds. Health is checked every ten while all is well."""


class Probed:
    """A signer and a server that listens for probes."""

    def __init__(self, folder: Path) -> None:
        self.address, self.signer_address = (f"127.0.0.1:{free_port()}" for _ in range(2))
        self.stack = Stack(
            folder,
            server_changes={"management": {"http_addr": self.address}},
            signer_changes={"management": {"http_addr": self.signer_address}},
        )

    def ask(self, path: str, address: str | None = None) -> tuple[int, Any]:
        """Status and body, read as JSON where it is; status 0: nobody answers."""
        try:
            with urllib.request.urlopen(f"http://{address or self.address}{path}", timeout=5) as answer:
                status, body = answer.status, answer.read()
        except urllib.error.HTTPError as refusal:
            status, body = refusal.code, refusal.read()
        except OSError:
            return 0, None
        return status, json.loads(body) if body.startswith(b"{") else body.decode()

    def until(self, expected: Callable[[tuple[int, Any]], bool], address: str | None = None) -> Any:
        """What /readyz says as soon as it is as expected."""
        end = time.monotonic() + PATIENCE
        while not expected(answer := self.ask("/readyz", address)):
            assert time.monotonic() < end, answer
            time.sleep(0.1)
        return answer[1]


@pytest.fixture
def probed(tmp_path: Path) -> Iterator[Probed]:
    """Prepared, not started."""
    made = Probed(tmp_path / "stack")
    made.stack.prepare()
    yield made
    made.stack.destroy()


def test_reads_survive_the_signer_and_so_does_readiness(probed: Probed) -> None:
    """An instance without a signer is told of and kept: it serves what is stored."""
    probed.stack.signer.start()
    probed.stack.server.start()
    assert probed.until(lambda answer: answer[0] == 200) == {"ready": True, "stopping": False, "problems": {}}
    assert probed.ask("/livez") == (200, {"alive": True})
    assert probed.ask("/v2/")[0] == 404
    shown = probed.ask("/metrics")[1]
    assert shown.startswith("# HELP")
    # What other parts count is taken over, not only named.
    assert "notary_server_cache_limit_bytes 0.0" not in shown
    assert "notary_server_database_connections_limit 0.0" not in shown
    probed.stack.signer.kill()
    told = probed.until(lambda answer: bool(answer[0] == 200 and answer[1]["problems"]))
    assert set(told["problems"]) == {"Trust operational"}


def test_an_instance_without_its_database_is_alive_and_not_ready(probed: Probed) -> None:
    """Restarting it would mend nothing; what it needs comes back by itself."""
    probed.stack.signer.start()
    probed.stack.server.start()
    probed.until(lambda answer: answer[0] == 200)
    database = probed.stack.folder / "server.sqlite3"
    with sqlite3.connect(database, timeout=30) as connection:
        connection.execute("ALTER TABLE tuf_files RENAME TO away")
    told = probed.until(lambda answer: answer[0] == 503)
    assert set(told["problems"]) == {"DB operational"}
    assert probed.ask("/livez")[0] == 200
    with sqlite3.connect(database, timeout=30) as connection:
        connection.execute("ALTER TABLE away RENAME TO tuf_files")
    probed.until(lambda answer: answer[0] == 200)


def test_several_workers_answer_on_one_address(probed: Probed) -> None:
    """Also after a reload, which replaces them all."""
    probed.stack.signer.start()
    probed.stack.server.options = ("--workers", "2")
    probed.stack.server.start()
    probed.until(lambda answer: answer[0] == 200)
    assert "notary_server_check_operational" in probed.ask("/metrics")[1]
    probed.stack.server.send(signal.SIGHUP)
    for _ in range(40):
        assert probed.ask("/livez")[0] == 200
        time.sleep(0.05)
    assert probed.stack.server.stop() == 0
    assert probed.ask("/livez")[0] == 0


def test_a_signer_without_its_registry_is_alive_and_not_ready(probed: Probed) -> None:
    """Nobody has to show a certificate for these answers; they name no key."""
    signer, address = probed.stack.signer, probed.signer_address
    probed.stack.prepare()
    signer.start()
    good = {"ready": True, "stopping": False, "problems": {}}
    assert probed.until(lambda answer: answer[0] == 200, address) == good
    shown = probed.ask("/metrics", address)[1]
    assert "notary_signer_token_state" in shown
    assert 'notary_signer_token_operations_total{operation="ping",outcome="done"}' in shown
    assert "notary_signer_database_connections_limit 0.0" not in shown
    for path in ("/v1/health", "/v1/keys/" + "0" * 64):
        assert probed.ask(path, address)[0] == 404
    with sqlite3.connect(probed.stack.folder / "signer.sqlite3", timeout=30) as connection:
        connection.execute("ALTER TABLE private_keys RENAME TO away")
    told = probed.until(lambda answer: answer[0] == 503, address)
    assert set(told["problems"]) == {"registry"}
    assert probed.ask("/livez", address) == (200, {"alive": True})
    with sqlite3.connect(probed.stack.folder / "signer.sqlite3", timeout=30) as connection:
        connection.execute("ALTER TABLE away RENAME TO private_keys")
    probed.until(lambda answer: answer[0] == 200, address)
    assert signer.stop() == 0
    assert probed.ask("/livez", address)[0] == 0


def test_a_signers_address_that_another_program_has(probed: Probed) -> None:
    """It is named before anything is opened."""
    probed.stack.prepare()
    at = probed.signer_address
    with socket.create_server(("127.0.0.1", int(at.rpartition(":")[2]))):
        done = probed.stack.signer.command("serve")
    assert done.returncode != 0
    assert f"management.http_addr: cannot listen on {at}" in done.stderr


@pytest.mark.parametrize("options", [(), ("--workers", "2")])
def test_an_address_that_is_taken_is_named(probed: Probed, options: tuple[str, ...]) -> None:
    """Before anything is served."""
    document = json.loads(probed.stack.server_config.read_text())
    document["management"]["http_addr"] = document["server"]["http_addr"]
    probed.stack.server_config.write_text(json.dumps(document))
    done = probed.stack.server.command("serve", *options)
    assert done.returncode != 0
    assert "management.http_addr: cannot listen on" in done.stderr
    assert "free it or choose another" in done.stderr
