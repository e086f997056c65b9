"""The signer's composition root: one context manager opens and closes everything."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import timedelta

from aiohttp import web

from notary_common.collector import settle
from notary_common.database import Database, DatabaseError, open_database, parse_url
from notary_common.health import Health
from notary_common.log import get_logger
from notary_common.management import ManagementUnavailable, listen_for_management, managing
from notary_common.schema import tables_problem
from notary_common.tls import TlsError
from notary_common.tls.watch import Watcher
from notary_common.tracing import traced, tracing
from notary_common.wire import Algorithm, OnlineRole

from .audit.chain import ChainedLog
from .audit.log_line import LogLine
from .audit.record import SIGNER
from .audited import PARTS, AuditedSigner
from .auditing import OperatorLog, daemon_log
from .certificates import open_listener
from .clients import Clients
from .config import SignerConfig
from .config.limits import Limits
from .creations import CreationLimit
from .errors import SignerError, StartRefused
from .http.routes import build_server
from .lifecycle import collecting
from .listen import listen
from .metrics import Metrics
from .operations import SignerService
from .ports import Keeping
from .process import harden
from .registry.catalogue import SqlCatalogue
from .registry.sql_registry import SqlRegistry
from .token.hardware import HardwareToken, OnCall
from .token.state import STATES

_log = get_logger("notary.signer")


@asynccontextmanager
async def open_signer(
    config: SignerConfig, metrics: Metrics, watcher: Watcher
) -> AsyncIterator[AuditedSigner]:
    """The signer ready to sign: the schema fits, the token has proved every algorithm, the audit log can be written.

    Args:
        watcher: shall watch the database's certificates, too.

    Raises:
        StartRefused: something is wrong with the database, the token or the audit log.
    """
    async with AsyncExitStack() as stack:
        database = await open_registry_database(config, stack)
        if database.tls is not None:
            watcher.add(database.tls)
        registry = traced(SqlRegistry(database, _foreign), "registry")
        token, proved = await open_token(config, stack, metrics.token_call)
        watch_token(metrics, token)
        watch_database(metrics, database)
        for algorithm, keeping in proved.items():
            _log.info("the token proved an algorithm", algorithm=algorithm, keys_are_kept=keeping)
        audit = await stack.enter_async_context(daemon_log(config, database))
        if isinstance(audit, ChainedLog):
            watch_audit(metrics, audit)
        journal = OperatorLog(SIGNER, audit if isinstance(audit, ChainedLog) else LogLine())
        keep = timedelta(days=config.limits.pending_key_days)
        task = asyncio.create_task(collecting(SqlCatalogue(database), token, journal, keep, _not_collected))
        stack.push_async_callback(_end, task)
        yield AuditedSigner(
            SignerService(registry, token, _lifetimes(config.limits)),
            registry,
            audit,
            Clients(config.clients, os.geteuid()),
            CreationLimit(config.limits.max_keys_per_client_per_hour),
            metrics,
        )


def _lifetimes(limits: Limits) -> dict[OnlineRole, timedelta]:
    return {
        "snapshot": timedelta(days=limits.max_snapshot_days),
        "timestamp": timedelta(days=limits.max_timestamp_days),
    }


def watch_audit(metrics: Metrics, audit: ChainedLog) -> None:
    """Show what the audit log counts."""
    metrics.watch("counter", "notary_signer_audit_records", "Records made durable.", lambda: audit.written)
    metrics.watch(
        "counter",
        "notary_signer_audit_failures",
        "Records that could not be written.",
        lambda: audit.failures,
    )


def watch_token(metrics: Metrics, token: HardwareToken) -> None:
    """Show how the token is."""
    metrics.watch_state("notary_signer_token_state", "What the token is doing.", STATES, lambda: token.state)
    metrics.watch("gauge", "notary_signer_token_sessions", "Open sessions.", lambda: token.sessions)
    metrics.watch(
        "gauge", "notary_signer_token_handles", "Keys that are ready in the token.", lambda: token.handles
    )

    metrics.watch("gauge", "notary_signer_token_load", "Calls not answered yet.", lambda: token.load)


def watch_database(metrics: Metrics, database: Database) -> None:
    """Show how much of the pool of connections is in use."""
    metrics.watch(
        "gauge",
        "notary_signer_database_connections_in_use",
        "Connections to the registry's database that are taken.",
        lambda: database.use.in_use,
    )
    metrics.watch(
        "gauge",
        "notary_signer_database_connections_limit",
        "Connections to the registry's database that there may be.",
        lambda: database.use.limit,
    )
    metrics.watch(
        "counter",
        "notary_signer_database_waits",
        "Times that work waited for a connection as all of the pool were taken.",
        lambda: database.use.waits,
    )


def watch_certificates(metrics: Metrics, watcher: Watcher) -> None:
    """Show how long the certificates in use are good for."""
    expiry = "When the certificate in use expires, in seconds since 1970, by what it is used for."
    failure = "Whether new certificates were there and could not be taken, by what they are used for."
    metrics.watch_each("notary_signer_certificate_not_after_seconds", expiry, "use", watcher.expiries)
    metrics.watch_each("notary_signer_certificate_reload_failed", failure, "use", watcher.failed)


async def open_registry_database(config: SignerConfig, stack: AsyncExitStack) -> Database:
    """The registry's database, whose schema fits; closed with `stack`.

    Raises:
        StartRefused: something is wrong with it.
    """
    storage = config.storage
    url = "" if storage.db_url is None else storage.db_url.get_secret_value()
    try:
        target = parse_url(storage.backend or "", url, config.base_dir)
        database = open_database(target, pool_size=storage.pool_size, pool_timeout=storage.pool_timeout)
        stack.push_async_callback(database.close)
        if target.in_memory:
            from notary_common.migrate import upgrade_open  # noqa: PLC0415 - alembic would slow every start down

            await upgrade_open(database, "signer", _log.debug)
        problem = await tables_problem(database, "signer")
    except DatabaseError as error:
        raise StartRefused(str(error)) from None
    if problem is not None:
        raise StartRefused(problem)
    return database


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def _not_collected(error: SignerError) -> None:
    _log.warning("unused keys were not collected; the next sweep tries again", cause=error.message)


def _foreign(key_id: str) -> None:
    _log.warning(
        "a key was asked for that Notary's own signer encrypted under a passphrase; this signer does not hold it",
        key_id=key_id,
    )


async def open_token(
    config: SignerConfig, stack: AsyncExitStack, on_call: OnCall = lambda *_: None
) -> tuple[HardwareToken, dict[Algorithm, Keeping]]:
    """The token, logged in, and how it keeps the keys of each algorithm that it proved; closed with `stack`.

    Raises:
        StartRefused: it cannot be used.
    """
    pkcs11 = config.pkcs11
    if pkcs11.pin_file is None:
        raise StartRefused("pkcs11.pin_file is missing")
    token = HardwareToken(
        pkcs11.settings(config.limits.max_loaded_keys),
        on_event=_log.warning,
        on_call=on_call,
        max_waiting=config.limits.max_waiting,
        deadline=pkcs11.call_timeout,
    )
    stack.push_async_callback(token.close)
    return token, await token.open()


async def serve(config: SignerConfig, ready: Callable[[str], None] | None = None) -> None:
    """Run until SIGTERM, SIGINT or SIGHUP, then finish the requests that run and close everything.

    Args:
        config: an accepted configuration.
        ready: called with the address once a signature could be made over it.

    Raises:
        StartRefused: the signer cannot start; nothing is left open.
    """
    for problem in harden():
        _log.warning(problem)
    stop = _stop_signal()
    async with AsyncExitStack() as opened:
        await opened.enter_async_context(tracing(config.tracing, "notary-signer"))
        metrics, watcher = Metrics(), Watcher()
        try:
            listener = await opened.enter_async_context(open_listener(config.server, watcher))
        except TlsError as error:
            raise StartRefused(str(error)) from None
        try:
            management = listen_for_management(config.management)
        except ManagementUnavailable as error:
            raise StartRefused(str(error)) from None
        signer = await opened.enter_async_context(open_signer(config, metrics, watcher))
        health = Health()
        await opened.enter_async_context(health.watching(PARTS, signer.condition))
        await opened.enter_async_context(managing(management, health, PARTS, metrics.exposition, stop))
        watch_certificates(metrics, watcher)
        await opened.enter_async_context(watcher.running())
        server = build_server(
            signer,
            metrics,
            max_request_bytes=config.limits.max_request_bytes,
            request_timeout=config.limits.request_timeout,
            line_is_record=config.audit.destination == "log",
        )
        runner = web.ServerRunner(
            server,
            handle_signals=False,
            shutdown_timeout=config.limits.shutdown_timeout,
        )
        await runner.setup()
        try:
            address = await listen(runner, config.server, listener)
            settle()
            if ready is not None:
                ready(address)
            await stop.wait()
            _log.info("stopping: finishing the requests that run")
        finally:
            await runner.cleanup()


def _stop_signal() -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    return stop
