"""Failed attempts are counted."""

from __future__ import annotations

import asyncio

import pytest

from notary_server.tokens import passwords as room
from notary_server.tokens.errors import BadCredentials, Busy, TooManyFailures
from notary_server.tokens.failures import Failures
from notary_server.tokens.htpasswd import Users
from notary_server.tokens.passwords import PasswordCheck


def test_a_user_waits_after_so_many_failures() -> None:
    """From whatever address; others do not, and neither do robots."""
    failures = Failures(per_user=2, per_address=100)
    for address in ("192.0.2.1", "192.0.2.2"):
        assert failures.wait("alice", address) is None
        failures.count("alice", address)
    wait = failures.wait("alice", "192.0.2.3")
    assert wait is not None
    assert 1 <= wait <= 60
    assert failures.wait("bob", "192.0.2.1") is None
    assert failures.wait(None, "192.0.2.1") is None


def test_an_address_waits_after_so_many_failures() -> None:
    """Whatever names it tries."""
    failures = Failures(per_user=100, per_address=2)
    for name in ("alice", None):
        failures.count(name, "192.0.2.1")
    assert failures.wait("carol", "192.0.2.1") is not None
    assert failures.wait(None, "192.0.2.1") is not None
    assert failures.wait("carol", "192.0.2.2") is None


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8:1:2::3", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::3", "2001:db8:1:3::3", False),
        ("fe80::1%eth0", "fe80::2%eth0", True),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("", "", True),
    ],
)
def test_one_client_has_many_addresses(one: str, other: str, same: bool) -> None:
    """With IPv6 a whole network."""
    failures = Failures(per_user=100, per_address=1)
    failures.count(None, one)
    assert (failures.wait(None, other) is not None) == same


class _Slow(Users):
    """One user; a check lasts until it may end, and counts how many run at once."""

    def __init__(self) -> None:
        super().__init__({})
        self.running = 0
        self.most = 0

    def check(self, name: str, password: str) -> bool:
        self.running += 1
        self.most = max(self.most, self.running)
        same = super().check(name, password)
        self.running -= 1
        return same


async def test_only_so_many_passwords_are_checked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others wait, and beyond a bound nobody does; guesses that were waiting are not made once it is too much."""
    monkeypatch.setattr(room, "MAX_WAITING", 20)
    checks = PasswordCheck(Failures(per_user=5, per_address=1000), 2)
    users = _Slow()
    try:
        tries = (checks.check(users, "alice", "wrong", "192.0.2.1") for _ in range(30))
        outcomes = [type(one) for one in await asyncio.gather(*tries, return_exceptions=True)]
    finally:
        checks.close()
    assert users.most <= 2
    assert outcomes.count(Busy) == 10
    assert 5 <= outcomes.count(BadCredentials) <= 6
    assert outcomes.count(TooManyFailures) == 20 - outcomes.count(BadCredentials)
