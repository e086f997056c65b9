"""`python -m tests.fuzz`: try many inputs and say how many."""

from __future__ import annotations

import time
from typing import Any

import click


@click.command()
@click.option("--inputs", default=2000, show_default=True, help="Inputs for each target.")
@click.option("--seconds", default=0.0, help="Stop a target after so many seconds; 0: never.")
@click.option(
    "--seed", default=0, show_default=True, help="Where to begin; the same seed gives the same inputs."
)
@click.option("--only", multiple=True, help="Only targets whose name holds this; may be given again.")
def main(inputs: int, seconds: float, seed: int, only: tuple[str, ...]) -> None:
    """Fuzz everything that reads what strangers send.

    \b
    Example:
      python -m tests.fuzz --inputs 50000 --only metadata
    """
    import structlog

    from .running import TARGETS, fuzz

    # The running server's lines would drown the table.
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    total = 0
    row: Any = "{:<26}{:>10}{:>10}{:>10}".format
    click.echo(row("target", "inputs", "accepted", "seconds"))
    for name, target in TARGETS.items():
        if only and not any(part in name for part in only):
            continue
        deadline = time.monotonic() + seconds if seconds else float("inf")
        tally = fuzz(target, inputs, seed, deadline)
        total += tally.tried
        click.echo(row(name, tally.tried, tally.accepted, f"{tally.seconds:.0f}"))
    click.echo(f"{total} inputs tried, no invariant broken")


if __name__ == "__main__":
    main()
