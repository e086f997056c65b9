"""Which client an address stands for where requests and connections are counted."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import Final

PREFIX_6: Final = 64
"""Bits of an IPv6 address that tell clients apart: whoever has one address has all that share these."""


@lru_cache(4096)
def network(address: str) -> str:
    """The client that `address` counts as: IPv4 as it is, of IPv6 the first half; what is no address as it is."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    kept = int(parsed) >> (128 - PREFIX_6) << (128 - PREFIX_6)
    return f"{IPv6Address(kept)}/{PREFIX_6}"
