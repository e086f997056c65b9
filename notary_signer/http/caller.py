"""Who is at the other end: the client's verified certificate, or the user of a process on a Unix socket."""

from __future__ import annotations

import socket
import ssl
import struct
from typing import Final
from weakref import WeakKeyDictionary

from aiohttp import web

from notary_signer.clients import Identity, certificate_identity, user
from notary_signer.errors import ClientRefused

_UCRED: Final = struct.Struct("3i")
"""struct ucred of unix(7): process, user, group."""

_identities: WeakKeyDictionary[ssl.SSLObject, Identity] = WeakKeyDictionary()
"""Of the connections that are open: a certificate is parsed once in each, not at every request."""


def identify(request: web.BaseRequest) -> Identity:
    """The identity of the client of `request`.

    Raises:
        ClientRefused: it has none.
    """
    connection: ssl.SSLObject | None = request.get_extra_info("ssl_object")
    if connection is not None:
        known = _identities.get(connection)
        if known is None:
            known = _identities[connection] = _certified(connection)
        return known
    end: socket.socket | None = request.get_extra_info("socket")
    if end is None or end.family != socket.AF_UNIX:
        raise ClientRefused("the connection is neither mutual TLS nor a Unix socket")
    _, uid, _ = _UCRED.unpack(end.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    return user(uid)


def _certified(connection: ssl.SSLObject) -> Identity:
    der = connection.getpeercert(binary_form=True)
    if der is None:
        raise ClientRefused("the client showed no certificate")
    try:
        return certificate_identity(der)
    except ValueError:
        raise ClientRefused("the client's certificate cannot be parsed") from None
