"""Server, signer and PostgreSQL, each of which knows the others by certificates that are replaced again and again."""

from __future__ import annotations

import json
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from tests.faults.repository import Repository
from tests.publisher import Client, Reply
from tests.support.pki import LOCAL_NAMES, Authority, Pair
from tests.support.postgres import PostgresCluster
from tests.support.stack import Stack

from .mount import Mount

DEADLINE = 30.0
GENERATIONS = 6
PARTS = ("listener", "signer", "signer_client", "database_server", "database_client")
"""Who shows a certificate."""


def eventually(holds: Callable[[], bool], what: str) -> None:
    """Return as soon as `holds`.

    Raises:
        AssertionError: it did not in time; `what` names it.
    """
    deadline = time.monotonic() + DEADLINE
    while not holds():
        assert time.monotonic() < deadline, f"not in {DEADLINE:g} seconds: {what}"
        time.sleep(0.02)


class Load(threading.Thread):
    """Asks without pause; `failed` holds whatever was no 200."""

    def __init__(self, ask: Callable[[], Reply]) -> None:
        super().__init__(daemon=True)
        self.ask = ask
        self.answered = 0
        self.failed: list[str] = []
        self.stopping = threading.Event()

    def run(self) -> None:
        """Until `stopping`."""
        while not self.stopping.is_set():
            try:
                reply = self.ask()
            except OSError as error:
                self.failed.append(repr(error))
            else:
                self.answered += 1
                if reply.status != 200:
                    self.failed.append(str(reply))


class Fleet:
    """The processes and their certificates; two workers serve.

    Attributes:
        authorities: of each generation; the first is in use at the start.
        generation: of the certificates that are shown.
        client: believes all of them.
    """

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self._monkeypatch = monkeypatch
        self._lives = 400
        self.generation = 0
        self.authorities = [
            Authority(folder / f"ca{number}", f"CA {number}") for number in range(GENERATIONS)
        ]
        everybody = folder / "everybody.pem"
        everybody.write_bytes(b"".join(one.files.certificate.read_bytes() for one in self.authorities))
        self.mounts = {part: Mount(folder / "mounts" / part) for part in PARTS}
        self.shown: dict[str, Pair] = {}
        self.cluster = self._postgres()
        mounts, port = self.mounts, self.cluster.port
        client = mounts["database_client"]
        database = (
            f"postgres://notary@localhost:{port}/{{}}?sslmode=verify-full&sslrootcert={client.authorities}"
            f"&sslcert={client.certificate}&sslkey={client.key}"
        )
        self.stack = Stack(
            folder / "stack",
            databases=(database.format("server"), database.format("signer")),
            server_changes={
                "server": {**_listening(mounts["listener"]), "client_auth": "optional"},
                "trust_service": {
                    "tls_ca_file": str(mounts["signer_client"].authorities),
                    "tls_client_cert": str(mounts["signer_client"].certificate),
                    "tls_client_key": str(mounts["signer_client"].key),
                },
            },
            signer_changes={"server": _listening(mounts["signer"])},
        )
        self.stack.ca_file = everybody
        self.stack.server.options = ("--workers", "2")
        self.client = Client(self.stack.url, str(everybody))

    def _postgres(self) -> PostgresCluster:
        settings = {
            "ssl": "on",
            "ssl_cert_file": "'tls.crt'",
            "ssl_key_file": "'tls.key'",
            "ssl_ca_file": "'ca.crt'",
            "fsync": "off",
        }
        cluster = PostgresCluster.temporary(settings=settings)
        cluster.make()
        cluster.put(
            "pg_hba.conf",
            b"hostssl all notary 127.0.0.1/32 cert\nhostssl all postgres 127.0.0.1/32 trust\n",
        )
        return cluster

    def start(self) -> None:
        """With the first generation."""
        self.issue(0, believed=(0,))
        self.cluster.start()
        self.cluster.sql("CREATE ROLE notary LOGIN; CREATE DATABASE server OWNER notary")
        self.cluster.sql("CREATE DATABASE signer OWNER notary")
        self.stack.server_client = self.shown["signer_client"]
        self.stack.start()

    def close(self) -> None:
        """Kill everything."""
        self.stack.destroy()
        self.cluster.close()

    def issue(self, generation: int, believed: tuple[int, ...]) -> None:
        """New certificates for everybody, of this generation's authority; those of `believed` are believed."""
        # Each outlives those before, so that the metric of the oldest worker tells when all have it.
        self._lives += 1
        self.generation = generation
        self._monkeypatch.setattr("deploy.local.pki.LIFETIME", timedelta(days=self._lives))
        authority = self.authorities[generation]
        bundle = b"".join(self.authorities[one].files.certificate.read_bytes() for one in believed)
        for part, mount in self.mounts.items():
            common_name = {"signer_client": "notary-server", "database_client": "notary"}.get(part)
            pair = authority.issue(part, LOCAL_NAMES if common_name is None else (), common_name=common_name)
            self.shown[part] = pair
            mount.put(pair.certificate.read_bytes(), pair.key.read_bytes(), bundle)
        mount = self.mounts["database_server"]
        for path in (mount.certificate, mount.key, mount.authorities):
            self.cluster.put(path.name, path.read_bytes())
        if self.cluster.pid is not None:
            self.cluster.sql("SELECT pg_reload_conf()")

    def taken(self) -> bool:
        """Whether everybody shows what was issued last."""
        return (
            all(
                self.metric("certificate_not_after_seconds", use) >= not_after(self.shown[use])
                for use in ("listener", "signer_client", "database_client")
            )
            and self.sees(self.stack.signer_port, "signer")
            and self.stack.signer_log.count(_expires(self.shown["database_client"], "database_client")) > 0
        )

    def sees(self, port: int, part: str) -> bool:
        """Whether who listens there shows the certificate of `part`."""
        found = handshake(port, self.stack.ca_file, self.shown["signer_client"])
        return found == ssl.PEM_cert_to_DER_cert(self.shown[part].certificate.read_text())

    def metric(self, name: str, use: str) -> float:
        """Of all workers together."""
        return metric(self.client, name, use)


