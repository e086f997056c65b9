"""`notary-server doctor`: whether everything that a server depends on works."""

from __future__ import annotations

import json
from pathlib import Path

import click

from notary_common.command import config_option, inspected

from . import PROGRAM


@click.command()
@config_option("server-config.json")
@click.option(
    "--gun", default="notary-doctor", show_default=True, help="In whose name keys are made for the publish."
)
@click.option(
    "--no-publish",
    is_flag=True,
    help="Leave out the publish; then nothing is asked of the signer but its health.",
)
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
def doctor(config_file: Path, gun: str, no_publish: bool, as_json: bool) -> None:
    """Try configuration, certificates, database, clock and signers, and publish something that is stored nowhere.

    Servers may run meanwhile. Nothing is left but two retired keys at the signer. Ends with status 1 if a check failed.

    \b
    Example:
      notary-server doctor --config server-config.json
      notary-server doctor --config server-config.json --gun registry.example.org/doctor --json
    """
    import asyncio  # noqa: PLC0415

    from notary_common import log  # noqa: PLC0415 - structlog would slow --help down

    from ..config import inspect  # noqa: PLC0415
    from ..doctor.checks import Check, line, total, worst  # noqa: PLC0415
    from ..doctor.examination import examine  # noqa: PLC0415
    from ..tuf.names import Gun, gun_problem  # noqa: PLC0415

    problem = gun_problem(gun)
    if problem is not None:
        raise click.BadParameter(problem, param_hint="--gun")
    # What is tried fails on purpose, and is told below.
    log.configure("fatal", "logfmt")
    reading = inspected(PROGRAM, config_file, inspect)

    async def run() -> list[Check]:
        found = []
        async for check in examine(reading, None if no_publish else Gun(gun)):
            found.append(check)
            if not as_json:
                click.echo(line(check))
        return found

    found = asyncio.run(run())
    if as_json:
        click.echo(json.dumps([check.as_json() for check in found], indent=2))
    else:
        click.echo(f"\n{total(found)}")
    if worst(found) == "failed":
        raise SystemExit(1)
