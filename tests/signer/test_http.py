"""The signer's HTTP API over real mutual TLS, and the server's client for it, against a real daemon."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from deploy.local.pki import Authority, Pair
from notary_common.tls import client_context
from notary_server.errors import SignerRefused, SignerUnavailable
from notary_server.signing.remote_signer import HttpSigner
from notary_server.tuf.keys import verifies
from notary_server.tuf.model import HeldKey, SigningOrder
from notary_server.tuf.names import SNAPSHOT, TIMESTAMP, Gun, KeyId, RoleName
from notary_signer import encoding
from tests.support import softhsm
from tests.support.payloads import canonical, instant, snapshot_signed, timestamp_signed
from tests.support.softhsm import SoftHsm

from .serving import signer_at

GUN = Gun("docker.io/library/alpine")


@dataclass
class Daemon:
    """A running `notary-signer` with its token, certificates and log."""

    process: subprocess.Popen[bytes]
    hsm: SoftHsm
    authority: Authority
    client: Pair
    port: int
    log: Path

    def context(self) -> ssl.SSLContext:
        return client_context(self.authority.files.certificate, self.client.certificate, self.client.key)

    def signer(self, timeout: float = 10.0) -> HttpSigner:
        return signer_at(f"https://127.0.0.1:{self.port}", self.context(), None, timeout)

    def ask(
        self, method: str, path: str, body: bytes = b"", **headers: str
    ) -> tuple[int, dict[str, Any], Any]:
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=self.context(), timeout=10)
        connection.request(method, path, body, {"Content-Type": "application/json", **headers})
        response = connection.getresponse()
        data = json.loads(response.read())
        connection.close()
        return response.status, data, response.headers


def command(hsm: SoftHsm, config: Path, *words: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "notary_signer", *words, "--config", str(config)],
        env=hsm.environ, stdin=subprocess.DEVNULL, check=True, capture_output=True, timeout=60,
    )  # fmt: skip


def start(hsm: SoftHsm, config: Path, log: Path) -> tuple[subprocess.Popen[bytes], str]:
    """Start the daemon; the address that it says it is ready at."""
    with log.open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "notary_signer", "serve", "--config", str(config)],
            env=hsm.environ, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
        )  # fmt: skip
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        for line in log.read_text().splitlines():
            if '"ready to sign"' in line:
                return process, str(json.loads(line)["address"])
        time.sleep(0.05)
    process.kill()
    process.wait()
    raise AssertionError(log.read_text())


def configure(folder: Path, hsm: SoftHsm, server: dict[str, str]) -> Path:
    config = folder / "signer-config.json"
    document = {
        "server": server,
        "storage": {"backend": "sqlite3", "db_url": "signer.db"},
        "pkcs11": {"token_label": hsm.label, "pin_file": str(hsm.pin_file)},
        "logging": {"level": "info"},
    }
    config.write_text(json.dumps(document))
    return config


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """One daemon for all tests here, made by the project's own commands."""
    folder = tmp_path_factory.mktemp("signer")
    hsm = softhsm.prepare(folder / "hsm")
    authority = Authority(folder / "pki", "Test CA")
    pair, client = authority.issue("signer", ["127.0.0.1"]), authority.issue("trust-server")
    tls = {
        "http_addr": "127.0.0.1:0",
        "tls_cert_file": str(pair.certificate),
        "tls_key_file": str(pair.key),
        "client_ca_file": str(authority.files.certificate),
    }
    config = configure(folder, hsm, tls)
    command(hsm, config, "token", "init")
    command(hsm, config, "db", "upgrade")
    log = folder / "log"
    process, address = start(hsm, config, log)
    yield Daemon(process, hsm, authority, client, int(address.rpartition(":")[2]), log)
    process.terminate()
    process.wait(20)


def order(role: RoleName, *keys: HeldKey, gun: Gun = GUN, payload: bytes | None = None) -> SigningOrder:
    signed = timestamp_signed() if role == TIMESTAMP else snapshot_signed()
    return SigningOrder(gun, role, 1, canonical(signed) if payload is None else payload, keys)


async def test_create_describe_sign(daemon: Daemon) -> None:
    """The server's port, whole: the same key until it has signed, described among unknown ones, signatures verify."""
    signer = daemon.signer()
    await signer.ping()
    for algorithm in ("ecdsa", "rsa", "ed25519"):
        for role in (SNAPSHOT, TIMESTAMP):
            key = await signer.create_key(GUN, role, algorithm)
            assert await signer.create_key(GUN, role, algorithm) == key
            assert (key.gun, key.role, key.key.keytype) == (GUN, role, algorithm)
            assert await signer.describe_keys([key.key_id, KeyId("0" * 64)]) == {key.key_id: key}
            wanted = order(role, key)
            (signature,) = await signer.sign(wanted)
            assert signature.keyid == key.key_id
            assert verifies(key.key, signature, wanted.payload)
            assert (await signer.create_key(GUN, role, algorithm)).key_id != key.key_id
    assert await signer.describe_keys([]) == {}
    assert await signer.describe_keys([KeyId(f"{number:064x}") for number in range(200)]) == {}
    await signer.close()


