"""Accepts connections as long as there is a place for them."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from functools import partial

from notary_common.accept import Acceptor
from notary_common.guests import Guest, Guests
from notary_common.network import network

from . import limits
from .forwarded import Proxies


class GuestAcceptor(Acceptor):
    """Gives every connection a place among the guests; those for which there is none are closed unanswered."""

    def __init__(
        self,
        listener: socket.socket,
        tls: Callable[[], ssl.SSLContext] | None,
        guests: Guests,
        proxies: Proxies,
        protocol: Callable[[Guest], asyncio.BaseProtocol],
    ) -> None:
        """
        Args:
            listener, tls: as for `Acceptor`.
            proxies: connections of these count for nobody in particular: many clients are behind them.
        """
        self._guests = guests
        self._proxies = proxies
        self._serve = protocol
        super().__init__(
            listener,
            tls,
            asyncio.Protocol,
            backlog=limits.BACKLOG,
            handshake_timeout=limits.HANDSHAKE_TIMEOUT,
        )

    def welcome(self, accepted: socket.socket, address: str) -> None:
        """See `Acceptor.welcome`."""
        client = "" if self._proxies.are_at(address) else network(address)
        guest = self._guests.enter(client, partial(_hang_up, accepted))
        if guest is None:
            accepted.close()
        else:
            self.begin(self._open_for(guest, accepted))

    async def _open_for(self, guest: Guest, accepted: socket.socket) -> None:
        try:
            await self.open(accepted, partial(self._serve, guest))
        except OSError:
            # Whoever breaks off a handshake, or never begins one, is nobody's concern.
            guest.leave()
        except BaseException:
            guest.leave()
            raise


def _hang_up(accepted: socket.socket) -> None:
    """Break off a handshake under way."""
    with contextlib.suppress(OSError):
        accepted.shutdown(socket.SHUT_RDWR)