@contextmanager
def loads(client: Client) -> Iterator[list[Load]]:
    """Reads and publishes for as long as the block lasts, none of which fails."""
    read, written = Repository(client), Repository(client)
    assert read.publish(1).status == 200
    published = iter(range(1, 100_000))
    running = [
        Load(lambda: client.role(read.gun, "timestamp.json")),
        Load(lambda: client.get("/v2/")),
        Load(lambda: written.publish(next(published))),
    ]
    for load in running:
        load.start()
    try:
        yield running
    finally:
        for load in running:
            load.stopping.set()
        for load in running:
            load.join(60)
    assert [load.failed for load in running] == [[], [], []]


def handshake(port: int, ca_file: Path, shown: Pair) -> bytes:
    """The certificate that is shown to who shows this one, on a new connection."""
    context = ssl.create_default_context(cafile=str(ca_file))
    context.load_cert_chain(shown.certificate, shown.key)
    with (
        socket.create_connection(("localhost", port), timeout=20) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as secured,
    ):
        return secured.getpeercert(binary_form=True) or b""


def metric(client: Client, name: str, use: str) -> float:
    """A metric about certificates; -1 if there is none for this use."""
    text = client.get("/metrics").body.decode()
    found = re.search(rf'^notary_server_{name}\{{use="{use}"\}} (\S+)$', text, re.MULTILINE)
    return float(found[1]) if found else -1.0


def not_after(pair: Pair) -> float:
    """When a certificate ends."""
    return x509.load_pem_x509_certificate(pair.certificate.read_bytes()).not_valid_after_utc.timestamp()


def _listening(mount: Mount) -> dict[str, str]:
    return {
        "tls_cert_file": str(mount.certificate),
        "tls_key_file": str(mount.key),
        "client_ca_file": str(mount.authorities),
    }


def _expires(pair: Pair, use: str) -> str:
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(not_after(pair)))
    return json.dumps({use: moment})[1:-1]
