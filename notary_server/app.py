"""The composition root: opens everything a configuration asks for, serves, and closes it again."""

from __future__ import annotations

import asyncio
import signal
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from notary_common.collector import settle
from notary_common.command import database_target
from notary_common.database import Database, open_database
from notary_common.tls import client_context, server_context
from notary_common.values import Listen

from .config import ServerConfig, TrustService
from .http.caching import CachePolicy
from .http.call import Services, Settings
from .http.health import Health
from .http.limits import BACKLOG
from .http.listen import bind
from .http.server import HttpServer
from .metrics import Metrics
from .operations.context import Context
from .ports import RemoteSigner
from .refresher import refreshing
from .retirer import retiring
from .signing.local_signer import LocalSigner
from .signing.remote_signer import HttpSigner
from .signing.transport import Endpoint
from .storage.renewals import SqlRenewals
from .storage.retirements import SqlRetirements
from .storage.sql_store import SqlStore
from .token_issuers import open_access
from .tuf.parse import Limits


class SystemClock:
    """Implements `ports.Clock`."""

    def now_ns(self) -> int:
        """The system's time."""
        return time.time_ns()


async def serve(config: ServerConfig, ready: Callable[[str], None]) -> None:
    """Serve in this process until SIGTERM, SIGINT or SIGHUP, then let running requests finish.

    `ready` is told the address as soon as it answers.

    Raises:
        OSError: the address cannot be listened on.
        TlsError, DatabaseError: what the configuration names cannot be opened.
    """
    # Loaded before anything else opens: without its certificate this server does not start at all.
    tls = listening_tls(config)
    listeners = listen(config)
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, stopped.set)
    address = shown_address(config, listeners)
    await serve_on(config, listeners, tls, stopped, Metrics(), lambda: ready(address))


async def serve_on(
    config: ServerConfig,
    listeners: Sequence[socket.socket],
    tls: ssl.SSLContext | None,
    stopped: asyncio.Event,
    metrics: Metrics,
    ready: Callable[[], None],
) -> None:
    """Serve over these sockets until `stopped`, then let running requests finish; the sockets are closed.

    `ready` is called as soon as connections are accepted.

    Raises:
        TlsError, DatabaseError: what the configuration names cannot be opened.
    """
    async with open_services(config, metrics) as services:
        server = HttpServer(services)
        await server.start(listeners, tls)
        settle()
        try:
            ready()
            await stopped.wait()
        finally:
            await server.stop(config.limits.shutdown_timeout)


def listening_tls(config: ServerConfig) -> ssl.SSLContext | None:
    """What to listen with; None: plain HTTP.

    Raises:
        TlsError: a file cannot be used.
    """
    files = config.server
    if files.tls_cert_file is None or files.tls_key_file is None:
        return None
    return server_context(files.tls_cert_file, files.tls_key_file, files.client_ca_file)


def listen(config: ServerConfig) -> list[socket.socket]:
    """Sockets that listen on the configured address: from now on connections wait instead of being refused.

    Raises:
        OSError: the address cannot be listened on.
    """
    listeners = bind(config.server.address.host, config.server.address.port)
    for listener in listeners:
        listener.listen(BACKLOG)
    return listeners


def shown_address(config: ServerConfig, listeners: Sequence[socket.socket]) -> str:
    """The address for people, with the port that was chosen for 0."""
    scheme = "http" if config.server.tls_cert_file is None else "https"
    return f"{scheme}://{Listen(config.server.address.host or 'localhost', listeners[0].getsockname()[1])}"


@asynccontextmanager
async def open_services(config: ServerConfig, metrics: Metrics) -> AsyncIterator[Services]:
    """Database, signer and health checks of one process; closed in reverse at the end.

    Raises:
        TlsError, DatabaseError: what the configuration names cannot be opened.
    """
    limits = config.limits
    async with AsyncExitStack() as opened:
        target = database_target(config.storage, config.base_dir)
        pool = config.storage
        database = open_database(target, pool_size=pool.pool_size, pool_timeout=pool.pool_timeout)
        context = Context(
            store=await _open_store(database, limits.max_cache_bytes, target.in_memory, opened),
            signer=_open_signer(config.trust_service, metrics, opened),
            clock=SystemClock(),
            algorithm=config.trust_service.key_algorithm or "ed25519",
            limits=Limits(max_depth=limits.max_json_depth),
            max_changes=limits.max_changefeed_records,
            publishing=asyncio.Semaphore(limits.max_concurrent_publishes),
            publish_wait=limits.publish_wait,
            key_grace=config.trust_service.key_grace,
        )
        opened.push_async_callback(context.reader.close)
        settings = Settings(
            caching=CachePolicy(
                config.caching.max_age.current_metadata, config.caching.max_age.consistent_metadata
            ),
            gun_prefixes=tuple(config.repositories.gun_prefixes),
            max_upload_bytes=limits.max_upload_bytes,
            max_parts=limits.max_parts,
            request_timeout=limits.request_timeout,
        )
        access = await opened.enter_async_context(open_access(config.auth, context.clock))
        services = Services(context, settings, metrics, Health(), access)
        watching = asyncio.create_task(services.health.watch(context, services.metrics))
        opened.push_async_callback(_end, services.health, watching)
        await opened.enter_async_context(refreshing(context, SqlRenewals(database), services.metrics))
        await opened.enter_async_context(retiring(context, SqlRetirements(database), services.metrics))
        yield services


async def _end(health: Health, watching: asyncio.Task[None]) -> None:
    # Not a task group: that would wrap what goes wrong in the body, and whoever starts us wants to name it.
    health.stop()
    await watching


async def _open_store(
    database: Database, cache_bytes: int, in_memory: bool, opened: AsyncExitStack
) -> SqlStore:
    store = SqlStore(database, cache_bytes)
    opened.push_async_callback(store.close)
    if in_memory:
        from notary_common.migrate import upgrade_open  # noqa: PLC0415 - alembic would slow every start down

        await upgrade_open(database, "server", lambda _: None)
    return store


def _open_signer(trust: TrustService, metrics: Metrics, opened: AsyncExitStack) -> RemoteSigner:
    if trust.type == "local":
        return LocalSigner()
    context: ssl.SSLContext | None = None
    if any(address.socket is None for address in trust.endpoints):
        context = client_context(trust.tls_ca_file, trust.tls_client_cert, trust.tls_client_key)
    endpoints = [
        Endpoint(f"https://{address}", lambda: context)
        if address.socket is None
        else Endpoint("http://signer", lambda: None, str(address.socket))
        for address in trust.endpoints
    ]
    signer = HttpSigner(endpoints, trust.timeout, metrics.signers)
    opened.push_async_callback(signer.close)
    return signer
