"""The composition root: opens everything a configuration asks for, serves, and closes it again."""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from notary_common.bind import bind
from notary_common.collector import settle
from notary_common.command import database_target
from notary_common.database import Database, open_database
from notary_common.guests import connections
from notary_common.health import Health
from notary_common.journal import Journal
from notary_common.management import listen_for_management, managing
from notary_common.tls import ReloadingContext
from notary_common.tracing import traced, tracing
from notary_common.values import Listen

from .auth.token_access import TokenAccess
from .background import running
from .certificates import Certificates, listening_tls, open_certificates
from .config import ServerConfig, TrustService
from .config.audit import Audit
from .expiry.scanner import Scanner
from .http.audit import AuditLog
from .http.caching import CachePolicy
from .http.call import Services, Settings
from .http.forwarded import Proxies
from .http.limits import BACKLOG
from .http.rate import RateLimits, Rates
from .http.server import HttpServer
from .metrics import Metrics
from .notify.deliverer import delivering
from .operations.change_stream import Streams
from .operations.context import Context
from .operations.health import CHECKS, DATABASE, check
from .part_metrics import PartMetrics
from .ports import RemoteSigner
from .refresher import Refresher
from .retirer import Retirer
from .signing.local_signer import LocalSigner
from .signing.remote_signer import HttpSigner
from .signing.transport import Endpoint
from .storage.expiries import SqlExpiries
from .storage.renewals import SqlRenewals
from .storage.retirements import SqlRetirements
from .storage.sql_store import SqlStore
from .storage.webhooks import SqlWebhooks
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
    listeners, management = listen(config), listen_for_management(config.management)
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, stopped.set)
    address = shown_address(config, listeners)
    await serve_on(config, listeners, management, tls, stopped, Metrics(), lambda: ready(address))


async def serve_on(
    config: ServerConfig,
    listeners: Sequence[socket.socket],
    management: Sequence[socket.socket],
    tls: ReloadingContext | None,
    stopped: asyncio.Event,
    metrics: Metrics,
    ready: Callable[[], None],
) -> None:
    """Serve over these sockets until `stopped`, then let running requests finish; the sockets are closed.

    Args:
        management: listening for probes and metrics; may be none.
        tls: from `listening_tls`.
        ready: called as soon as connections are accepted.

    Raises:
        TlsError, DatabaseError: what the configuration names cannot be opened.
    """
    async with (
        tracing(config.tracing, "notary-server"),
        open_certificates(config, tls, metrics) as certificates,
        open_services(config, metrics, certificates) as services,
        # Without a signer reads go on, so that does not count: else no instance were left to serve them.
        managing(management, services.health, {DATABASE}, metrics.exposition, stopped),
    ):
        server = HttpServer(services)
        listener = certificates.listener
        await server.start(listeners, None if listener is None else listener.current)
        settle()
        try:
            ready()
            await stopped.wait()
        finally:
            await server.stop(config.limits.shutdown_timeout)


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
    scheme = "https" if config.server.secure else "http"
    return f"{scheme}://{Listen(config.server.address.host or 'localhost', listeners[0].getsockname()[1])}"


@asynccontextmanager
async def open_services(
    config: ServerConfig, metrics: Metrics, certificates: Certificates
) -> AsyncIterator[Services]:
    """Database, signer and health checks of one process; closed in reverse at the end.

    From here on all certificates are watched.

    Raises:
        TlsError, DatabaseError: what the configuration names cannot be opened.
    """
    limits = config.limits
    async with AsyncExitStack() as opened:
        context, database = await _open_context(config, metrics, certificates, opened)
        settings = Settings(
            caching=CachePolicy(
                config.caching.max_age.current_metadata, config.caching.max_age.consistent_metadata
            ),
            gun_prefixes=tuple(config.repositories.gun_prefixes),
            max_upload_bytes=limits.max_upload_bytes,
            max_parts=limits.max_parts,
            max_buffered_bytes=limits.max_buffered_bytes,
            max_unread_bytes=limits.max_unread_bytes,
            min_upload_rate=limits.min_upload_rate,
            max_connections=connections(limits.max_connections),
            max_client_connections=limits.max_client_connections,
            header_timeout=limits.header_timeout,
            request_timeout=limits.request_timeout,
            proxies=Proxies(config.server.trusted_proxies, config.server.forwarded_header),
            targets_base_urls=config.repositories.targets_base_urls,
            trust_client_traces=config.tracing.trust_clients,
        )
        rates = RateLimits(
            limits.client_writes, limits.repository_writes, limits.client_keys, limits.repository_keys
        )
        audit = _open_audit(config.audit)
        await opened.enter_async_context(audit.kept())
        access = await opened.enter_async_context(open_access(config.auth, context.clock))
        if isinstance(access, TokenAccess):
            certificates.watcher.add(access)
        streams = Streams(limits.max_streams, limits.max_client_streams)
        services = Services(context, settings, metrics, Health(), access, Rates(rates), audit, streams)
        await opened.enter_async_context(
            services.health.watching(CHECKS, lambda: check(context), partial(tell_health, metrics))
        )
        await opened.enter_async_context(certificates.watcher.running())
        for worker in (
            Refresher(context, SqlRenewals(database), metrics),
            Retirer(context, SqlRetirements(database), metrics),
            Scanner(database, context.clock, metrics),
        ):
            await opened.enter_async_context(running(worker))
        await opened.enter_async_context(
            delivering(
                config.notifications,
                context.store,
                SqlWebhooks(database),
                SqlExpiries(database),
                context.clock,
                services.metrics,
            )
        )
        yield services


