"""The TLS of one server process: where its certificates come from, and who watches them."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from notary_common.tls import Material, PemFiles, ReloadingContext, Source, make_client, make_server
from notary_common.tls.peer_id import Peers, make_client_of
from notary_common.tls.watch import Watcher

from .config import ServerConfig
from .metrics import Metrics

_ASKED = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}


@dataclass(frozen=True, slots=True)
class Certificates:
    """What connections are made with.

    Attributes:
        listener: towards clients; None: plain HTTP.
        signer: towards the signer; None: it is not asked over TLS.
        watcher: watches these two; what else is to be watched is added before `watching`.
    """

    listener: ReloadingContext | None
    signer: ReloadingContext | None
    watcher: Watcher


def tls_files(config: ServerConfig) -> tuple[dict[str, Path | None], ...]:
    """The TLS files towards clients and towards the signer: certificate, key and CA, by their keys in the configuration."""
    server, trust = config.server, config.trust_service
    return (
        {
            "server.tls_cert_file": server.tls_cert_file,
            "server.tls_key_file": server.tls_key_file,
            "server.client_ca_file": server.client_ca_file,
        },
        {
            "trust_service.tls_client_cert": trust.tls_client_cert,
            "trust_service.tls_client_key": trust.tls_client_key,
            "trust_service.tls_ca_file": trust.tls_ca_file,
        },
    )


def listening_tls(config: ServerConfig, svids: Source | None = None) -> ReloadingContext | None:
    """What to listen with; None: plain HTTP, or certificates that only the serving process itself can get.

    Args:
        svids: where those come from, where that is open.

    Raises:
        TlsError: a file cannot be used.
    """
    server = config.server
    asked = _ASKED[server.asked_of_clients]
    source: Source
    if server.tls_source == "spiffe":
        if svids is None:
            return None
        source = svids
    elif server.tls_cert_file is not None:
        authorities = server.client_ca_file if asked != ssl.CERT_NONE else None
        source = PemFiles(server.tls_cert_file, server.tls_key_file, authorities)
    else:
        return None

    def make(material: Material) -> ssl.SSLContext:
        return make_server(material, asked)

    return ReloadingContext("listener", "client_ca", source, make, "server", in_place=True)


def signing_tls(config: ServerConfig, svids: Source | None) -> ReloadingContext | None:
    """What to connect to the signer with; None where that needs no TLS.

    Raises:
        TlsError: a file cannot be used.
    """
    trust = config.trust_service
    if trust.type != "remote" or all(address.socket is not None for address in trust.endpoints):
        return None
    files = PemFiles(trust.tls_client_cert, trust.tls_client_key, trust.tls_ca_file)
    source: Source = svids if trust.tls_source == "spiffe" and svids is not None else files
    make = make_client if trust.spiffe_id is None else partial(make_client_of, trust.spiffe_id)
    return ReloadingContext("signer_client", "signer_ca", source, make, "client", peers=("signer", Peers()))


@asynccontextmanager
async def open_certificates(
    config: ServerConfig, listener: ReloadingContext | None, metrics: Metrics
) -> AsyncIterator[Certificates]:
    """Everything this process shows and believes.

    Args:
        listener: made before already, where that could be.

    Raises:
        TlsError: a file cannot be used, or the Workload API gives no certificate.
    """
    watcher = Watcher(partial(_show, metrics))
    if "spiffe" not in {config.server.tls_source, config.trust_service.tls_source}:
        yield _watched(listener, signing_tls(config, None), watcher)
        return
    from notary_common.tls.spiffe import open_svids  # noqa: PLC0415 - gRPC, which is an extra

    assert config.server.spiffe_socket is not None, "an accepted configuration has one"  # noqa: S101
    async with open_svids(config.server.spiffe_socket, watcher.wake) as svids:
        yield _watched(listener or listening_tls(config, svids), signing_tls(config, svids), watcher)


def _watched(
    listener: ReloadingContext | None, signer: ReloadingContext | None, watcher: Watcher
) -> Certificates:
    for some in (listener, signer):
        if some is not None:
            watcher.add(some)
    return Certificates(listener, signer, watcher)


def _show(metrics: Metrics, watcher: Watcher) -> None:
    for use, not_after in watcher.expiries().items():
        metrics.certificate(use, not_after)
    for use, failed in watcher.failed().items():
        metrics.certificate_reload(use, failed=failed)
