"""A real daemon with clients that may do different things, a limit of new keys, and an audit log in a file."""

from __future__ import annotations

import asyncio
import base64
import ctypes
import hashlib
import http.client
import json
import os
import resource
import signal
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from deploy.local.files import overlay
from deploy.local.pki import Authority, Pair
from notary_common.tls import client_context
from notary_server.signing.remote_signer import HttpSigner
from notary_server.tuf.names import TIMESTAMP, Gun
from notary_signer.cli import main
from notary_signer.process import harden
from tests.support import softhsm
from tests.support.payloads import canonical, instant, timestamp_signed
from tests.support.softhsm import SoftHsm

from .serving import signer_at
from .test_http import command, configure, order, start

LIMIT = 5
SERVER, MONITOR, BUILDER, STRANGER = "trust-server", "monitor", "builder", "stranger"
CLIENTS = [
    {"subject_cn": SERVER, "operations": ["create_key", "describe", "sign", "retire_key", "health"]},
    {"san_dns": "monitor.example.org", "operations": ["health", "metrics"]},
    {"subject_cn": BUILDER, "operations": ["create_key", "sign"], "gun_prefixes": ["docker.io/build/"]},
]


class Signer:
    """The daemon, which can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self.hsm: SoftHsm = softhsm.prepare(folder / "hsm")
        self.authority = Authority(folder / "pki", "Test CA")
        server = self.authority.issue("signer", ["127.0.0.1"])
        self.pairs: dict[str, Pair] = {
            name: self.authority.issue(name) for name in (SERVER, BUILDER, STRANGER)
        }
        self.pairs[MONITOR] = self.authority.issue(MONITOR, ["monitor.example.org"])
        tls = {
            "http_addr": "127.0.0.1:0",
            "tls_cert_file": str(server.certificate),
            "tls_key_file": str(server.key),
            "client_ca_file": str(self.authority.files.certificate),
        }
        self.config = configure(folder, self.hsm, tls)
        self.audit = folder / "audit.jsonl"
        more = {
            "clients": CLIENTS,
            "limits": {"max_keys_per_client_per_hour": LIMIT},
            "audit": {"file": str(self.audit), "writer": "signer1"},
        }
        self.config.write_text(json.dumps(overlay(json.loads(self.config.read_text()), more)))
        self.log = folder / "log"
        command(self.hsm, self.config, "token", "init")
        command(self.hsm, self.config, "db", "upgrade")
        self.start()

    def start(self) -> None:
        self.log.write_text("")
        self.process, address = start(self.hsm, self.config, self.log)
        self.port = int(address.rpartition(":")[2])

    def end(self, number: signal.Signals) -> None:
        self.process.send_signal(number)
        self.process.wait(20)

    def client(self, name: str) -> HttpSigner:
        pair = self.pairs[name]
        context = client_context(self.authority.files.certificate, pair.certificate, pair.key)
        return signer_at(f"https://127.0.0.1:{self.port}", context, None, 20.0)

    def ask(self, client: str, method: str, path: str, body: Any = None) -> tuple[int, Any, Any]:
        pair = self.pairs[client]
        context = client_context(self.authority.files.certificate, pair.certificate, pair.key)
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=context, timeout=20)
        data = b"" if body is None else json.dumps(body).encode()
        connection.request(method, path, data, {"Content-Type": "application/json"})
        response = connection.getresponse()
        text = response.read()
        connection.close()
        kind = response.headers["Content-Type"]
        return response.status, json.loads(text) if "json" in kind else text.decode(), response.headers

    def create(self, client: str, gun: str) -> tuple[int, Any, Any]:
        return self.ask(client, "POST", "/v1/keys", {"gun": gun, "role": "timestamp", "algorithm": "ecdsa"})

    def sign(self, client: str, key_id: str, gun: str, version: int = 1) -> tuple[int, Any, Any]:
        payload = base64.b64encode(canonical(timestamp_signed(version=version))).decode()
        body = {"gun": gun, "role": "timestamp", "payload": payload}
        return self.ask(client, "POST", f"/v1/keys/{key_id}/sign", body)

    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.audit.read_text().splitlines()]

    def verify(self, *words: str) -> Result:
        return CliRunner().invoke(main, ["audit", "verify", "--config", str(self.config), *words])

    def verified(self) -> list[Any]:
        """What came of the daemon's own chain; that of `token init` lies beside it."""
        outcomes = json.loads(self.verify("--json").stdout)
        return [outcome for outcome in outcomes if outcome["writer"] == "signer1"]


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Signer]:
    """One for all tests here."""
    made = Signer(tmp_path_factory.mktemp("audited"))
    yield made
    made.end(signal.SIGTERM)


@pytest.fixture(scope="module")
def key(daemon: Signer) -> dict[str, Any]:
    """A key that the server made and used."""
    status, made, _ = daemon.create(SERVER, "docker.io/library/alpine")
    assert status == 200
    assert daemon.sign(SERVER, made["key_id"], made["gun"])[0] == 200
    return dict(made)


