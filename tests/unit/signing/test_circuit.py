"""When a signer is left out, when it comes back, and how often it is asked meanwhile."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from notary_server.signing.circuit import FIRST_PAUSE, LONGEST_PAUSE, STRIKES, Circuit


def test_a_certain_failure_opens_at_once_an_uncertain_one_after_several() -> None:
    """Only the failure that opens it says so, and an answer in between starts the count anew."""
    refused, slow = Circuit(), Circuit()
    assert refused.failed(certain=True)
    assert not refused.failed(certain=True)
    for _ in range(STRIKES - 1):
        assert not slow.failed(certain=False)
    assert not slow.answered()
    assert [slow.failed(certain=False) for _ in range(STRIKES)] == [False] * (STRIKES - 1) + [True]
    assert slow.open
    assert slow.answered()
    assert not slow.open
    assert not slow.answered()


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_pauses_grow_to_a_bound_and_begin_anew(chances: list[float]) -> None:
    """Each lies between a half and the whole of twice the one before; after it was closed they are short again."""
    circuit = Circuit()
    for _ in range(2):
        assert circuit.failed(certain=True)
        for number, chance in enumerate(chances):
            whole = min(FIRST_PAUSE * 2**number, LONGEST_PAUSE)
            assert whole / 2 <= circuit.pause(chance) <= whole
        circuit.answered()


@given(st.lists(st.sampled_from(["certain", "uncertain", "answer"])))
def test_it_is_open_if_and_only_if_it_failed_enough_since_the_last_answer(events: list[str]) -> None:
    """Whatever came before the last answer does not count."""
    circuit = Circuit()
    since: list[str] = []
    for event in events:
        before = circuit.open
        if event == "answer":
            assert circuit.answered() == before
            since.clear()
        else:
            opened = circuit.failed(certain=event == "certain")
            since.append(event)
            assert opened == (circuit.open and not before)
        assert circuit.open == ("certain" in since or len(since) >= STRIKES)
