"""The TLS of the signer's listener: where its certificates come from, and that they are watched."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from notary_common.tls import PemFiles, ReloadingContext, Source, make_server
from notary_common.tls.watch import Watcher

from .config import Server


@asynccontextmanager
async def open_listener(server: Server, watcher: Watcher) -> AsyncIterator[ReloadingContext | None]:
    """What to listen with, watched by `watcher`; None on a Unix socket.

    Every client must show a certificate: without one anybody could sign.

    Raises:
        TlsError: a file cannot be used, or the Workload API gives no certificate.
    """
    if server.address.socket is not None:
        yield None
    elif server.tls_source == "spiffe":
        from notary_common.tls.spiffe import open_svids  # noqa: PLC0415 - gRPC, which is an extra

        assert server.spiffe_socket is not None, "an accepted configuration has one"  # noqa: S101
        async with open_svids(server.spiffe_socket, watcher.wake) as svids:
            yield _watched(svids, watcher)
    else:
        assert server.client_ca_file is not None, "an accepted configuration has one"  # noqa: S101
        yield _watched(PemFiles(server.tls_cert_file, server.tls_key_file, server.client_ca_file), watcher)


def _watched(source: Source, watcher: Watcher) -> ReloadingContext:
    made = ReloadingContext("listener", "client_ca", source, make_server, "server", in_place=True)
    watcher.add(made)
    return made
