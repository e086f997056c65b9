"""`notary-signer audit`: is the record of every act whole?"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from notary_common.command import inspected, refuse, stop

from . import PROGRAM

if TYPE_CHECKING:
    from ..audit.verify import ExpectedHead, Outcome

_NEEDED = ("audit", "storage", "server.http_addr", "server.grpc_addr")
"""What of the configuration must be sound: the address is in the name of the chain."""


@click.group()
def audit() -> None:
    """The record of every act.

    \b
    Example:
      notary-signer audit verify --config signer-config.json
    """


@audit.command()
@click.option(
    "--config", "config_file", metavar="FILE", type=click.Path(path_type=Path),
    help="The configuration: what it says is checked, against the ends of the chains that the database has noted.",
)  # fmt: skip
@click.option(
    "--file", "file", metavar="FILE", type=click.Path(path_type=Path),
    help="Check this file (and the full ones beside it) instead of what the configuration says.",
)  # fmt: skip
@click.option(
    "--expect-head", "expected", metavar="WRITER:NUMBER:HASH", multiple=True,
    help="A record that must be there, as an earlier check or the signer's log has it; may be repeated.",
)  # fmt: skip
@click.option(
    "--begins-at", type=click.IntRange(min=1), default=1, show_default=True, metavar="NUMBER",
    help="The first record that must be there, where earlier files were put away.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Write the outcome as JSON.")
def verify(
    config_file: Path | None, file: Path | None, expected: tuple[str, ...], begins_at: int, as_json: bool
) -> None:
    """Find records that were removed, altered, put in, moved, repeated or cut off, and say where.

    Ends with status 1 if anything is wrong. The signer may run meanwhile. Note the ends of the chains that it prints
    somewhere else, and hand them in next time.

    \b
    Example:
      notary-signer audit verify --config signer-config.json
      notary-signer audit verify --file audit.jsonl --expect-head signer1/:7899:1200:9f86d08...
    """
    from ..audit.verify import ExpectedHead, verified_file  # noqa: PLC0415

    try:
        heads = [ExpectedHead.parse(text) for text in expected]
    except ValueError as problem:
        stop(PROGRAM, f"--expect-head: {problem}")
    if config_file is not None:
        outcomes = _configured(config_file, file, heads, begins_at)
    elif file is not None:
        outcomes = [verified_file(file, None, heads, begins_at=begins_at)]
    else:
        stop(PROGRAM, "say what to check: --config FILE, --file FILE, or both")
    if as_json:
        click.echo(json.dumps([outcome.document() for outcome in outcomes], indent=2))
    else:
        for outcome in outcomes:
            _tell(outcome)
    if any(outcome.findings for outcome in outcomes):
        sys.exit(1)


def _configured(
    config_file: Path, file: Path | None, heads: list[ExpectedHead], begins_at: int
) -> list[Outcome]:
    from ..auditing import verify_configured  # noqa: PLC0415
    from ..config import inspect  # noqa: PLC0415
    from ..errors import StartRefused  # noqa: PLC0415

    reading = inspected(PROGRAM, config_file, inspect)
    problems = [str(problem) for problem in reading.problems if problem.key.startswith(_NEEDED)]
    if problems:
        refuse(PROGRAM, config_file, problems)
    try:
        return verify_configured(reading.draft, file, heads, begins_at)
    except StartRefused as problem:
        stop(PROGRAM, str(problem))


def _tell(outcome: Outcome) -> None:
    for finding in outcome.findings:
        click.echo(str(finding))
    state = "is not whole" if outcome.findings else "is whole"
    click.echo(f"{outcome.name}: {outcome.records} records, the chain {state}")
    if outcome.note:
        click.echo(f"  {outcome.note}")
    if outcome.head is not None:
        click.echo(f"  its end: {outcome.writer}:{outcome.head}")
