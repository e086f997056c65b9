"""The sockets that a server accepts connections on: bound before anything is opened, shared by all its processes."""

from __future__ import annotations

import errno
import socket
from contextlib import ExitStack
from typing import Final

_ABSENT: Final = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL})
"""How a machine without IPv6 (or without IPv4) says so."""


def bind(host: str, port: int) -> list[socket.socket]:
    """Sockets bound to every address of `host`, all on one port, not yet listening; the caller closes them.

    Args:
        host: a name or address; empty for all interfaces, IPv4 and IPv6.
        port: 0 lets the system choose; `getsockname` tells.

    Raises:
        OSError: the address does not exist here, is taken or not permitted.
    """
    found = socket.getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE, proto=socket.IPPROTO_TCP
    )
    absent: OSError | None = None
    bound: list[socket.socket] = []
    with ExitStack() as unfinished:
        for family, kind, protocol, _, address in dict.fromkeys(found):
            try:
                listener = unfinished.enter_context(socket.socket(family, kind, protocol))
                listener.setblocking(False)
                # A restart must not wait for the last connections of its predecessor to be forgotten.
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                # Accepted connections inherit this: a client that has vanished is noticed some day.
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                if family == socket.AF_INET6:
                    # IPv4 has a socket of its own.
                    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                listener.bind((address[0], bound[0].getsockname()[1] if bound else port, *address[2:]))
            except OSError as error:
                if error.errno not in _ABSENT:
                    raise
                absent = error
            else:
                bound.append(listener)
        if not bound:
            raise absent or OSError(errno.EADDRNOTAVAIL, f"{host} has no address")
        unfinished.pop_all()
    return bound
