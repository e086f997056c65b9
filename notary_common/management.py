"""The listener for probes and metrics: apart from the clients', so that neither keeps the other from being served.

`/livez` and `/readyz` are named as Kubernetes names its own.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web

from .bind import bind
from .health import Health
from .sections import Management

METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
"""Of Prometheus' text format."""
BACKLOG: Final = 128
"""Connections that wait to be accepted; a handful of programs ask."""
MAX_HEADER: Final = 4096
"""Bytes of a line or header field: those who ask here send next to nothing."""


class ManagementUnavailable(Exception):
    """The address for probes and metrics cannot be listened on; the text says why."""


def listen_for_management(config: Management) -> list[socket.socket]:
    """Listening sockets; none if the configuration has no address for them.

    Raises:
        ManagementUnavailable: the address cannot be listened on.
    """
    address = config.http_addr
    if address is None:
        return []
    try:
        listeners = bind(address.host, address.port)
        for listener in listeners:
            listener.listen(BACKLOG)
    except OSError as error:
        raise ManagementUnavailable(
            f"management.http_addr: cannot listen on {address} ({error}); free it or choose another"
        ) from error
    return listeners


@asynccontextmanager
async def managing(
    listeners: Sequence[socket.socket],
    health: Health,
    vital: Collection[str],
    exposition: Callable[[], bytes],
    stopped: asyncio.Event,
) -> AsyncIterator[None]:
    """Answer on these sockets while the block runs; they are closed at its end.

    Args:
        listeners: from `listen_for_management`; none: nothing is done.
        vital: checks without which no request should be sent here. Problems of others are told and do not count.
        exposition: all metrics, as `METRICS_TYPE`.
        stopped: once it is set, the process is no longer ready.
    """
    if not listeners:
        yield
        return
    runner = web.AppRunner(
        _application(health, vital, exposition, stopped),
        access_log=None,
        max_line_size=MAX_HEADER,
        max_field_size=MAX_HEADER,
        # Whoever asks here asks again.
        shutdown_timeout=0,
    )
    await runner.setup()
    try:
        for listener in listeners:
            await web.SockSite(runner, listener).start()
        yield
    finally:
        await runner.cleanup()


def _application(
    health: Health, vital: Collection[str], exposition: Callable[[], bytes], stopped: asyncio.Event
) -> web.Application:
    async def alive(_request: web.Request) -> web.Response:
        """The event loop turns: only a process that does not answer is worth restarting."""
        return web.json_response({"alive": True})

    async def ready(_request: web.Request) -> web.Response:
        """Whether requests should be sent here."""
        problems = dict(health.problems)
        is_ready = health.checked and not stopped.is_set() and not problems.keys() & set(vital)
        body = {"ready": is_ready, "stopping": stopped.is_set(), "problems": problems}
        return web.json_response(body, status=200 if is_ready else 503)

    async def metrics(_request: web.Request) -> web.Response:
        return web.Response(body=exposition(), headers={"Content-Type": METRICS_TYPE})

    application = web.Application(client_max_size=0)
    application.router.add_get("/livez", alive)
    application.router.add_get("/readyz", ready)
    application.router.add_get("/metrics", metrics)
    return application
