"""The command line: `python -m bench`."""

from __future__ import annotations

import sys
import tempfile
import time
from fnmatch import fnmatchcase
from pathlib import Path

import click

from tests.support.mariadb import MariaError
from tests.support.postgres import PostgresError
from tests.support.reference import ReferenceStackError
from tests.support.stack import StackError

from . import machine, report
from .rows import ROWS, Row
from .turns import Result, Turns

RESULTS = Path(__file__).with_name("RESULTS.md")


@click.command()
@click.option(
    "--only",
    "names",
    multiple=True,
    metavar="NAME",
    help="Only this row; may be given again, and hold * and ?.",
)
@click.option(
    "--seconds", default=3, show_default=True, type=click.IntRange(1, 60), help="How long one turn lasts."
)
@click.option(
    "--rounds", default=3, show_default=True, type=click.IntRange(1, 20), help="Turns of each side in a row."
)
@click.option("--list", "listing", is_flag=True, help="Only list the rows.")
def main(names: tuple[str, ...], seconds: int, rounds: int, listing: bool) -> None:
    """Measure this server and Notary 0.7.0 side by side.

    A run of all rows takes about 25 minutes and writes bench/RESULTS.md; with --only it only shows them.
    Let nothing else run on the machine meanwhile.

    \b
    Example:
      python -m bench --only 'push-*' --only ping --seconds 2 --rounds 1
    """
    rows = [row for row in ROWS if not names or any(fnmatchcase(row.name, name) for name in names)]
    if not rows:
        raise click.BadParameter(
            f"no row is called {' or '.join(names)}; --list shows them all", param_hint="--only"
        )
    if listing:
        for row in rows:
            click.echo(f"{row.name:<16} {row.title} [{row.unit}]")
        return
    try:
        results = _measured(rows, seconds, rounds)
    except (PostgresError, ReferenceStackError, StackError, MariaError) as error:
        raise click.ClickException(f"a side could not be started: {error}") from error
    text = report.document(machine.facts(), results, seconds, rounds)
    if names:
        click.echo(text)
    else:
        RESULTS.write_text(text)
        click.echo(f"Written: {RESULTS}")


def _measured(rows: list[Row], seconds: int, rounds: int) -> list[Result]:
    begun = time.monotonic()
    results = []
    with tempfile.TemporaryDirectory(prefix="notary-bench-") as folder:
        for result in Turns(Path(folder), _progress).play(rows, seconds, rounds):
            _progress("")
            click.echo(f"{time.monotonic() - begun:6.0f} s  {report.line(result)}")
            results.append(result)
    return results


def _progress(text: str) -> None:
    """On a terminal one line that is written anew, elsewhere nothing: there the rows are progress enough."""
    if sys.stderr.isatty():
        click.echo(f"\r\033[K{text}", nl=False, err=True)


if __name__ == "__main__":
    main()