def test_each_client_does_what_it_may(daemon: Signer, key: dict[str, Any]) -> None:
    """By its certificate, per operation and repository; a refusal is 403 with its own code, and a record."""
    path = f"/v1/keys/{key['key_id']}"
    assert daemon.ask(SERVER, "GET", path)[0] == 200
    assert daemon.ask(MONITOR, "GET", "/v1/health")[:2] == (200, {"ready": True, "problems": {}})
    build = "docker.io/build/app"
    status, theirs, _ = daemon.create(BUILDER, build)
    assert status == 200
    assert daemon.sign(BUILDER, theirs["key_id"], build)[0] == 200
    before = len(daemon.records())
    refusals = [
        daemon.create(MONITOR, build),
        daemon.create(BUILDER, "docker.io/library/alpine"),
        daemon.sign(BUILDER, key["key_id"], "docker.io/library/alpine"),
        daemon.ask(BUILDER, "GET", path),
        daemon.ask(BUILDER, "POST", f"{path}/retire", {"gun": build}),
        daemon.ask(SERVER, "GET", "/v1/metrics"),
        daemon.ask(STRANGER, "GET", "/v1/health"),
        daemon.ask(STRANGER, "POST", "/v1/keys/describe", {"key_ids": []}),
    ]
    assert [(status, data["error"]["code"]) for status, data, _ in refusals] == [(403, "CLIENT_REFUSED")] * 8
    records = daemon.records()[before:]
    assert [record["outcome"] for record in records] == ["refused"] * 8
    assert [record["actor"] for record in records] == [
        "cn:monitor", *["cn:builder"] * 4, "cn:trust-server", *["cn:stranger"] * 2,
    ]  # fmt: skip


def test_a_record_says_what_was_signed_and_nothing_secret(daemon: Signer, key: dict[str, Any]) -> None:
    """Who, which key, version and digest; no PIN, payload, public or private key, here or in the log."""
    (signed,) = [
        record for record in daemon.records() if record["action"] == "sign" and record["gun"] == key["gun"]
        and record["outcome"] == "done"
    ]  # fmt: skip
    assert (signed["actor"], signed["role"], signed["version"]) == ("cn:trust-server", "timestamp", 1)
    assert signed["key_id"] == key["key_id"]
    assert len(signed["payload_sha256"]) == 64
    for text in (daemon.audit.read_text(), daemon.log.read_text()):
        assert softhsm.PIN not in text
        assert key["public"] not in text
        assert "hashes" not in text


def test_too_many_new_keys_wait(daemon: Signer) -> None:
    """429 with Retry-After beyond the limit; the unused key again is given out all the same."""
    for number in range(LIMIT + 1):
        status, data, headers = daemon.create(BUILDER, f"docker.io/build/many{number}")
        if status == 429:
            break
    assert (status, data["error"]["code"]) == (429, "TOO_MANY_KEYS")
    assert 1 <= int(headers["Retry-After"]) <= 3600
    assert daemon.create(BUILDER, "docker.io/build/many0")[0] == 200
    made = [
        record
        for record in daemon.records()
        if record["actor"] == "cn:builder" and record["outcome"] == "begun"
    ]
    assert len(made) == LIMIT


def test_what_is_counted(daemon: Signer, key: dict[str, Any]) -> None:
    """Requests, refusals, keys, records; the labels name no client, repository or key."""
    status, text, headers = daemon.ask(MONITOR, "GET", "/v1/metrics")
    assert status == 200
    assert headers["Content-Type"].startswith("text/plain; version=0.0.4")
    for name in (
        'notary_signer_requests_total{operation="sign",outcome="done"}',
        'notary_signer_refusals_total{code="CLIENT_REFUSED"}',
        "notary_signer_keys_created_total",
        "notary_signer_request_seconds_bucket",
        "process_resident_memory_bytes",
    ):
        assert name in text
    (records,) = [line for line in text.splitlines() if line.startswith("notary_signer_audit_records_total ")]
    assert float(records.split()[1]) == len(daemon.records())
    assert "docker.io" not in text
    assert key["key_id"] not in text
    assert SERVER not in text


async def test_a_full_disk_stops_signing_and_nothing_else(daemon: Signer, key: dict[str, Any]) -> None:
    """503 for what needs a record, health names the audit log, reads go on; room on the disk is all it takes.

    The disk is full as far as the daemon can tell: its files may not grow (RLIMIT_FSIZE).
    """
    pid = daemon.process.pid
    assert daemon.sign(SERVER, key["key_id"], key["gun"])[0] == 200
    database = max(path.stat().st_size for path in daemon.config.parent.glob("signer.db*"))
    while daemon.audit.stat().st_size <= database:
        await asyncio.gather(*(asyncio.to_thread(daemon.create, STRANGER, "g" * 255) for _ in range(20)))
    _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (daemon.audit.stat().st_size + 50, hard))
    try:
        status, data, _ = daemon.sign(SERVER, key["key_id"], key["gun"])
        assert (status, data["error"]["code"]) == (503, "TOKEN_UNAVAILABLE")
        assert "audit" in data["error"]["message"]
        status, health, _ = daemon.ask(MONITOR, "GET", "/v1/health")
        assert (status, list(health["problems"])) == (503, ["audit"])
        assert daemon.create(SERVER, "docker.io/library/full")[0] == 503
        assert daemon.ask(SERVER, "GET", f"/v1/keys/{key['key_id']}")[0] == 200
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))
    assert daemon.ask(MONITOR, "GET", "/v1/health")[0] == 200
    assert daemon.sign(SERVER, key["key_id"], key["gun"])[0] == 200
    assert [record["action"] for record in daemon.records()[-2:]] == ["audit_resumed", "sign"]
    assert [outcome["findings"] for outcome in await asyncio.to_thread(daemon.verified)] == [[]]


