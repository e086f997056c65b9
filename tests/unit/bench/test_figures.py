"""Statistics over rounds: percentiles, medians, paired ratios."""

from __future__ import annotations

import pytest

from bench.figures import Cpu, Figures, percentile, ratio, summary


@pytest.mark.parametrize(
    ("sample", "share", "expected"),
    [
        ([], 0.5, 0.0),
        ([7.0], 0.99, 7.0),
        ([3.0, 1.0, 2.0], 0.5, 2.0),
        ([float(n) for n in range(1, 101)], 0.5, 50.0),
        ([float(n) for n in range(1, 101)], 0.99, 99.0),
        ([float(n) for n in range(1, 102)], 0.99, 100.0),
        ([1.0, 2.0], 1.0, 2.0),
    ],
)
def test_a_percentile_is_a_member_of_the_sample(sample: list[float], share: float, expected: float) -> None:
    """The nearest-rank percentile."""
    assert percentile(sample, share) == expected


def test_a_summary_takes_medians_and_adds_answers_up() -> None:
    """Each figure's median on its own; the peak is the highest."""
    rounds = [
        Figures(10, 1, 9, Cpu(1, 2, 3), 50, {"200": 5}),
        Figures(30, 3, 7, Cpu(3, 1, 3), 70, {"200": 6, "404": 1}),
        Figures(20, 2, 8, Cpu(2, 3, 3), 60, {"200": 7}),
    ]
    assert summary(rounds) == Figures(20, 2, 8, Cpu(2, 2, 3), 70, {"200": 18, "404": 1})


def test_a_faulty_round_does_not_count_and_is_told() -> None:
    """The medians leave it out; its answers and its problem stay visible."""
    rounds = [Figures(10), Figures(1000, statuses={"500": 3}, problems=("3 x 500",)), Figures(10)]
    assert summary(rounds) == Figures(10, statuses={"500": 3}, problems=("3 x 500",))


def test_only_faulty_rounds_are_shown_with_their_problems() -> None:
    """The figures are there to look at."""
    found = summary([Figures(4, problems=("died",)), Figures(6, problems=("died",))])
    assert (found.value, found.problems) == (5, ("died",))


def test_a_ratio_compares_round_by_round() -> None:
    """A slow round slows both sides down and leaves their ratio alone."""
    ours = [Figures(100), Figures(10), Figures(80)]
    base = [Figures(50), Figures(5), Figures(20)]
    assert ratio(ours, base) == 2


def test_a_ratio_needs_a_round_that_is_sound_on_both_sides() -> None:
    """A faulty round counts for neither; without any sound one there is no ratio."""
    faulty = Figures(1, problems=("died",))
    assert ratio([Figures(6), Figures(9)], [faulty, Figures(3)]) == 3
    assert ratio([Figures(6), faulty], [faulty, Figures(3)]) is None
    assert ratio([Figures(6)], [Figures(0)]) is None
