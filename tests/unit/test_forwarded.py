"""Whose address a request has that came through proxies."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notary_server.http.forwarded import MAX_HOPS, Proxies, client_of

OURS = (ip_network("10.0.0.0/8"), ip_network("2001:db8::/32"))
XFF = Proxies(OURS)
RFC7239 = Proxies(OURS, "forwarded")


@pytest.mark.parametrize(
    ("peer", "value", "client"),
    [
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "192.0.2.7", "192.0.2.7"),
        ("10.0.0.1", "198.51.100.9, 192.0.2.7", "192.0.2.7"),
        ("10.0.0.1", "192.0.2.7, 10.9.9.9,10.0.0.2", "192.0.2.7"),
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("10.0.0.1", "192.0.2.7:4711", "192.0.2.7"),
        ("10.0.0.1", "[2a00::7]:4711", "2a00::7"),
        ("10.0.0.1", "2a00::7", "2a00::7"),
        ("10.0.0.1", "::ffff:192.0.2.7", "192.0.2.7"),
        ("::ffff:10.0.0.1", "192.0.2.7", "192.0.2.7"),
        ("2001:db8::1", "192.0.2.7", "192.0.2.7"),
        # What cannot be read ends the search at the last address that is known.
        ("10.0.0.1", "192.0.2.7, unknown", "10.0.0.1"),
        ("10.0.0.1", "192.0.2.7, unknown, 10.0.0.2", "10.0.0.2"),
        ("10.0.0.1", "192.0.2.7, ", "10.0.0.1"),
        ("10.0.0.1", "fe80::1%eth0", "10.0.0.1"),
        # Whoever is no proxy of ours is not believed.
        ("192.0.2.1", "10.0.0.1, 203.0.113.1", "192.0.2.1"),
        ("", "192.0.2.7", ""),
    ],
)
def test_x_forwarded_for(peer: str, value: str, client: str) -> None:
    """The right-most address that is not a proxy's."""
    assert client_of(peer, value, XFF) == client


@pytest.mark.parametrize(
    ("value", "client"),
    [
        ("for=192.0.2.7", "192.0.2.7"),
        ("for=198.51.100.9, for=192.0.2.7;proto=https;by=10.0.0.1", "192.0.2.7"),
        ('proto=https; For="[2a00::7]:4711"', "2a00::7"),
        ('for="192.0.2.7:80"', "192.0.2.7"),
        ("for=192.0.2.7, for=10.0.0.2", "192.0.2.7"),
        ("for=_hidden", "10.0.0.1"),
        ("by=192.0.2.7", "10.0.0.1"),
        ("for", "10.0.0.1"),
        # A quotation mark left open by a client swallows nothing of what a proxy adds.
        ('for="198.51.100.9, for=192.0.2.7', "192.0.2.7"),
        ('for="10.0.0.9\\", for=192.0.2.7;by="x', "192.0.2.7"),
    ],
)
def test_forwarded(value: str, client: str) -> None:
    """RFC 7239 likewise."""
    assert client_of("10.0.0.1", value, RFC7239) == client


_outside = st.ip_addresses().filter(
    lambda one: (
        not XFF.trusted(one)
        and not (isinstance(one, IPv6Address) and (one.ipv4_mapped is not None or one.scope_id is not None))
    )
)


@given(
    said=st.text(),
    client=_outside,
    behind=st.lists(st.ip_addresses(network="10.0.0.0/8"), max_size=MAX_HOPS - 2),
)
def test_what_a_client_says_counts_for_nothing(
    said: str, client: IPv4Address | IPv6Address, behind: list[IPv4Address]
) -> None:
    """Whatever it wrote into the field, the address that the first proxy saw is taken."""
    hops = [client, *behind]
    assert client_of("10.0.0.1", ", ".join([said, *map(str, hops)]), XFF) == str(client)
    spelled = [f'for="[{hop}]"' if isinstance(hop, IPv6Address) else f"for={hop};proto=https" for hop in hops]
    assert client_of("10.0.0.1", ", ".join([said, *spelled]), RFC7239) == str(client)


@given(peer=_outside, value=st.text())
def test_a_stranger_is_not_believed(peer: IPv4Address | IPv6Address, value: str) -> None:
    """A connection that is no proxy's is the client's own."""
    assert client_of(str(peer), value, XFF) == client_of(str(peer), value, RFC7239) == str(peer)


@given(value=st.text())
def test_nonsense_is_no_error(value: str) -> None:
    """Every value gives some address."""
    for proxies in (XFF, RFC7239):
        assert client_of("10.0.0.1", value, proxies).replace(":", "").replace(".", "").isalnum()


def test_thousands_of_hops_are_not_walked() -> None:
    """The search ends, at one of ours."""
    value = "192.0.2.7" + ", 10.0.0.2" * 5000
    assert client_of("10.0.0.1", value, XFF) == "10.0.0.2"
