"""The listener for probes and metrics: apart from the clients', so that neither keeps the other from being served.

`/livez` and `/readyz` are named as Kubernetes names its own.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web

from notary_server.operations.health import DATABASE

from .call import Services
from .handlers import METRICS_TYPE

MAX_HEADER: Final = 4096
"""Bytes of a line or header field: those who ask here send next to nothing."""


@asynccontextmanager
async def managing(
    listeners: Sequence[socket.socket], services: Services, stopped: asyncio.Event
) -> AsyncIterator[None]:
    """Answer on these sockets while the block runs; they are closed at its end.

    Args:
        listeners: already listening; none: nothing is done.
        stopped: once it is set, the server is no longer ready.
    """
    if not listeners:
        yield
        return
    runner = web.AppRunner(
        _application(services, stopped),
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


def _application(services: Services, stopped: asyncio.Event) -> web.Application:
    async def alive(_request: web.Request) -> web.Response:
        """The event loop turns: only a process that does not answer is worth restarting."""
        return web.json_response({"alive": True})

    async def ready(_request: web.Request) -> web.Response:
        """Whether requests should be sent here.

        Without a signer reads go on, so that is told and does not count: else no instance were left to serve them.
        """
        problems = services.health.problems
        is_ready = services.health.checked and not stopped.is_set() and DATABASE not in problems
        body = {"ready": is_ready, "stopping": stopped.is_set(), "problems": problems}
        return web.json_response(body, status=200 if is_ready else 503)

    async def metrics(_request: web.Request) -> web.Response:
        return web.Response(body=services.metrics.exposition(), headers={"Content-Type": METRICS_TYPE})

    application = web.Application(client_max_size=0)
    application.router.add_get("/livez", alive)
    application.router.add_get("/readyz", ready)
    application.router.add_get("/metrics", metrics)
    return application
