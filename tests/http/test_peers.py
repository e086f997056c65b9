"""Who the log says that a request came from: through proxies, and by the client's certificate."""

from __future__ import annotations

import json
import logging
import socket
import ssl
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
import structlog

from notary_common.journal import Journal
from notary_common.tls import PemFiles, make_server
from notary_server.http.audit import AuditLog
from notary_server.http.call import Settings
from notary_server.http.forwarded import Proxies
from tests.support.pki import Authority, local_pki

from .running import DEADLINE, Running, read_all

PLAIN = b"GET /v2/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
NOT_PLAIN = b"\r\n" + PLAIN
"""What follows an empty line is left to aiohttp's parser."""


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Of server and client."""
    return local_pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def server(pki: Authority) -> Iterator[Running]:
    """Behind a proxy on this machine; TLS with optional client certificates."""
    pair = pki.pair("server")
    files = PemFiles(pair.certificate, pair.key, pki.files.certificate)
    context = make_server(files.read(), ssl.CERT_OPTIONAL)
    settings = Settings(proxies=Proxies((ip_network("127.0.0.0/8"),)))
    with Running(settings, tls=lambda: context) as running:
        yield running


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[list[dict[str, Any]]]:
    """What is logged of answered requests."""
    found: list[dict[str, Any]] = []

    def keep(_logger: object, _method: str, event: Any) -> Any:
        found.append(dict(event))
        raise structlog.DropEvent

    caplog.set_level(logging.INFO, "notary")
    before = structlog.get_config()
    structlog.configure(processors=[keep])
    yield found
    structlog.configure(**before)


def _ask(server: Running, pki: Authority, request: bytes, client: str | None = None) -> None:
    context = ssl.create_default_context(cafile=str(pki.files.certificate))
    if client is not None:
        context.load_cert_chain(pki.pair(client).certificate, pki.pair(client).key)
    with (
        socket.create_connection(("127.0.0.1", server.port), timeout=DEADLINE) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as secured,
    ):
        secured.sendall(request + b"\r\n")
        assert read_all(secured).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("request_", [PLAIN, NOT_PLAIN], ids=["plain", "aiohttp"])
@pytest.mark.parametrize(
    ("fields", "address"),
    [
        (b"X-Forwarded-For: 198.51.100.1, 192.0.2.7\r\n", "192.0.2.7"),
        # A client may have sent a field of that name, to which the proxy adds another.
        (b"X-Forwarded-For: 198.51.100.1\r\nx-forwarded-for: 192.0.2.7\r\n", "192.0.2.7"),
        (b"Forwarded: for=198.51.100.1\r\n", None),
        (b"", None),
    ],
)
def test_an_address_told_by_a_proxy(
    server: Running,
    pki: Authority,
    lines: list[dict[str, Any]],
    request_: bytes,
    fields: bytes,
    address: str | None,
) -> None:
    """The last that is not a proxy's; without one that of the connection, with its port."""
    _ask(server, pki, request_ + fields)
    (line,) = lines
    if address is None:
        assert line["http.request.remoteaddr"].startswith("127.0.0.1:")
    else:
        assert line["http.request.remoteaddr"] == address
    assert "tls.client.subject" not in line


@pytest.mark.parametrize("request_", [PLAIN, NOT_PLAIN], ids=["plain", "aiohttp"])
def test_a_client_is_named_by_its_certificate(
    server: Running, pki: Authority, lines: list[dict[str, Any]], request_: bytes
) -> None:
    """Where it shows one, though it need not."""
    _ask(server, pki, request_, "server-client")
    assert [line["tls.client.subject"] for line in lines] == ["notary-server"]


def test_the_audit_log_names_a_client_by_its_certificate(pki: Authority, tmp_path: Path) -> None:
    """Where no token says who it is, whichever part of the server reads the request."""
    pair = pki.pair("server")
    context = make_server(
        PemFiles(pair.certificate, pair.key, pki.files.certificate).read(), ssl.CERT_OPTIONAL
    )
    path = tmp_path / "audit.log"
    requests = (b"GET /v2/g/_trust/tuf/timestamp.key", b"DELETE /v2/g/_trust/tuf/")
    with Running(tls=lambda: context, audit=AuditLog(Journal(path, 1 << 20, 1))) as running:
        for client in ("server-client", None):
            for request in requests:
                _ask(running, pki, request + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n", client)
    entries = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(entry["action"], entry["identity"], entry["issuer"]) for entry in entries] == [
        ("get key", "notary-server", ""), ("delete", "notary-server", ""), ("get key", "", ""), ("delete", "", ""),
    ]  # fmt: skip
