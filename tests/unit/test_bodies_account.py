"""The account of memory for request bodies: never over the bound, nobody shuts all others out, nothing is forgotten."""

from __future__ import annotations

from contextlib import ExitStack

from hypothesis import given
from hypothesis import strategies as st

from notary_server.http.bodies import CLIENTS_SHARE, UNCOUNTED_BYTES, Bodies

KIB = 1024


def test_one_client_leaves_room_for_others() -> None:
    """However much it sends, half is left; and small bodies are taken when nothing is."""
    bodies = Bodies(1000 * KIB)
    with bodies.hold("greedy") as greedy, bodies.hold("other") as other, bodies.hold("third") as third:
        assert greedy.grow(500 * KIB)
        assert not greedy.grow(600 * KIB)
        assert greedy.refused
        assert other.grow(500 * KIB)
        assert not third.grow(300 * KIB)
    with bodies.hold("greedy") as one, bodies.hold("other") as two, bodies.hold("third") as small:
        assert one.grow(500 * KIB + UNCOUNTED_BYTES)
        assert two.grow(500 * KIB + UNCOUNTED_BYTES)
        assert small.grow(UNCOUNTED_BYTES)
        assert not small.grow(UNCOUNTED_BYTES + 1)
    assert bodies.held == 0


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 400 * KIB)), max_size=60))
def test_the_account_is_right_whatever_happens(steps: list[tuple[int, int]]) -> None:
    """Bodies that grow, are refused and end in any order: the bounds hold, and all is given back."""
    bodies = Bodies(700 * KIB)
    with ExitStack() as stack:
        held = [stack.enter_context(bodies.hold("abc"[number % 3])) for number in range(6)]
        sizes = [0] * 6
        for number, more in steps:
            if held[number].grow(sizes[number] + more):
                sizes[number] += more
            else:
                held[number].release()
                sizes[number] = 0
            counted = [max(0, size - UNCOUNTED_BYTES) for size in sizes]
            assert bodies.held == sum(counted) <= 700 * KIB
            for client in range(3):
                assert sum(counted[client::3]) <= 700 * KIB // CLIENTS_SHARE
    assert bodies.held == 0
