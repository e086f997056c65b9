"""The composition root: opens everything a configuration asks for, serves, and closes it again."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from notary_common.command import database_target
from notary_common.database import create_engine
from notary_common.migrate import upgrade_engine
from notary_common.tls import client_context, server_context
from notary_common.values import Listen

from .config import ServerConfig, TrustService
from .http.caching import CachePolicy
from .http.call import Services, Settings
from .http.health import Health
from .http.server import HttpServer
from .metrics import Metrics
from .operations.context import Context
from .ports import RemoteSigner
from .signing.local_signer import LocalSigner
from .signing.remote_signer import HttpSigner
from .storage.sql_store import SqlStore
from .tuf.parse import Limits


class SystemClock:
    """Implements `ports.Clock`."""

    def now_ns(self) -> int:
        """The system's time."""
        return time.time_ns()


async def serve(config: ServerConfig, ready: Callable[[str], None] | None = None) -> None:
    """Serve until SIGTERM or SIGINT, then let running requests finish.

    `ready` is told the address as soon as it answers.

    Raises:
        OSError: the address cannot be listened on.
        TlsError, DatabaseError: what the configuration names cannot be opened.
    """
    address = config.server.http_addr
    if address is None:
        raise ValueError("a configuration without server.http_addr is never accepted")
    # Loaded before anything else opens: without its certificate this server does not start at all.
    files = config.server
    tls = None
    if files.tls_cert_file is not None and files.tls_key_file is not None:
        tls = server_context(files.tls_cert_file, files.tls_key_file, files.client_ca_file)
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    async with open_services(config) as services:
        server = HttpServer(services)
        port = await server.start(address.host, address.port, tls)
        try:
            if ready is not None:
                shown = Listen(address.host or "localhost", port)
                ready(f"{'https' if tls else 'http'}://{shown}")
            await stopped.wait()
        finally:
            await server.stop(config.limits.shutdown_timeout)


@asynccontextmanager
async def open_services(config: ServerConfig) -> AsyncIterator[Services]:
    """Database, signer, metrics and health checks; closed in reverse at the end.

    Raises:
        TlsError, DatabaseError: what the configuration names cannot be opened.
    """
    limits = config.limits
    async with AsyncExitStack() as opened:
        context = Context(
            store=await _open_store(config, opened),
            signer=_open_signer(config.trust_service, opened),
            clock=SystemClock(),
            algorithm=config.trust_service.key_algorithm or "ed25519",
            limits=Limits(max_depth=limits.max_json_depth),
            max_changes=limits.max_changefeed_records,
            publishing=asyncio.Semaphore(limits.max_concurrent_publishes),
        )
        settings = Settings(
            caching=CachePolicy(
                config.caching.max_age.current_metadata, config.caching.max_age.consistent_metadata
            ),
            gun_prefixes=tuple(config.repositories.gun_prefixes),
            max_upload_bytes=limits.max_upload_bytes,
            max_parts=limits.max_parts,
            request_timeout=limits.request_timeout,
        )
        services = Services(context, settings, Metrics(), Health())
        watching = asyncio.create_task(services.health.watch(context, services.metrics))
        opened.push_async_callback(_end, services.health, watching)
        yield services


async def _end(health: Health, watching: asyncio.Task[None]) -> None:
    # Not a task group: that would wrap what goes wrong in the body, and whoever starts us wants to name it.
    health.stop()
    await watching


async def _open_store(config: ServerConfig, opened: AsyncExitStack) -> SqlStore:
    storage = config.storage
    target = database_target(storage, config.base_dir)
    engine = create_engine(target, pool_size=storage.pool_size, pool_timeout=storage.pool_timeout)
    store = SqlStore(engine)
    opened.push_async_callback(store.close)
    if target.in_memory:
        await upgrade_engine(engine, "server", lambda _: None)
    return store


def _open_signer(trust: TrustService, opened: AsyncExitStack) -> RemoteSigner:
    if trust.type == "local":
        return LocalSigner()
    if trust.socket is not None:
        signer = HttpSigner("http://signer", None, str(trust.socket), trust.timeout)
    else:
        context = client_context(trust.tls_ca_file, trust.tls_client_cert, trust.tls_client_key)
        host = f"[{trust.hostname}]" if ":" in (trust.hostname or "") else trust.hostname
        signer = HttpSigner(f"https://{host}:{trust.port}", context, None, trust.timeout)
    opened.push_async_callback(signer.close)
    return signer
