"""Places for connections: bounded in all and for each client, and who waits makes room for who comes."""

from __future__ import annotations

import resource
import subprocess
import sys
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from notary_common.guests import LOOKED_AT, Guest, Guests
from notary_common.network import network


@dataclass
class Seat:
    """A connection as guests see it."""

    busy: bool = False
    closed: bool = False

    def abort(self) -> None:
        """Remember that it was closed."""
        self.closed = True


@dataclass
class Hall:
    """Guests, and what became of those who came."""

    guests: Guests
    hung_up: list[str] = field(default_factory=list)

    def enter(self, client: str) -> Guest | None:
        """A guest whose handshake goes on."""
        return self.guests.enter(client, lambda: self.hung_up.append(client))

    def served(self, client: str, *, busy: bool = False) -> Seat:
        """A guest that is being served."""
        guest = self.enter(client)
        assert guest is not None
        seat = Seat(busy)
        guest.served_by(seat)
        return seat


def test_the_one_that_waits_longest_makes_room() -> None:
    """Not one that is being served; a handshake counts as waiting."""
    hall = Hall(Guests(3, 0))
    busy, idle = hall.served("a", busy=True), hall.served("b")
    hall.enter("c")
    hall.served("d")
    assert (busy.closed, idle.closed, hall.hung_up) == (False, True, [])
    hall.served("e")
    assert hall.hung_up == ["c"]
    assert len(hall.guests) == 3


def test_a_client_with_many_connections_loses_its_own() -> None:
    """However many it opens, others lose none."""
    hall = Hall(Guests(100, 2))
    other = hall.served("other")
    flood = [hall.served("flood") for _ in range(50)]
    assert not other.closed
    assert [seat.closed for seat in flood] == [True] * 48 + [False] * 2
    assert len(hall.guests) == 3


def test_where_everybody_is_served_nobody_else_comes_in() -> None:
    """Neither in all nor of one client, until somebody leaves; nobody in particular is not counted as one client."""
    hall = Hall(Guests(4, 2))
    first = hall.enter("a")
    assert first is not None
    first.served_by(Seat(busy=True))
    hall.served("a", busy=True)
    assert hall.enter("a") is None
    first.leave()
    first.leave()
    hall.served("a", busy=True)
    hall.served("", busy=True)
    hall.served("", busy=True)
    assert hall.enter("") is None


def test_a_flood_is_not_searched_to_its_end() -> None:
    """Looking for one that waits takes a bounded number of steps."""
    hall = Hall(Guests(LOOKED_AT + 1, 0))
    for _ in range(LOOKED_AT):
        hall.served("a", busy=True)
    waiting = hall.served("a")
    assert hall.enter("b") is None
    assert not waiting.closed


def test_busy_ones_do_not_hide_those_that_wait() -> None:
    """Who is refused because all that were looked at are busy finds a place when they come again."""
    hall = Hall(Guests(LOOKED_AT + 1, 0))
    busy = [hall.served("a", busy=True) for _ in range(LOOKED_AT)]
    waiting = hall.served("a")
    assert hall.enter("b") is None
    assert hall.enter("b") is not None
    assert waiting.closed
    assert not any(seat.closed for seat in busy)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["enter", "busy", "leave"])), max_size=200))
def test_the_bounds_hold_whatever_happens(steps: list[tuple[str, str]]) -> None:
    """Whoever comes, is served and goes in whatever order: never more than allowed, and all are found again."""
    guests = Guests(5, 3)
    open_now: list[tuple[Guest, Seat]] = []
    for client, step in steps:
        mine = [one for one in open_now if one[0].client == client]
        if step == "enter":
            guest = guests.enter(client, lambda: None)
            if guest is not None:
                seat = Seat()
                guest.served_by(seat)
                open_now.append((guest, seat))
        elif mine and step == "busy":
            mine[0][1].busy = not mine[0][1].busy
        elif mine:
            mine[0][0].leave()
            open_now.remove(mine[0])
        open_now = [one for one in open_now if not one[1].closed]
        assert len(guests) == len(open_now) <= 5
        assert sum(one[0].client == client for one in open_now) <= 3


def test_no_more_connections_than_files() -> None:
    """The soft limit on open files is raised as far as it may be; the rest is taken off what was asked for."""
    program = """if True:
        import resource
        from notary_common.guests import connections
        resource.setrlimit(resource.RLIMIT_NOFILE, (400, 1000))
        print(connections(100), resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        print(connections(4000), resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    """
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[1] >= 1000
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert [line for line in done.stdout.splitlines() if "warning" not in line] == ["100 400", "744 1000"]


def test_what_counts_as_one_client() -> None:
    """IPv4 addresses one by one, IPv6 by their first half, IPv4 inside IPv6 as IPv4, others as they are."""
    assert network("192.0.2.1") == network("::ffff:192.0.2.1") == "192.0.2.1"
    assert network("2001:db8::1") == network("2001:db8::ffff:1") == "2001:db8::/64"
    assert network("fe80::1%eth0") == "fe80::/64"
    assert network("") == ""
