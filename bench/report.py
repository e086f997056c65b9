"""Results as text: a line for each row while it runs, and the whole as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from .figures import Figures, summary
from .goals import Verdict
from .turns import Result

_MARKS = {True: "yes", False: "**no**", None: "?"}


def verdicts(result: Result) -> list[Verdict]:
    """How each goal of a row came out."""
    return [goal.judge(result.rounds) for goal in result.row.goals]


def line(result: Result) -> str:
    """A row in short, for the screen."""
    sides = ", ".join(f"{name} {number(summary(rounds).value)}" for name, rounds in result.rounds.items())
    goals = ", ".join(f"{one.measured} ({one.goal}: {_plain(one)})" for one in verdicts(result))
    problems = "".join(
        f"\n    {name} FAILED: {'; '.join(summary(rounds).problems)}"
        for name, rounds in result.rounds.items()
        if summary(rounds).problems
    )
    return f"{result.row.name} [{result.row.unit}]: {sides} -> {goals}{problems}"


def document(facts: Mapping[str, str], results: Sequence[Result], seconds: int, rounds: int) -> str:
    """Everything as Markdown."""
    reached = [verdict.reached for result in results for verdict in verdicts(result)]
    return "\n".join(
        [
            "# Results of `make bench`",
            "",
            "Written by the bench; bench/README.md says how to read it.",
            "",
            *(f"- {name}: {value}" for name, value in facts.items()),
            f"- Medians of {rounds} rounds of {seconds} s each",
            f"- Goals: {reached.count(True)} reached, {reached.count(False)} not reached, {reached.count(None)} not judged",
            "",
            "## Goals",
            "",
            *_table(["row", "unit", "ours", "measured", "goal", "reached"], _goal_rows(results)),
            "",
            "## Figures",
            "",
            *_table(
                [
                    "row",
                    "side",
                    "value",
                    "p50 ms",
                    "p99 ms",
                    "CPU ms: server",
                    "signer",
                    "database",
                    "peak MiB",
                    "answers",
                ],
                _figure_rows(results),
            ),
            "",
            *_problems(results),
        ]
    )


def number(value: float) -> str:
    """A figure with three digits, whole from 100 on."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _goal_rows(results: Sequence[Result]) -> Iterator[list[str]]:
    for result in results:
        ours = summary(result.rounds[result.row.sides[0]])
        for verdict in verdicts(result):
            yield [
                result.row.title,
                result.row.unit,
                number(ours.value),
                verdict.measured,
                verdict.goal,
                _MARKS[verdict.reached],
            ]


def _figure_rows(results: Sequence[Result]) -> Iterator[list[str]]:
    for result in results:
        for name, rounds in result.rounds.items():
            yield [result.row.name, name, *_cells(summary(rounds))]


def _cells(one: Figures) -> list[str]:
    cpu = [one.cpu.server, one.cpu.signer, one.cpu.database]
    answers = ", ".join(f"{status}: {count:,}" for status, count in one.statuses.items())
    failed = " **failed**" if one.problems else ""
    return [
        number(one.value) + failed,
        *(f"{latency:.2f}" for latency in (one.p50, one.p99)),
        *(f"{used:.3f}" for used in cpu),
        f"{one.peak_mib:.0f}",
        answers,
    ]


def _problems(results: Sequence[Result]) -> Iterator[str]:
    found = [
        f"- {result.row.name}, {name}: {problem}"
        for result in results
        for name, rounds in result.rounds.items()
        for problem in summary(rounds).problems
    ]
    if found:
        yield from (
            "## What went wrong",
            "",
            "Rounds with these do not count, if there are others.",
            "",
            *found,
            "",
        )


def _table(head: Sequence[str], rows: Iterator[list[str]]) -> Iterator[str]:
    yield "| " + " | ".join(head) + " |"
    yield "|" + " --- |" * len(head)
    for row in rows:
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"


def _plain(verdict: Verdict) -> str:
    return {True: "reached", False: "NOT REACHED", None: "not judged"}[verdict.reached]
