"""How many connections there may be, in all and of one client; for a new one, one that only waits must go.

Connections count from the moment they are accepted, their handshake included.
"""

from __future__ import annotations

import contextlib
import resource
from collections.abc import Callable
from itertools import islice
from typing import Final, Protocol

from .log import get_logger

RESERVED_FILES: Final = 256
"""Descriptors that connections leave to the database, the signer, files and the process itself."""
LOOKED_AT: Final = 64
"""Connections that are looked at for one that only waits, first those that were not for longest: a flood must not make
this costly."""

_log = get_logger()


class Connection(Protocol):
    """What serves a guest.

    Attributes:
        busy: whether a request is being answered.
    """

    busy: bool

    def abort(self) -> None:
        """Close the connection at once: a farewell in TLS would wait for the other side."""


class Guest:
    """The place of one connection."""

    def __init__(self, guests: Guests, client: str, hang_up: Callable[[], None]) -> None:
        self._guests = guests
        self.client = client
        self._hang_up = hang_up
        self._connection: Connection | None = None

    def served_by(self, connection: Connection) -> None:
        """The handshake is over, or another kind of connection has taken over."""
        self._connection = connection

    def leave(self) -> None:
        """The connection is closed, or was never opened; nothing if that is known."""
        self._guests.forget(self)
        self._connection = None

    @property
    def waits(self) -> bool:
        """Whether nothing is being answered on it."""
        return self._connection is None or not self._connection.busy

    def dismiss(self) -> None:
        """Close it for the benefit of another."""
        connection = self._connection
        self.leave()
        if connection is None:
            self._hang_up()
        else:
            connection.abort()


class Guests:
    """All open connections of a server. For its event loop only."""

    def __init__(self, most: int, most_of_client: int) -> None:
        """`most_of_client`: 0 for no other bound than that of all."""
        self._most = most
        self._most_of_client = most_of_client or most
        self._all: dict[Guest, None] = {}
        self._clients: dict[str, dict[Guest, None]] = {}

    def __len__(self) -> int:
        return len(self._all)

    def enter(self, client: str, hang_up: Callable[[], None]) -> Guest | None:
        """A place for a new connection; None if there is none, and everybody is being served.

        Args:
            client: whom it counts for; empty for nobody in particular, as behind a proxy.
            hang_up: closes it for as long as its handshake lasts.
        """
        of_client = self._clients.get(client, {})
        if client and len(of_client) >= self._most_of_client and not _make_room(of_client):
            return None
        if len(self._all) >= self._most and not _make_room(self._all):
            return None
        guest = Guest(self, client, hang_up)
        self._all[guest] = None
        self._clients.setdefault(client, {})[guest] = None
        return guest

    def forget(self, guest: Guest) -> None:
        """It has left; nothing if that is known."""
        self._all.pop(guest, None)
        of_client = self._clients.get(guest.client)
        if of_client is not None:
            of_client.pop(guest, None)
            if not of_client:
                del self._clients[guest.client]


def connections(wanted: int) -> int:
    """`wanted`, or as many as this process may open: its soft limit on files is raised as far as it may be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + RESERVED_FILES
    if soft != resource.RLIM_INFINITY and soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        if soft < needed:
            _log.warning("fewer connections than there may be: raise the limit on open files", files=soft)
            return max(soft - RESERVED_FILES, 16)
    return wanted


def _make_room(guests: dict[Guest, None]) -> bool:
    """Dismiss the oldest of those that only wait; False if none is found."""
    for guest in list(islice(guests, LOOKED_AT)):
        if guest.waits:
            guest.dismiss()
            return True
        # Behind all others, or a few that send slowly would hide for ever those behind them that wait.
        guests[guest] = guests.pop(guest)
    return False
