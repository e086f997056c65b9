"""PURE. Who sent a request that came through proxies, by what those that are trusted say about it.

Each proxy adds, at the end of a header field, the address that it got the request from. What the first trusted one
found there already is the client's own word and counts for nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

MAX_HOPS: Final = 16
"""Proxies behind one another. Nobody has so many; a client may write down thousands."""

Address = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class Proxies:
    """Whom to believe about the addresses of clients.

    Attributes:
        networks: where they are; nobody is believed if empty.
        header: the lower-case name of the field that they add to: `x-forwarded-for` or `forwarded`.
    """

    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    header: str = "x-forwarded-for"

    def trusted(self, address: Address) -> bool:
        """Whether it is the address of one of them."""
        return any(address in network for network in self.networks)

    def are_at(self, address: str) -> bool:
        """Whether that, as the system spells it, is the address of one of them."""
        found = _plain(address) if self.networks else None
        return found is not None and self.trusted(found)


def client_of(peer: str, value: str, proxies: Proxies) -> str:
    """The last address that no trusted proxy has; the last one known where a hop has none that can be read.

    Args:
        peer: the address at the other end of the connection.
        value: of the header field, several joined by commas; empty without one.
    """
    found = _plain(peer)
    if found is None or not value:
        return peer
    for hop in reversed(_hops(value, proxies.header)):
        if not proxies.trusted(found) or hop is None:
            break
        found = hop
    return str(found)


def _hops(value: str, header: str) -> Sequence[Address | None]:
    """The last addresses in the field, in its order; None for what is none: `unknown`, a made-up name, nonsense."""
    # Cut at every comma, within quotation marks too: an address holds none, and a mark that a client left open must
    # not swallow what a proxy adds behind it.
    words = value.rsplit(",", MAX_HOPS)[-MAX_HOPS:]
    if header == "forwarded":
        words = [_for(word) for word in words]
    return [_address(word) for word in words]


def _for(element: str) -> str:
    """The value of `for` in one element of RFC 7239; empty without one."""
    for pair in element.split(";"):
        name, _, value = pair.partition("=")
        if name.strip(" \t").lower() == "for":
            value = value.strip(" \t")
            quoted = len(value) > 1 and value[0] == value[-1] == '"'
            return value[1:-1] if quoted else value
    return ""


def _address(word: str) -> Address | None:
    """An address, with or without a port; IPv6 with or without brackets."""
    word = word.strip(" \t")
    if word.startswith("["):
        return _plain(word[1:].partition("]")[0])
    if word.count(":") == 1:
        word = word.partition(":")[0]
    return _plain(word)


def _plain(word: str) -> Address | None:
    try:
        address = ip_address(word)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            return None
        return address.ipv4_mapped or address
    return address
