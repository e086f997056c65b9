"""`notary-server auth`: who may come in."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

import click

from notary_common.command import config_option, inspected, refuse, stop

from . import PROGRAM

if TYPE_CHECKING:
    from ..auth.access import Level, Wanted
    from ..config.auth import Auth
    from ..token_report import Report

MAX_INPUT: Final = 1 << 20
"""Characters read from standard input; a token has a few thousand."""


@click.group()
def auth() -> None:
    """Who may come in.

    \b
    Example:
      notary-server auth explain --config server-config.json < token
    """


@auth.command("explain")
@config_option("server-config.json")
@click.option(
    "--want",
    type=click.Choice(["pull", "push", "admin", "catalog"]),
    help="Also decide about this: to read (pull), publish (push), rotate keys and delete (admin), see all (catalog).",
)
@click.option("--gun", default="", help="The repository that --want is about.")
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
def explain_token(config_file: Path, want: str | None, gun: str, as_json: bool) -> None:
    """Say what the server would say of a token, which is read from standard input.

    The token itself and its signature are never shown. Ends with status 1 if the token is refused.

    \b
    Example:
      notary-server auth explain --config server-config.json < token
      notary-server auth explain --config server-config.json --want push --gun registry.example.org/team/app < token
    """
    wanted = _wanted(want, gun)
    section = _section(config_file)
    if sys.stdin.isatty():
        click.echo("paste the token, then Ctrl-D:", err=True)
    token = sys.stdin.read(MAX_INPUT).strip()
    if token.lower().startswith("bearer "):
        token = token[7:].strip()
    if not token:
        stop(PROGRAM, "standard input holds no token; e.g. run: " + f"{PROGRAM} auth explain ... < FILE")
    report = _report(section, token, wanted)
    click.echo(json.dumps(report.as_json(), indent=2) if as_json else report.as_text())
    if not report.good:
        sys.exit(1)


def _wanted(want: str | None, gun: str) -> Wanted | None:
    from ..auth.access import Wanted  # noqa: PLC0415
    from ..tuf.names import Gun, gun_problem  # noqa: PLC0415

    if want is None:
        if gun:
            raise click.UsageError("--gun says which repository; say with --want what is to be done with it")
        return None
    if want == "catalog":
        if gun:
            raise click.UsageError("--want catalog is about all repositories; leave --gun out")
    elif (problem := gun_problem(gun)) is not None:
        raise click.UsageError(f"--gun: {problem}; write the whole name, e.g. registry.example.org/team/app")
    return Wanted(cast("Level", want), Gun(gun))


def _section(config_file: Path) -> Auth:
    """The section `auth`; stops if it cannot be used."""
    from ..config import inspect  # noqa: PLC0415 - pydantic would slow --help down
    from ..token_issuers import file_problems  # noqa: PLC0415

    reading = inspected(PROGRAM, config_file, inspect)
    problems = [str(problem) for problem in reading.problems if problem.key.split(".")[0] == "auth"]
    problems = problems or file_problems(reading.draft.auth)
    if not problems and reading.draft.auth.type is None:
        problems = ["auth.type: is not set, so nobody needs a token; everybody may do everything"]
    if problems:
        refuse(PROGRAM, config_file, problems)
    return reading.draft.auth


def _report(section: Auth, token: str, wanted: Wanted | None) -> Report:
    import asyncio  # noqa: PLC0415
    import time  # noqa: PLC0415

    from ..app import SystemClock  # noqa: PLC0415
    from ..token_issuers import policy, token_access  # noqa: PLC0415
    from ..token_report import explain  # noqa: PLC0415

    async def run() -> Report:
        access = token_access(section, SystemClock())
        await access.look_everywhere()
        return explain(token, access, policy(section), wanted, time.time())

    return asyncio.run(run())