def tell_health(metrics: Metrics, problems: Mapping[str, str]) -> None:
    """Show in the metrics which of the checks found a problem."""
    for name in CHECKS:
        metrics.check(name, operational=name not in problems)


@asynccontextmanager
async def open_context(config: ServerConfig) -> AsyncIterator[Context]:
    """Database and signer alone, for commands; closed at the end. Certificates are read once.

    Raises:
        TlsError, DatabaseError: what the configuration names cannot be opened.
    """
    metrics = Metrics()
    async with open_certificates(config, None, metrics) as certificates, AsyncExitStack() as opened:
        context, _ = await _open_context(config, metrics, certificates, opened)
        yield context


async def _open_context(
    config: ServerConfig, metrics: Metrics, certificates: Certificates, opened: AsyncExitStack
) -> tuple[Context, Database]:
    limits = config.limits
    target = database_target(config.storage, config.base_dir)
    pool = config.storage
    database = open_database(target, pool_size=pool.pool_size, pool_timeout=pool.pool_timeout)
    if database.tls is not None:
        certificates.watcher.add(database.tls)
    store = await _open_store(database, limits.max_cache_bytes, target.in_memory, opened)
    _watch(metrics.parts, store, database)
    context = Context(
        store=traced(store, "database"),
        signer=_open_signer(config.trust_service, certificates.signer, metrics, opened),
        clock=SystemClock(),
        algorithm=config.trust_service.key_algorithm or "ed25519",
        limits=Limits(
            max_bytes=limits.max_file_bytes,
            max_values=limits.max_json_values,
            max_depth=limits.max_json_depth,
            max_signatures=limits.max_signatures,
            max_keys=limits.max_keys,
            max_delegations=limits.max_delegations,
        ),
        max_changes=limits.max_changefeed_records,
        publishing=asyncio.Semaphore(limits.max_concurrent_publishes),
        publish_wait=limits.publish_wait,
        key_grace=config.trust_service.key_grace,
    )
    opened.push_async_callback(context.reader.close)
    return context, database


def _watch(parts: PartMetrics, store: SqlStore, database: Database) -> None:
    parts.watch("cache_hits", lambda: store.reads.hits)
    parts.watch("cache_misses", lambda: store.reads.misses)
    parts.watch("cache_bytes", lambda: store.reads.size)
    parts.watch("cache_limit_bytes", lambda: store.reads.limit)
    parts.watch("database_connections_in_use", lambda: database.use.in_use)
    parts.watch("database_connections_limit", lambda: database.use.limit)
    parts.watch("database_waits", lambda: database.use.waits)


async def _open_store(
    database: Database, cache_bytes: int, in_memory: bool, opened: AsyncExitStack
) -> SqlStore:
    store = SqlStore(database, cache_bytes)
    opened.push_async_callback(store.close)
    if in_memory:
        from notary_common.migrate import upgrade_open  # noqa: PLC0415 - alembic would slow every start down

        await upgrade_open(database, "server", lambda _: None)
    return store


def _open_audit(audit: Audit) -> AuditLog:
    if audit.file is None:
        return AuditLog()
    return AuditLog(Journal(audit.file, audit.max_bytes, audit.kept_files))


def _open_signer(
    trust: TrustService, tls: ReloadingContext | None, metrics: Metrics, opened: AsyncExitStack
) -> RemoteSigner:
    if trust.type == "local":
        return LocalSigner()
    signer = HttpSigner(endpoints(trust, tls), trust.timeout, metrics.signers)
    opened.push_async_callback(signer.close)
    return signer


def endpoints(trust: TrustService, tls: ReloadingContext | None) -> list[Endpoint]:
    """Where the signers are; `tls`: what to connect with, None where all of them listen on sockets of this machine."""
    return [
        Endpoint("http://signer", lambda: None, str(address.socket))
        if address.socket is not None or tls is None
        else Endpoint(f"https://{address}", tls.current)
        for address in trust.endpoints
    ]
