"""A short run of every target with fixed inputs; the long one is `make fuzz`."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st

from .running import TARGETS, fuzz

SLOW = {
    "environment": 60,
    "configuration file": 100,
    "publish, bent bytes": 40,
    "publish, bent and signed": 60,
    "request to a server": 100,
}


@pytest.mark.parametrize("name", TARGETS)
def test_no_input_breaks_the_invariant(name: str) -> None:
    """No unexpected exception, nothing accepted that an independent reader refuses; and some inputs get through."""
    tally = fuzz(TARGETS[name], SLOW.get(name, 250), first_seed=1)
    assert tally.tried >= SLOW.get(name, 250) / 2
    assert 0 < tally.accepted < tally.tried


def test_a_broken_invariant_is_found() -> None:
    """The runner does not swallow what a target says."""

    def broken(data: st.DataObject) -> bool:
        assert data.draw(st.integers(0, 100)) < 50
        return True

    with pytest.raises(AssertionError):
        fuzz(broken, 100, first_seed=0)