async def test_every_signature_has_its_record_after_a_kill(daemon: Signer) -> None:
    """SIGKILL amid signatures: what was given out is recorded, the chain goes on, and is whole."""
    gun = Gun("docker.io/library/killed")
    signer = daemon.client(SERVER)
    held = await signer.create_key(gun, TIMESTAMP, "ecdsa")
    given: list[str] = []

    async def sign(number: int) -> None:
        payload = canonical(timestamp_signed(expires=instant(number / 2)))
        await signer.sign(order(TIMESTAMP, held, gun=gun, payload=payload))
        given.append(hashlib.sha256(payload).hexdigest())
        if len(given) == 20:
            daemon.process.kill()

    await asyncio.gather(*(sign(number) for number in range(1, 61)), return_exceptions=True)
    await signer.close()
    daemon.end(signal.SIGKILL)
    with daemon.audit.open("ab") as file:
        file.write(b'{"format":1,"writer":"signer1","sequ')
    daemon.start()
    recorded = {
        record["payload_sha256"]
        for record in daemon.records()
        if record["gun"] == gun and record["action"] == "sign" and record["outcome"] == "done"
    }
    assert len(given) >= 20
    assert set(given) <= recorded
    actions = [record["action"] for record in daemon.records()]
    assert "audit_torn_line" in actions
    (outcome,) = await asyncio.to_thread(daemon.verified)
    assert outcome["whole"]
    assert outcome["writer"] == "signer1"


def test_tampering_is_found(daemon: Signer) -> None:
    """A removed line, a changed one and a cut-off end, each with its place; and again nothing when all is back."""
    good = daemon.verify()
    assert (good.exit_code, "is whole" in good.stdout) == (0, True)
    end = good.stdout.rpartition("its end: ")[2].strip()
    whole = daemon.audit.read_bytes()
    lines = whole.splitlines(keepends=True)
    for bent, said in (
        (lines[:3] + lines[4:], "record 4 is missing"),
        ([*lines[:3], lines[3].replace(b"cn:", b"cx:"), *lines[4:]], ":4: the line was altered"),
        (lines[:-2], "its end was cut off"),
    ):
        daemon.audit.write_bytes(b"".join(bent))
        done = daemon.verify("--expect-head", end)
        assert done.exit_code == 1
        assert said in done.stdout
    daemon.audit.write_bytes(whole)
    assert daemon.verify("--expect-head", end).exit_code == 0


def test_the_process_has_no_rights_and_cannot_be_looked_into(daemon: Signer) -> None:
    """As the kernel has it: no core file, no new privileges, files for its user alone, and not dumpable."""
    proc = Path(f"/proc/{daemon.process.pid}")
    (core,) = [
        line for line in (proc / "limits").read_text().splitlines() if line.startswith("Max core file size")
    ]
    assert core.split()[4:6] == ["0", "0"]
    status = dict(
        line.split(":\t", 1) for line in (proc / "status").read_text().splitlines() if ":\t" in line
    )
    assert status["NoNewPrivs"] == "1"
    assert int(status["Umask"], 8) == 0o077
    assert stat.S_IMODE(daemon.audit.stat().st_mode) == 0o600
    warned = "runs as root" in daemon.log.read_text()
    assert warned == (os.geteuid() == 0)
    if os.geteuid() != 0:
        # What belongs to a process that is not dumpable is root's.
        assert (proc / "environ").stat().st_uid == 0


def test_a_process_of_the_same_user_cannot_look_into_it() -> None:
    """Its environment is closed to its own user, and was open before (so is its memory, where that may be traced)."""

    def become_ordinary() -> None:
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            # Changing the user has made it not dumpable already; a program that is started as that user is.
            ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)

    def sees(pid: int) -> bool:
        looker = os.fork()
        if looker == 0:
            become_ordinary()
            try:
                with open(f"/proc/{pid}/environ", "rb"):  # noqa: PTH123
                    os._exit(1)
            except PermissionError:
                os._exit(0)
        return os.waitstatus_to_exitcode(os.waitpid(looker, 0)[1]) == 1

    for hardened in (False, True):
        ready, told = os.pipe()
        pid = os.fork()
        if pid == 0:
            become_ordinary()
            if hardened:
                harden()
            os.write(told, b"x")
            signal.pause()
        os.read(ready, 1)
        try:
            assert sees(pid) != hardened
        finally:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            os.close(ready)
            os.close(told)
