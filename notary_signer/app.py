"""The signer's composition root: one context manager opens and closes everything."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from aiohttp import web

from notary_common.collector import settle
from notary_common.database import DatabaseError, open_database, parse_url
from notary_common.log import get_logger
from notary_common.schema import tables_problem

from .config import SignerConfig
from .errors import StartRefused
from .http.routes import build_server
from .listen import listen
from .operations import SignerService
from .process import harden
from .registry.sql_registry import SqlRegistry
from .token.hardware import HardwareToken

_log = get_logger("notary.signer")


@asynccontextmanager
async def open_service(config: SignerConfig) -> AsyncIterator[SignerService]:
    """The signer ready to sign: the registry's schema fits, and the token has proved every algorithm.

    Raises:
        StartRefused: something is wrong with the database or the token.
    """
    async with AsyncExitStack() as stack:
        registry = await _open_registry(config, stack)
        token = await _open_token(config, stack)
        yield SignerService(registry, token)


async def _open_registry(config: SignerConfig, stack: AsyncExitStack) -> SqlRegistry:
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
    return SqlRegistry(database, _foreign)


def _foreign(key_id: str) -> None:
    _log.warning(
        "a key was asked for that Notary's own signer encrypted under a passphrase; this signer does not hold it",
        key_id=key_id,
    )


async def _open_token(config: SignerConfig, stack: AsyncExitStack) -> HardwareToken:
    pkcs11 = config.pkcs11
    if pkcs11.pin_file is None:
        raise StartRefused("pkcs11.pin_file is missing")
    token = HardwareToken(
        pkcs11.module,
        pkcs11.token_label,
        pkcs11.pin_file,
        on_event=_log.warning,
        max_handles=config.limits.max_loaded_keys,
        max_waiting=config.limits.max_waiting,
    )
    stack.push_async_callback(token.close)
    for algorithm, keeping in (await token.open()).items():
        _log.info("the token proved an algorithm", algorithm=algorithm, keys_are_kept=keeping)
    return token


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
    async with open_service(config) as service:
        server = build_server(
            service,
            max_request_bytes=config.limits.max_request_bytes,
            request_timeout=config.limits.request_timeout,
        )
        runner = web.ServerRunner(
            server,
            handle_signals=False,
            shutdown_timeout=config.limits.shutdown_timeout,
        )
        await runner.setup()
        try:
            address = await listen(runner, config.server)
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
