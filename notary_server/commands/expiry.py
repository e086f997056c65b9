"""`notary-server expiry report`: what ends, and whom to call."""

from __future__ import annotations

import json
import time
from pathlib import Path

import click

from notary_common.command import config_option, stop

from . import PROGRAM
from .span import Span
from .stored import stored


@click.group()
def expiry() -> None:
    """What ends when.

    \b
    Example:
      notary-server expiry report --config server-config.json --within 3y
    """


@expiry.command("report")
@config_option("server-config.json")
@click.option(
    "--within",
    "days",
    type=Span(),
    default="90d",
    show_default=True,
    metavar="TIME",
    help="How far to look ahead, in days or years. What is over already is always told.",
)
@click.option("--prefix", default="", help="Only repositories whose name begins with this.")
@click.option(
    "--owners",
    "owners_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Whom to call: a file with lines PREFIX,CONTACT. The longest prefix that fits counts.",
)
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
def report(config_file: Path, days: int, prefix: str, owners_file: Path | None, as_json: bool) -> None:
    """List what ends soon, of every repository: metadata, and root certificates, which live ten years from the first publish.

    Looks at all that is stored, also where servers have not run yet. Changes nothing. Ends with status 1 if anything
    is listed.

    \b
    Example:
      notary-server expiry report --config server-config.json
      notary-server expiry report --config server-config.json --within 3y --owners owners.csv
      notary-server expiry report --config server-config.json --prefix registry.example.org/team --json
    """
    import asyncio  # noqa: PLC0415

    from notary_common import log  # noqa: PLC0415 - structlog would slow --help down
    from notary_common.database import DatabaseError  # noqa: PLC0415
    from notary_common.tls import TlsError  # noqa: PLC0415

    from ..expiry import report as made  # noqa: PLC0415
    from ..expiry.scanner import DAY  # noqa: PLC0415

    log.configure("warning", "logfmt")
    _, target = stored(config_file)
    now_ns = time.time_ns()
    try:
        owners = made.read_owners(owners_file) if owners_file is not None else {}
        entries = asyncio.run(made.report(target, owners, prefix, now_ns, days * DAY))
    except (DatabaseError, TlsError, made.OwnersProblem) as problem:
        stop(PROGRAM, str(problem))
    if as_json:
        click.echo(json.dumps([entry.as_json(now_ns) for entry in entries], indent=2))
    else:
        click.echo(made.as_text(entries, now_ns, f"{days} days"))
    if entries:
        raise SystemExit(1)
