"""Who writes too often is told to wait; others, and readers, are not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from notary_server.auth.access import Identity
from notary_server.errors import TooManyRequests
from notary_server.http import rate
from notary_server.http.rate import RateLimits, Rates
from tests.publisher import Publisher

from .running import Running


class Request:
    """As much of a call as counting needs."""

    def __init__(self, gun: str = "g", client: str = "192.0.2.1", identity: Identity | None = None) -> None:
        self.gun = gun
        self.client = client
        self.identity = identity or Identity()


def admitted(rates: Rates, *requests: Any, kind: rate.Kind = "writes") -> list[bool]:
    """Which of these requests are admitted, one after the other."""

    def one(request: Any) -> bool:
        try:
            rates.admit(kind, request)
        except TooManyRequests:
            return False
        return True

    return [one(request) for request in requests]


@pytest.fixture
def minute(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time in seconds, as the library that counts sees it."""
    now = [1_000_000.0]
    monkeypatch.setattr("time.time", lambda: now[0])
    return now


def test_the_window_moves(minute: list[float]) -> None:
    """So many in any minute, not in each minute of the clock; the answer says when the next one is taken."""
    rates = Rates(RateLimits(client_writes=2))
    assert admitted(rates, Request()) == [True]
    minute[0] += 40
    assert admitted(rates, Request(), Request()) == [True, False]
    with pytest.raises(TooManyRequests) as refused:
        rates.admit("writes", Request())  # type: ignore[arg-type]
    assert refused.value.headers == {"Retry-After": "20"}
    minute[0] += 21
    assert admitted(rates, Request(), Request()) == [True, False]


def test_clients_and_repositories_are_counted_apart(minute: list[float]) -> None:
    """Neither another client nor another repository pays for one that is busy; kinds do not add up."""
    rates = Rates(RateLimits(client_writes=3, repository_writes=2))
    one, other = Request("a"), Request("a", client="192.0.2.2")
    assert admitted(rates, one, one, other) == [True, True, False]
    assert admitted(rates, Request("b", client="192.0.2.2")) == [True]
    assert admitted(rates, one, kind="keys") == [True]


def test_a_refused_client_is_not_held_against_the_repository(minute: list[float]) -> None:
    """Otherwise anybody could keep the owner of a repository from publishing."""
    rates = Rates(RateLimits(client_writes=1, repository_writes=3))
    assert admitted(rates, *[Request("a", client="198.51.100.7")] * 10).count(True) == 1
    assert admitted(rates, Request("a")) == [True]


def test_an_identity_counts_wherever_it_is_and_an_ipv6_network_as_one(minute: list[float]) -> None:
    """A token is one client from any address; whoever has one IPv6 address has 2**64 of them."""
    robot = Identity("robot", "issuer")
    rates = Rates(RateLimits(client_writes=1))
    assert admitted(rates, Request(client="192.0.2.1", identity=robot), Request(identity=robot)) == [
        True,
        False,
    ]
    assert admitted(rates, Request(identity=Identity("robot", "another"))) == [True]
    assert admitted(rates, Request(client="2001:db8::1"), Request(client="2001:db8::2:1")) == [True, False]
    assert admitted(rates, Request(client="2001:db8:0:1::1")) == [True]
    assert admitted(rates, Request(client="::ffff:192.0.2.9"), Request(client="192.0.2.9")) == [True, False]


def test_names_of_the_quiet_are_forgotten(minute: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    """Writes to ever new repositories do not fill the memory."""
    monkeypatch.setattr(rate, "SWEEP", 50)
    rates = Rates(RateLimits(repository_writes=5))
    for number in range(200):
        rates.admit("writes", Request(f"g{number}"))  # type: ignore[arg-type]
        minute[0] += 5
        storage = rates._storage
        assert storage is not None
        storage._MemoryStorage__expire_events()  # type: ignore[attr-defined] # what its thread does, without its haste
    assert rates._storage is not None
    assert len(rates._storage.events) < 100


def test_only_the_first_refusal_of_a_minute_is_new(minute: list[float]) -> None:
    """Whoever goes on trying does not fill the audit log."""
    rates = Rates(RateLimits(client_writes=1))
    found = []
    for _ in range(7):
        try:
            rates.admit("writes", Request())  # type: ignore[arg-type]
        except TooManyRequests as error:
            found.append(error.repeated)
        minute[0] += 20
    assert found == [False, True, True, False, True]


def test_publishers_are_told_to_wait_and_readers_are_not() -> None:
    """429 with Retry-After for publishes, deletions and keys beyond the limit; reads go on."""
    limits = RateLimits(client_writes=2, client_keys=5, repository_keys=3)
    with Running(rates=Rates(limits)) as server:
        owner = Publisher("rates/app").learn(server.client)
        assert server.client.publish("rates/app", owner.first()).status == 200
        assert server.client.delete("rates/none").status == 200
        for reply in (server.client.publish("rates/app", owner.first()), server.client.delete("rates/app")):
            assert (reply.status, reply.code, int(reply.headers["retry-after"]) >= 1) == (
                429,
                "TOOMANYREQUESTS",
                True,
            )
            assert json.loads(reply.body)["errors"][0]["message"].endswith("seconds")
        assert server.client.rotate("rates/app", "snapshot").status == 200
        assert (
            server.client.rotate("rates/app", "snapshot").status == 429
        )  # the repository's three are used up
        assert server.client.role("rates/other", "timestamp.key").status == 200
        assert (
            server.client.role("rates/other", "timestamp.key").status == 429
        )  # and so are the client's five
        for _ in range(10):
            assert server.client.role("rates/app", "timestamp.json").status == 200