async def test_several_keys_sign_in_their_order(daemon: Daemon) -> None:
    """One signature by each key of the order."""
    signer = daemon.signer()
    keys = [await signer.create_key(Gun("several"), TIMESTAMP, kind) for kind in ("ed25519", "ecdsa")]
    signatures = await signer.sign(order(TIMESTAMP, *keys, gun=Gun("several")))
    assert [signature.keyid for signature in signatures] == [key.key_id for key in keys]
    await signer.close()


async def test_refusals_are_not_outages(daemon: Daemon) -> None:
    """Another GUN's key, a payload of another kind, an unknown key, role or algorithm: `SignerRefused`."""
    signer = daemon.signer()
    key = await signer.create_key(Gun("refusals"), TIMESTAMP, "ecdsa")
    unknown = HeldKey(KeyId("0" * 64), key.key, key.gun, key.role)
    for wanted in (
        order(TIMESTAMP, key),
        order(SNAPSHOT, key, gun=Gun("refusals")),
        order(TIMESTAMP, key, gun=Gun("refusals"), payload=canonical(snapshot_signed())),
        order(TIMESTAMP, key, gun=Gun("refusals"), payload=b"root"),
        order(TIMESTAMP, unknown, gun=Gun("refusals")),
    ):
        with pytest.raises(SignerRefused):
            await signer.sign(wanted)
    for role, algorithm in ((RoleName("root"), "ecdsa"), (TIMESTAMP, "dsa")):
        with pytest.raises(SignerRefused):
            await signer.create_key(GUN, role, algorithm)
    await signer.close()


async def test_fifty_signatures_at_once(daemon: Daemon) -> None:
    """Fifty concurrent orders are all signed well."""
    signer = daemon.signer(30)
    key = await signer.create_key(Gun("fifty"), TIMESTAMP, "ecdsa")
    orders = [
        order(TIMESTAMP, key, gun=Gun("fifty"), payload=canonical(timestamp_signed(expires=instant(n))))
        for n in range(1, 51)
    ]
    answers = await asyncio.gather(*(signer.sign(wanted) for wanted in orders))
    for wanted, (signature,) in zip(orders, answers, strict=True):
        assert verifies(key.key, signature, wanted.payload)
    await signer.close()


async def test_only_clients_of_the_authority_come_in(daemon: Daemon, tmp_path: Path) -> None:
    """No certificate, or one of another authority: no answer at all; a wrong server certificate is not believed."""
    mine = daemon.authority.files.certificate
    other = Authority(tmp_path, "Other CA")
    stranger = other.issue("trust-server")
    contexts = [
        client_context(mine, None, None),
        client_context(mine, stranger.certificate, stranger.key),
        client_context(other.files.certificate, daemon.client.certificate, daemon.client.key),
    ]
    for context in contexts:
        signer = signer_at(f"https://127.0.0.1:{daemon.port}", context, None, 5.0)
        with pytest.raises(SignerUnavailable):
            await signer.ping()
        with pytest.raises(SignerUnavailable):
            await signer.describe_keys([KeyId("0" * 64)])
        await signer.close()


