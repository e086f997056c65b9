"""The HTTP server itself: accepts connections, and stops without cutting anybody off."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Sequence
from typing import Final
from weakref import WeakSet

from notary_common.guests import Guest, Guests
from notary_common.log import get_logger

from . import limits
from .accept import GuestAcceptor
from .aiohttp_connection import AiohttpConnection, AiohttpServer
from .call import Services
from .plain_connection import PlainConnection
from .traffic import Traffic

_POLL: Final = 0.02
"""Seconds between two looks at the connections of a stopping server."""

_log = get_logger()


class HttpServer:
    """Serves on sockets that its caller has bound; knows nothing of processes and signals.

    Attributes:
        guests: the places of all open connections.
        bodies: the memory that request bodies take.
        unread: that of answers which clients do not read.
    """

    def __init__(self, services: Services) -> None:
        """Call this, like everything here, in the running event loop."""
        self._traffic = Traffic(services)
        self.bodies = self._traffic.bodies
        self.unread = self._traffic.unread
        self._aiohttp = AiohttpServer(self._traffic)
        self._plain: WeakSet[PlainConnection] = WeakSet()
        settings = services.settings
        self.guests = Guests(settings.max_connections, settings.max_client_connections)
        self._proxies = settings.proxies
        self._listening: list[GuestAcceptor] = []

    async def start(
        self, listeners: Sequence[socket.socket], tls: Callable[[], ssl.SSLContext] | None
    ) -> None:
        """Accept connections on sockets that are bound already; they are closed by `stop`.

        Args:
            tls: asked for the context of each connection; None: plain HTTP.
        """
        self._listening = [
            GuestAcceptor(listener, tls, self.guests, self._proxies, self._connection)
            for listener in listeners
        ]

    async def stop(self, seconds: float) -> None:
        """Accept nothing more, let running requests finish for so many seconds at most, close everything."""
        loop = asyncio.get_running_loop()
        self._traffic.stopping = True
        for listening in self._listening:
            listening.close()
        end = loop.time() + seconds
        last_call = loop.time() + min(seconds, limits.LAST_CALL)
        await _until(lambda: not self._connections(), last_call)
        self._close_idle()
        await _until(lambda: not self._running(), end)
        if running := self._running():
            _log.warning("stopping although requests are still running", requests=running)
        self._close_idle()
        await self._aiohttp.shutdown(limits.FLUSH_TIMEOUT)
        await _until(lambda: not self._plain, loop.time() + limits.FLUSH_TIMEOUT)
        for one in list(self._plain):
            one.abort()

    def _connection(self, guest: Guest) -> PlainConnection:
        return PlainConnection(self._traffic, guest, self._aiohttp, self._plain)

    def _connections(self) -> list[PlainConnection | AiohttpConnection]:
        others = [one for one in self._aiohttp.connections if isinstance(one, AiohttpConnection)]
        return [*self._plain, *others]

    def _running(self) -> int:
        return sum(one.busy for one in self._connections())

    def _close_idle(self) -> None:
        for one in self._connections():
            if not one.busy:
                one.close()


async def _until(condition: Callable[[], bool], end: float) -> None:
    """Return when the condition holds, or at `end` in the loop's time."""
    loop = asyncio.get_running_loop()
    # Connections do not tell that they are done: that would cost each request what is needed once.
    while not condition() and loop.time() < end:  # noqa: ASYNC110
        await asyncio.sleep(_POLL)
