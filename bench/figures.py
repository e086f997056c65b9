"""What one measurement gives, and the statistics over several of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median


@dataclass(frozen=True)
class Cpu:
    """CPU milliseconds per unit of work, of each daemon with its children."""

    server: float = 0.0
    signer: float = 0.0
    database: float = 0.0


@dataclass(frozen=True)
class Figures:
    """One side, one row, one round.

    Attributes:
        value: what the row is about, in its own unit; units of work per second unless the row says otherwise.
        p50, p99: latency of one request, in milliseconds.
        peak_mib: the largest resident size that one server process reached.
        statuses: how many answers there were of each kind.
        problems: why these figures do not count; empty if they do.
    """

    value: float
    p50: float = 0.0
    p99: float = 0.0
    cpu: Cpu = Cpu()
    peak_mib: float = 0.0
    statuses: Mapping[str, int] = field(default_factory=dict)
    problems: tuple[str, ...] = ()


def percentile(sample: Sequence[float], share: float) -> float:
    """The smallest of `sample` that at least `share` (0 to 1) of it do not exceed; 0 of nothing."""
    if not sample:
        return 0.0
    ordered = sorted(sample)
    rank = -(-len(ordered) * round(share * 1000) // 1000)
    return ordered[max(rank, 1) - 1]


def summary(rounds: Sequence[Figures]) -> Figures:
    """Each figure's median over the sound rounds, all answers added up, and the problems of every round.

    Without a sound round the medians are over the faulty ones, and the problems say so.
    """
    sound = [one for one in rounds if not one.problems] or list(rounds)
    statuses: Counter[str] = Counter()
    for one in rounds:
        statuses.update(one.statuses)
    return Figures(
        value=median(one.value for one in sound),
        p50=median(one.p50 for one in sound),
        p99=median(one.p99 for one in sound),
        cpu=Cpu(
            median(one.cpu.server for one in sound),
            median(one.cpu.signer for one in sound),
            median(one.cpu.database for one in sound),
        ),
        peak_mib=max(one.peak_mib for one in sound),
        statuses=dict(sorted(statuses.items())),
        problems=tuple(dict.fromkeys(problem for one in rounds for problem in one.problems)),
    )


def ratio(rounds: Sequence[Figures], base: Sequence[Figures]) -> float | None:
    """The median of the ratios of each round's two values; None if no round is sound on both sides.

    Round by round, because the machine's speed drifts: what slows one side down slows down the other.
    """
    pairs = zip(rounds, base, strict=True)
    sound = [(one.value, of.value) for one, of in pairs if not one.problems and not of.problems and of.value]
    return median(value / of for value, of in sound) if sound else None
