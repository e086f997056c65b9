"""Accepts connections one at a time, so that several processes on one socket get equal shares.

The event loop's own server takes all that wait at once: of sixteen clients that come together, one process would get
all and the others none, for as long as the connections are kept.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from typing import Any, Final

from .log import get_logger

PAUSE: Final = 0.1
"""Seconds without accepting when the system has no descriptors left: connections wait meanwhile."""

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
            accepted, _ = self._listener.accept()
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
        task = self._loop.create_task(self._open(accepted))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _open(self, accepted: socket.socket) -> None:
        # Whoever breaks off a handshake, or never begins one, is nobody's concern.
        with contextlib.suppress(OSError):
            await self._loop.connect_accepted_socket(
                self._protocol,
                accepted,
                ssl=self._tls and self._tls(),
                ssl_handshake_timeout=self._handshake_timeout if self._tls else None,
            )

    def _resume(self) -> None:
        if self._listener.fileno() != -1:
            self._loop.add_reader(self._listener, self._accept)
