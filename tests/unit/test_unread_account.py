"""The account of answers that clients do not read: never over the bound, the slowest goes, nothing is forgotten."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from notary_common.guests import Guest, Guests
from notary_server.http.unread import CLIENTS_SHARE, Unread


class Hall:
    """Guests, and who of them was sent away."""

    def __init__(self) -> None:
        self.guests = Guests(1000, 0)
        self.gone: list[Guest] = []

    def enter(self, client: str) -> Guest:
        """One more."""
        found: list[Guest] = []
        guest = self.guests.enter(client, lambda: self.gone.extend(found))
        assert guest is not None
        found.append(guest)
        return guest


def test_whoever_has_read_nothing_for_longest_goes() -> None:
    """Reading a little counts; one client has no more than its share, many behind a proxy have all."""
    hall, unread = Hall(), Unread(100)
    a, b, c = (hall.enter(client) for client in "abc")
    for one in (a, b, a):
        unread.wait(one, 40)
    unread.wait(c, 40)
    assert hall.gone == [b]
    assert unread.held == 80
    again = hall.enter("c")
    unread.wait(again, 20)
    assert hall.gone == [b, c]
    proxied = [hall.enter("") for _ in range(2)]
    for one in proxied:
        unread.wait(one, 20)
    assert hall.gone == [b, c]


def test_a_single_answer_may_be_larger_than_all() -> None:
    """Otherwise nobody could ever have it."""
    hall, unread = Hall(), Unread(100)
    one, other = hall.enter("a"), hall.enter("b")
    unread.wait(one, 500)
    assert hall.gone == []
    unread.wait(other, 500)
    assert hall.gone == [one]


@given(st.lists(st.tuples(st.sampled_from("aabc"), st.integers(0, 60)), max_size=60))
def test_the_bounds_hold_whatever_happens(steps: list[tuple[str, int]]) -> None:
    """Zero stands for a client that has read everything; at the end nothing is held."""
    hall, unread = Hall(), Unread(100)
    open_now = [(client, hall.enter(client)) for client in "aabc" for _ in range(3)]
    held: dict[Guest, int] = {}
    for number, (client, size) in enumerate(steps):
        mine = [guest for other, guest in open_now if other == client and guest not in hall.gone]
        if not mine:
            continue
        guest = mine[number % len(mine)]
        if size:
            unread.wait(guest, size)
            held[guest] = size
        else:
            unread.forget(guest)
            held.pop(guest, None)
        held = {one: size for one, size in held.items() if one not in hall.gone}
        assert unread.held == sum(held.values()) <= 100
        assert sum(size for one, size in held.items() if one.client == client) <= 100 // CLIENTS_SHARE or (
            len([one for one in held if one.client == client]) == 1
        )
    for _, guest in open_now:
        unread.forget(guest)
    assert unread.held == 0