async def test_a_signer_that_cannot_be_asked() -> None:
    """Refused connections and silence are `SignerUnavailable`, within the deadline."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        signer = signer_at(f"http://127.0.0.1:{port}", None, None, 5.0)
        with pytest.raises(SignerUnavailable):
            await signer.ping()
        await signer.close()
        silent.listen()
        signer = signer_at(f"http://127.0.0.1:{port}", None, None, 0.3)
        with pytest.raises(SignerUnavailable, match="in time"):
            await signer.create_key(GUN, TIMESTAMP, "ecdsa")
        await signer.close()


async def test_a_kept_connection_that_died_is_replaced() -> None:
    """A call over a connection that the signer closed meanwhile is made once more over a new one, not oftener."""
    served: list[int] = []
    body = b'{"keys":[]}'
    reply = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
        len(body),
        body,
    )
    alive = True

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.append(0)
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                (length,) = re.findall(rb"Content-Length: ([0-9]+)", head)
                await reader.readexactly(int(length))
                if served[-1] == 1 or not alive:
                    break
                served[-1] += 1
                writer.write(reply)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    signer = signer_at(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", None, None, 10.0)
    await signer.describe_keys([KeyId("0" * 64)])
    await signer.describe_keys([KeyId("0" * 64)])
    assert served == [1, 1]
    alive = False
    with pytest.raises(SignerUnavailable):
        await signer.describe_keys([KeyId("0" * 64)])
    assert len(served) == 3
    await signer.close()
    server.close()


@pytest.mark.parametrize(("method", "path", "body", "status", "code"), [
    ("GET", "/", b"", 404, "BAD_REQUEST"),
    ("GET", "/v1/keys", b"", 405, "BAD_REQUEST"),
    ("DELETE", "/v1/keys/" + "0" * 64, b"", 405, "BAD_REQUEST"),
    ("GET", "/v1/keys/" + "0" * 64, b"", 404, "KEY_UNKNOWN"),
    ("GET", "/v1/keys/" + "A" * 64, b"", 400, "BAD_REQUEST"),
    ("GET", "/v1/keys/short", b"", 400, "BAD_REQUEST"),
    ("POST", "/v1/keys", b"", 400, "BAD_REQUEST"),
    ("POST", "/v1/keys", b"{", 400, "BAD_REQUEST"),
    ("POST", "/v1/keys", b"[" * 100_000, 400, "BAD_REQUEST"),
    ("POST", "/v1/keys", b'{"gun":"g","role":"timestamp","algorithm":"ecdsa","more":1}', 400, "BAD_REQUEST"),
    ("POST", "/v1/keys", b'{"gun":"g","role":"targets","algorithm":"ecdsa"}', 400, "BAD_REQUEST"),
    ("POST", "/v1/keys", b'{"gun":"","role":"timestamp","algorithm":"ecdsa"}', 400, "BAD_REQUEST"),
    ("POST", "/v1/keys", b'{"gun":"a\\u0000","role":"timestamp","algorithm":"ecdsa"}', 400, "BAD_REQUEST"),
    ("POST", "/v1/keys/describe", b'{"key_ids":[1]}', 400, "BAD_REQUEST"),
    ("POST", "/v1/keys/" + "0" * 64 + "/sign", b'{"gun":"g","role":"timestamp","payload":"!"}', 400, "BAD_REQUEST"),
    ("POST", "/v1/keys/" + "0" * 64 + "/sign", b'{"gun":"g","role":"timestamp","payload":"AA=="}', 404, "KEY_UNKNOWN"),
    ("POST", "/v1/keys/" + "0" * 64 + "/retire", b'{"gun":"g"}', 404, "KEY_UNKNOWN"),
])  # fmt: skip
def test_errors_have_one_form(
    daemon: Daemon, method: str, path: str, body: bytes, status: int, code: str
) -> None:
    """Every refusal is the wire's error with a code and a sentence, and repeats the request's ID."""
    answered, data, headers = daemon.ask(method, path, body, **{"X-Request-ID": "my-id.1"})
    assert (answered, data["error"]["code"]) == (status, code)
    assert data["error"]["message"]
    assert headers["X-Request-ID"] == "my-id.1"
    assert set(data) == {"error"}


def test_long_bodies_and_foreign_content_types_are_refused(daemon: Daemon) -> None:
    """A body over the limit is 413; another content type is 400; an unfit request ID is replaced."""
    status, data, _ = daemon.ask("POST", "/v1/keys", b" " * (17 << 20))
    assert (status, data["error"]["code"]) == (413, "BAD_REQUEST")
    status, data, headers = daemon.ask(
        "POST", "/v1/keys", b"{}", **{"Content-Type": "text/plain", "X-Request-ID": "not fit"}
    )
    assert status == 400
    assert headers["X-Request-ID"] not in {"", "not fit"}


def test_keys_are_described_and_retired_over_http(daemon: Daemon) -> None:
    """GET gives the key with its state; a retired key is refused with 403."""
    _, key, _ = daemon.ask("POST", "/v1/keys", b'{"gun":"retire","role":"timestamp","algorithm":"ecdsa"}')
    path = f"/v1/keys/{key['key_id']}"
    assert daemon.ask("GET", path)[1] == key
    assert set(key) == {"key_id", "algorithm", "public", "gun", "role", "state", "highest_version"}
    assert daemon.ask("POST", path + "/retire", b'{"gun":"other"}')[0] == 403
    assert daemon.ask("POST", path + "/retire", b'{"gun":"retire"}')[1]["state"] == "retired"
    payload = json.dumps({"gun": "retire", "role": "timestamp", "payload": "AA=="}).encode()
    status, data, _ = daemon.ask("POST", path + "/sign", payload)
    assert (status, data["error"]["code"]) == (403, "KEY_REFUSED")


def test_logs_tell_who_had_what_signed_and_no_secrets(daemon: Daemon) -> None:
    """Each signature leaves a line with client, key, GUN and payload hash; PIN, payloads and keys are nowhere."""
    asyncio.run(test_create_describe_sign(daemon))
    text = daemon.log.read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    signed = [line for line in lines if line.get("operation") == "sign" and line["status"] == 200]
    assert signed
    for line in signed:
        assert line["client"] == "cn:trust-server"
        assert {"key_id", "gun", "role", "version", "payload_sha256", "request_id"} <= set(line)
    assert softhsm.PIN not in text
    assert "hashes" not in text


def test_a_token_that_goes_away_shows_in_health_and_comes_back(daemon: Daemon) -> None:
    """503 with the part's name while the token is gone; 200 again without a restart."""
    assert daemon.ask("GET", "/v1/health")[:2] == (200, {"ready": True, "problems": {}})
    away = daemon.hsm.directory / "away"
    daemon.hsm.tokens.rename(away)
    try:
        status, data, _ = daemon.ask("GET", "/v1/health")
        assert (status, data["ready"], list(data["problems"])) == (503, False, ["token"])
        status, data, _ = daemon.ask(
            "POST", "/v1/keys", b'{"gun":"gone","role":"snapshot","algorithm":"ecdsa"}'
        )
        assert (status, data["error"]["code"]) == (503, "TOKEN_UNAVAILABLE")
    finally:
        away.rename(daemon.hsm.tokens)
    deadline = time.monotonic() + 20
    while daemon.ask("GET", "/v1/health")[0] != 200:
        assert time.monotonic() < deadline
        time.sleep(0.05)


