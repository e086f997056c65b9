"""Accepts connections one at a time, so that several processes on one socket get equal shares.

The event loop's own server takes all that wait at once: of sixteen clients that come together, one process would get
all and the others none, for as long as the connections are kept.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable, Coroutine
from typing import Any, Final

from .log import get_logger

PAUSE: Final = 0.1
"""Seconds without accepting when the system has no descriptors left: connections wait meanwhile."""
STALL_SECONDS: Final = 60.0
"""For which a client may take nothing of an answer, all of which is kept for it, or not confirm what it got."""

_log = get_logger()


class Acceptor:
    """Accepts on one listening socket until it is closed."""

    def __init__(
        self,
        listener: socket.socket,
        tls: Callable[[], ssl.SSLContext] | None,
        protocol: Callable[[], asyncio.BaseProtocol],
        *,
        backlog: int,
        handshake_timeout: float,
    ) -> None:
        """Begin to accept.

        Args:
            listener: bound and non-blocking; belongs to the acceptor from now on.
            tls: asked for the context of each connection when it is accepted; None: plain text.
            backlog: connections that may wait to be accepted.
            handshake_timeout: seconds for the handshake of TLS.
        """
        self._listener = listener
        self._tls = tls
        self._protocol = protocol
        self._handshake_timeout = handshake_timeout
        self._loop = asyncio.get_running_loop()
        self._opening: set[asyncio.Task[Any]] = set()
        listener.listen(backlog)
        self._loop.add_reader(listener, self._accept)

    def close(self) -> None:
        """Accept no more; connections that are being opened go on."""
        self._loop.remove_reader(self._listener)
        self._listener.close()

    def _accept(self) -> None:
        try:
            accepted, peer = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError, InterruptedError):
            return  # another process was quicker, or the client has left
        except OSError as error:
            _log.error("connections cannot be accepted for the moment", reason=error.strerror)
            self._loop.remove_reader(self._listener)
            self._loop.call_later(PAUSE, self._resume)
            return
        accepted.setblocking(False)
        # Without this, the second small answer on a connection waits for the first to be confirmed.
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # The system does what a timer for every answer would.
        stall = int(STALL_SECONDS * 1000)
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, stall)
        self.welcome(accepted, str(peer[0]))

    def welcome(self, accepted: socket.socket, address: str) -> None:
        """Open the connection that a client at `address` has made; overridden where not every client is let in."""
        self.begin(self._open_or_not(accepted))

    def begin(self, opening: Coroutine[Any, Any, None]) -> None:
        """Let a connection open while others are accepted."""
        task = self._loop.create_task(opening)
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def open(self, accepted: socket.socket, protocol: Callable[[], asyncio.BaseProtocol]) -> None:
        """Return when the handshake is over and `protocol` serves the connection.

        Raises:
            OSError: the client broke the handshake off, or never began it.
        """
        await self._loop.connect_accepted_socket(
            protocol,
            accepted,
            ssl=self._tls and self._tls(),
            ssl_handshake_timeout=self._handshake_timeout if self._tls else None,
        )

    async def _open_or_not(self, accepted: socket.socket) -> None:
        # Whoever breaks off a handshake, or never begins one, is nobody's concern.
        with contextlib.suppress(OSError):
            await self.open(accepted, self._protocol)

    def _resume(self) -> None:
        if self._listener.fileno() != -1:
            self._loop.add_reader(self._listener, self._accept)
