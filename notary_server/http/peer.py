"""Who is at the other end of a connection."""

from __future__ import annotations

from asyncio import BaseTransport
from collections.abc import Mapping

from notary_common.tls.peer_id import subject

from .forwarded import Proxies, client_of


def client_address(transport: BaseTransport | None, fields: Mapping[str, str], proxies: Proxies) -> str:
    """The client's address without port; empty if it is not known, or the connection is lost.

    Args:
        fields: the request's header.
        proxies: whose word is taken for it, if the connection is theirs.
    """
    return _told(_address(transport), fields, proxies)


def client_endpoint(transport: BaseTransport | None, fields: Mapping[str, str], proxies: Proxies) -> str:
    """As `client_address`, with the port where the client itself is at the other end."""
    address = _address(transport)
    told = _told(address, fields, proxies)
    if told != address or transport is None or not address:
        return told
    return f"{address}:{transport.get_extra_info('peername')[1]}"


def client_subject(transport: BaseTransport | None) -> str:
    """The name in the client's certificate, which was verified; empty without one.

    Its SPIFFE ID or other URI where it has exactly one, else its common name.
    """
    return "" if transport is None else subject(transport.get_extra_info("peercert"))


def _address(transport: BaseTransport | None) -> str:
    peer = None if transport is None else transport.get_extra_info("peername")
    return str(peer[0]) if isinstance(peer, tuple) else ""


def _told(address: str, fields: Mapping[str, str], proxies: Proxies) -> str:
    if not proxies.networks or not address:
        return address
    # aiohttp keeps fields of one name apart, and gives the first: that is the one a client can write.
    every = (
        fields.getall(proxies.header, []) if hasattr(fields, "getall") else [fields.get(proxies.header, "")]
    )
    return client_of(address, ",".join(every), proxies)
