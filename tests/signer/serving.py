"""The signer's HTTP API in this process, over plain TCP."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from notary_server.metrics import SignerMetrics
from notary_server.signing.remote_signer import HttpSigner
from notary_server.signing.transport import Endpoint
from notary_signer.audit.log_line import RequestLine
from notary_signer.audited import AuditedSigner
from notary_signer.clients import ClientRule, Clients, Identity
from notary_signer.creations import CreationLimit
from notary_signer.http.routes import build_server
from notary_signer.metrics import Metrics
from notary_signer.operations import SignerService
from notary_signer.ports import AuditLog

CLIENT = Identity("cn:trust-server", subject_cn="trust-server")
"""Who every caller is taken for: there is no TLS here."""


def audited(
    service: SignerService,
    audit: AuditLog | None = None,
    *,
    rules: tuple[ClientRule, ...] | None = None,
    keys_per_hour: int = 1000,
    metrics: Metrics | None = None,
) -> AuditedSigner:
    """`service` as the daemon offers it."""
    return AuditedSigner(
        service,
        service._registry,
        audit or RequestLine(),
        Clients(rules, own_uid=0),
        CreationLimit(keys_per_hour),
        metrics or Metrics(),
    )


@asynccontextmanager
async def served(service: SignerService) -> AsyncIterator[str]:
    """The address of `service` while the block runs."""
    metrics = Metrics()
    server = build_server(
        audited(service, metrics=metrics), metrics, max_request_bytes=1 << 20, request_timeout=5.0,
        line_is_record=True, identified=lambda _: CLIENT,
    )  # fmt: skip
    runner = web.ServerRunner(server)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def signer_at(
    url: str, tls: ssl.SSLContext | None = None, unix_socket: str | None = None, timeout: float = 10.0
) -> HttpSigner:
    """The server's side of the one signer at `url`."""
    return HttpSigner([Endpoint(url, lambda: tls, unix_socket)], timeout, SignerMetrics(None))