async def test_a_unix_socket_and_an_orderly_stop(tmp_path: Path) -> None:
    """Over a socket of mode 0600 without TLS; SIGTERM ends the process with status 0 and its requests answered."""
    hsm = softhsm.prepare(tmp_path / "hsm")  # pytest's directories have mode 0700
    path = tmp_path / "s"
    config = configure(tmp_path, hsm, {"http_addr": f"unix://{path}"})
    command(hsm, config, "token", "init")
    command(hsm, config, "db", "upgrade")
    process, address = start(hsm, config, tmp_path / "log")
    try:
        assert address == f"unix://{path}"
        signer = signer_at("http://signer", None, str(path), 20.0)
        key = await signer.create_key(GUN, TIMESTAMP, "ecdsa")
        calls = [asyncio.create_task(signer.sign(order(TIMESTAMP, key))) for _ in range(20)]
        await calls[0]
        process.send_signal(signal.SIGTERM)
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert all(isinstance(outcome, tuple | SignerUnavailable) for outcome in outcomes)
        assert await asyncio.to_thread(process.wait, 20) == 0
        with pytest.raises(SignerUnavailable):
            await signer.ping()
        await signer.close()
    finally:
        process.kill()
        process.wait()


async def test_what_the_signer_says_is_checked() -> None:
    """A key under another ID, for another GUN, nobody asked for, or an answer that is no answer: refused."""
    answers: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", str(len(answers[-1])))
            self.end_headers()
            self.wfile.write(answers[-1])

        def log_message(self, *_words: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    signer = signer_at(f"http://127.0.0.1:{server.server_port}", None, None, 5.0)
    key_id = encoding.key_id("ecdsa", b"\0\0\0")
    key = {
        "key_id": key_id,
        "algorithm": "ecdsa",
        "public": "AAAA",
        "gun": GUN,
        "role": "timestamp",
        "state": "pending",
        "highest_version": 0,
    }
    answers.append(json.dumps(key).encode())
    assert (await signer.create_key(GUN, TIMESTAMP, "ecdsa")).key_id == key["key_id"]
    for bent in (
        {"key_id": "0" * 64},
        {"gun": "other"},
        {"role": "snapshot"},
        {"public": "AAAB"},
        {"algorithm": "rsa"},
    ):
        answers.append(json.dumps({**key, **bent}).encode())
        with pytest.raises(SignerRefused):
            await signer.create_key(GUN, TIMESTAMP, "ecdsa")
    for answer in (b"", b"{}", b"x" * (2 << 20), b"[" * 100_000):
        answers.append(answer)
        with pytest.raises(SignerRefused):
            await signer.create_key(GUN, TIMESTAMP, "ecdsa")
    answers.append(json.dumps({"keys": [key]}).encode())
    with pytest.raises(SignerRefused):
        await signer.describe_keys([KeyId("0" * 64)])
    await signer.close()
    server.shutdown()
    server.server_close()
