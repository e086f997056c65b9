"""The command line: `python -m bench.signer`. Signatures per second of 1, 2 and 4 signers beside the token alone."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import click
import uvloop

from tests.support.postgres import PostgresError
from tests.support.stack import StackError

from . import machine
from .figures import Figures, ratio, summary
from .signing import Signers

PROCESSES = (1, 2, 4)
CALLERS = 16
"""Repositories that are published to at once."""


@dataclass(frozen=True)
class Row:
    """What is measured: so many processes, and so many callers; no callers: the token alone."""

    processes: int
    callers: int = 0


ROWS = (
    *(Row(number) for number in PROCESSES),
    Row(1, callers=1),
    *(Row(number, CALLERS) for number in PROCESSES),
)
"""A caller alone shows what a publish waits for; with more signers he would still use one."""


@click.command()
@click.option(
    "--seconds", default=5, show_default=True, type=click.IntRange(1, 60), help="How long one turn lasts."
)
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1, 20), help="Turns of each row.")
def main(seconds: int, rounds: int) -> None:
    """Measure signatures per second of 1, 2 and 4 signers that share one registry and one token.

    Shows a table; with the defaults it takes three minutes. Let nothing else run on the machine meanwhile.

    \b
    Example:
      python -m bench.signer --seconds 2 --rounds 1
    """
    measured: dict[Row, list[Figures]] = {row: [] for row in ROWS}
    loads = [os.getloadavg()[0]]
    with tempfile.TemporaryDirectory(prefix="notary-bench-signer-") as folder:
        try:
            with Signers(Path(folder), max(PROCESSES)) as signers:
                for number in range(1, rounds + 1):
                    for row in ROWS:
                        _progress(f"round {number} of {rounds}: {_name(row)}")
                        measured[row].append(_turn(signers, row, seconds))
        except (PostgresError, StackError) as error:
            raise click.ClickException(f"the signers could not be started: {error}") from error
    loads.append(os.getloadavg()[0])
    _progress("")
    facts = machine.facts()
    for fact in ("Date", "Revision", "CPU", "Cores", "Python", "PostgreSQL"):
        click.echo(f"- {fact}: {facts[fact]}")
    click.echo(f"- Load average before and after: {loads[0]:.1f}, {loads[1]:.1f}")
    click.echo(f"- Medians of {rounds} rounds of {seconds} s each\n")
    click.echo(table(measured))


def _turn(signers: Signers, row: Row, seconds: float) -> Figures:
    if not row.callers:
        return signers.alone(row.processes, seconds)
    return uvloop.run(signers.measure(row.processes, row.callers, seconds))


def table(measured: Mapping[Row, list[Figures]]) -> str:
    """The rows as Markdown, each signer's share of what the token alone does with as many processes beside it."""
    lines = [
        "| | signatures/s | of the token alone | p50 ms | p99 ms | CPU ms: signers | database |",
        "|---|---|---|---|---|---|---|",
    ]
    for row, rounds in measured.items():
        of = ratio(rounds, measured[Row(row.processes)]) if row.callers else None
        share = "" if of is None else f"{of:.1%}"
        one = summary(rounds)
        cpu = f"{one.cpu.signer:.2f} | {one.cpu.database:.2f}" if row.callers else " | "
        lines.append(f"| {_name(row)} | {one.value:.0f} | {share} | {one.p50:.2f} | {one.p99:.2f} | {cpu} |")
        lines += [f"\n{_name(row)} FAILED: {problem}\n" for problem in one.problems]
    return "\n".join(lines)


def _name(row: Row) -> str:
    processes = f"{row.processes} process{'es' * (row.processes > 1)}"
    if not row.callers:
        return f"token alone, {processes}"
    signers = f"{row.processes} signer{'s' * (row.processes > 1)}"
    return f"{signers}, {row.callers} caller{'s' * (row.callers > 1)}"


def _progress(text: str) -> None:
    """On a terminal one line that is written anew, elsewhere nothing."""
    if sys.stderr.isatty():
        click.echo(f"\r\033[K{text}", nl=False, err=True)


if __name__ == "__main__":
    main()
