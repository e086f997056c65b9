"""The whole server as its command starts it: configuration, TLS, signals."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.publisher import Client, Publisher, Verifier
from tests.publisher.keys import ecdsa_key

SERVE = """
import asyncio, os, sys
from pathlib import Path
from notary_server.app import serve
from notary_server.config import load
asyncio.run(serve(load(Path(sys.argv[1]), os.environ), lambda address: print(address, flush=True)))
"""


def start(config: Path) -> subprocess.Popen[str]:
    """The server in a process of its own."""
    return subprocess.Popen([sys.executable, "-c", SERVE, str(config)], stdout=subprocess.PIPE, text=True)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration with TLS, local keys and a database in memory."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-keyout", "key.pem", "-out", "cert.pem", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"],
        cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip
    path = tmp_path / "server-config.json"
    document = {
        "server": {"http_addr": "127.0.0.1:0", "tls_cert_file": "cert.pem", "tls_key_file": "key.pem"},
        "trust_service": {"type": "local"},
        "storage": {"backend": "memory"},
    }
    path.write_text(json.dumps(document))
    return path


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serve_and_stop(config: Path, number: signal.Signals) -> None:
    """Over TLS a repository is published and verified; a signal ends the process with status 0, quietly."""
    process = start(config)
    try:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        assert address.startswith("https://127.0.0.1:")
        client = Client(address, str(config.with_name("cert.pem")))
        owner = Publisher("some/gun").learn(client)
        assert client.publish("some/gun", owner.first()).status == 200
        assert Verifier(client, "some/gun").problems() == []
        assert client.get("/_notary_server/health").body == b"{}"
        process.send_signal(number)
        assert process.wait(20) == 0
    finally:
        process.kill()


def test_limits_and_the_audit_file_come_from_the_configuration(config: Path) -> None:
    """What the file says holds: how much may be published, how often, and where it is recorded."""
    document = json.loads(config.read_text())
    document["limits"] = {
        "max_keys": 4,
        "client_writes": 3,
        "repository_keys": 2,
        "max_buffered_bytes": 1 << 20,
    }
    document["audit"] = {"file": "audit.log"}
    config.write_text(json.dumps(document))
    process = start(config)
    try:
        assert process.stdout is not None
        client = Client(process.stdout.readline().strip(), str(config.with_name("cert.pem")))
        owner = Publisher("some/gun").learn(client)
        owner.targets_keys.append(ecdsa_key())
        statuses = [client.publish("some/gun", owner.first()).status]
        owner.targets_keys.pop()
        statuses += [client.publish("some/gun", owner.first()).status]
        statuses += [client.upload("some/gun", "multipart/form-data; boundary=x", b"y" * (2 << 20)).status]
        statuses += [
            client.publish("some/gun", {"targets": owner.targets(2)}).status,
            client.rotate("some/gun", "timestamp").status,
        ]
        assert statuses == [400, 200, 503, 429, 429]
    finally:
        process.terminate()
        process.wait(20)
    entries = [json.loads(line) for line in config.with_name("audit.log").read_text().splitlines()]
    assert [(entry["action"], entry.get("code", "")) for entry in entries] == [
        ("get key", ""), ("get key", ""), ("publish", "INVALID_UPDATE"), ("publish", ""), ("publish", "UNAVAILABLE"),
        ("publish", "TOOMANYREQUESTS"), ("rotate key", "TOOMANYREQUESTS"),
    ]  # fmt: skip


def test_plain_http_on_a_tls_port_is_not_answered(config: Path) -> None:
    """There is no fallback: without TLS the port says nothing that HTTP could read."""
    process = start(config)
    try:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        assert Client(address.replace("https", "http")).get("/v2/").status == 0
    finally:
        process.kill()
        process.wait()


def test_a_broken_certificate_never_becomes_plain_http(config: Path) -> None:
    """The process ends without ever having listened."""
    config.with_name("cert.pem").write_text("nonsense")
    process = start(config)
    output, _ = process.communicate(timeout=20)
    assert (process.returncode != 0, output) == (True, "")


def test_a_taken_address_is_named(config: Path) -> None:
    """The command ends with status 1 and a sentence that names the key, not with a traceback."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        document = json.loads(config.read_text())
        document["server"]["http_addr"] = f"127.0.0.1:{taken.getsockname()[1]}"
        config.write_text(json.dumps(document))
        command = [sys.executable, "-m", "notary_server", "serve", "--config", str(config)]
        ended = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1
    assert "server.http_addr" in ended.stderr
    assert "Traceback" not in ended.stderr
