"""Goals: what counts as reached, missed, and not to be judged."""

from __future__ import annotations

import pytest

from bench.figures import Figures
from bench.goals import AtMost, Flat, Goal, OnlyStatuses, Times

FAULTY = Figures(99, problems=("died",))


@pytest.mark.parametrize(
    ("goal", "rounds", "reached"),
    [
        (Times(2), {"ours": [Figures(20)], "notary": [Figures(10)]}, True),
        (Times(2), {"ours": [Figures(19)], "notary": [Figures(10)]}, False),
        (Times(2), {"ours": [FAULTY], "notary": [Figures(10)]}, None),
        (Times(2, "notary-mariadb"), {"ours": [Figures(20)], "notary": [Figures(1)]}, None),
        (AtMost(10, "ms"), {"ours": [Figures(3), Figures(10)]}, True),
        (AtMost(10, "ms"), {"ours": [Figures(3), Figures(11)]}, False),
        (AtMost(10, "ms"), {"ours": [FAULTY]}, None),
        (Flat("grown"), {"ours": [Figures(10)], "grown": [Figures(8)]}, True),
        (Flat("grown"), {"ours": [Figures(10)], "grown": [Figures(7.9)]}, False),
        (OnlyStatuses(("200", "400")), {"ours": [Figures(1, statuses={"200": 1, "400 VERSION": 7})]}, True),
        (OnlyStatuses(("200", "400")), {"ours": [Figures(1, statuses={"200": 1, "500 UNKNOWN": 1})]}, False),
        (OnlyStatuses(("200", "400")), {"ours": [FAULTY]}, None),
    ],
)
def test_a_goal_is_judged_by_sound_rounds(
    goal: Goal, rounds: dict[str, list[Figures]], reached: bool | None
) -> None:
    """Reached, missed, or None where nothing sound was measured."""
    assert goal.judge(rounds).reached is reached


def test_the_worst_round_counts_for_a_limit() -> None:
    """A limit is for all times, not for the median."""
    assert AtMost(2, "s").judge({"ours": [Figures(1), Figures(1), Figures(2.5)]}).measured == "2.50 s"
