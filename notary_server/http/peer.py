"""Who is at the other end of a connection."""

from __future__ import annotations

from asyncio import BaseTransport


def client_address(transport: BaseTransport | None) -> str:
    """The client's address without port; empty if it is not known, or the connection is lost."""
    peer = None if transport is None else transport.get_extra_info("peername")
    return str(peer[0]) if isinstance(peer, tuple) else ""
