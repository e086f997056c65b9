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
from functools import partial
from typing import Any, Final

from notary_common.guests import Guest, Guests
from notary_common.log import get_logger
from notary_common.network import network

from . import limits

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
        tls: ssl.SSLContext | None,
        guests: Guests,
        protocol: Callable[[Guest], asyncio.Protocol],
    ) -> None:
        """`listener` is bound and non-blocking, and belongs to the acceptor from now on."""
        self._guests = guests
        self._listener = listener
        self._tls = tls
        self._protocol = protocol
        self._loop = asyncio.get_running_loop()
        self._opening: set[asyncio.Task[Any]] = set()
        listener.listen(limits.BACKLOG)
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
        guest = self._guests.enter(network(peer[0]), partial(_hang_up, accepted))
        if guest is None:
            accepted.close()
            return
        task = self._loop.create_task(self._open(accepted, guest))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _open(self, accepted: socket.socket, guest: Guest) -> None:
        try:
            await self._loop.connect_accepted_socket(
                partial(self._protocol, guest),
                accepted,
                ssl=self._tls,
                ssl_handshake_timeout=limits.HANDSHAKE_TIMEOUT if self._tls else None,
            )
        except OSError:
            # Whoever breaks off a handshake, or never begins one, is nobody's concern.
            guest.leave()
        except BaseException:
            guest.leave()
            raise

    def _resume(self) -> None:
        if self._listener.fileno() != -1:
            self._loop.add_reader(self._listener, self._accept)


def _hang_up(accepted: socket.socket) -> None:
    """Break off a handshake under way."""
    with contextlib.suppress(OSError):
        accepted.shutdown(socket.SHUT_RDWR)
