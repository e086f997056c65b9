"""`notary-server repo verify | prune | renew`: what an operator runs now and then."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import click

from notary_common.command import config_option, stop

from . import PROGRAM
from .span import Span
from .stored import stored

if TYPE_CHECKING:
    from ..inspection.examine import Finding

gun_argument = click.argument("gun", required=False)
all_option = click.option("--all", "every", is_flag=True, help="All repositories.")


@click.command()
@config_option("server-config.json")
@gun_argument
@all_option
@click.option(
    "--json", "as_json", is_flag=True, help="Write JSON: a line for each finding, and one with the counts."
)
def verify(config_file: Path, gun: str | None, every: bool, as_json: bool) -> None:
    """Verify the repository GUN, or --all: roots, hashes, signatures, expiry, versions, keys. Changes nothing.

    Ends with status 1 if anything is broken or for an owner to do.

    \b
    Example:
      notary-server repo verify --config server-config.json registry.example.org/team/app
      notary-server repo verify --config server-config.json --all --json
    """
    one_or_all(gun, every)
    config, target = stored(config_file, whole=True)

    def tell(finding: Finding) -> None:
        from ..inspection.tally import as_json as written  # noqa: PLC0415

        if as_json:
            click.echo(json.dumps(written(finding)))

    verified = _done(config_file, lambda runs: runs.verify(config, target, gun, tell))
    click.echo(json.dumps(verified.as_json()) if as_json else verified.as_text())
    if not verified.sound:
        raise SystemExit(1)


@click.command()
@config_option("server-config.json")
@gun_argument
@all_option
@click.option(
    "--older-than",
    "days",
    type=Span(at_least=1),
    default="30d",
    show_default=True,
    metavar="DAYS",
    help="The grace period: whatever clients could be led to in these last days stays.",
)
@click.option("--dry-run", is_flag=True, help="Only say how much would be deleted.")
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
def prune(config_file: Path, gun: str | None, every: bool, days: int, dry_run: bool, as_json: bool) -> None:
    """Delete old versions of the repository GUN, or of --all, that no client can be led to any more.

    All roots stay, what the current timestamp leads to, and whatever was current within the grace period. Servers may
    go on meanwhile. Ends with status 1 if a repository was left alone because it is damaged.

    \b
    Example:
      notary-server repo prune --config server-config.json --all --dry-run
      notary-server repo prune --config server-config.json --all --older-than 90d
    """
    one_or_all(gun, every)
    _, target = stored(config_file)
    pruned = _done(config_file, lambda runs: runs.prune_rows(target, gun, days, dry_run=dry_run))
    click.echo(json.dumps(pruned.as_json(), indent=2) if as_json else pruned.as_text())
    if pruned.torn:
        if not as_json:
            click.echo(f"see what is wrong: {PROGRAM} repo verify --config {config_file} GUN", err=True)
        raise SystemExit(1)


@click.command()
@config_option("server-config.json")
@gun_argument
@all_option
@click.option("--dry-run", is_flag=True, help="Only say how many repositories would be renewed.")
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
def renew(config_file: Path, gun: str | None, every: bool, dry_run: bool, as_json: bool) -> None:
    """Sign the timestamp of GUN, or of --all, anew, and the snapshot if the server signs it, due or not.

    For after a restore: the new versions are above all that the keys have signed, so that clients which have seen later ones go
    on. Ends with status 1 if a repository could not be renewed.

    \b
    Example:
      notary-server repo renew --config server-config.json registry.example.org/team/app
      notary-server repo renew --config server-config.json --all
    """
    one_or_all(gun, every)
    config, target = stored(config_file, whole=True)
    from ..errors import NotaryError  # noqa: PLC0415 - with the rest it would slow --help down
    from ..upkeep.renew import renew_repositories  # noqa: PLC0415

    try:
        renewed = run(config_file, lambda: renew_repositories(config, target, gun, dry_run=dry_run))
    except NotaryError as problem:
        stop(PROGRAM, f"{problem.message}; what was renewed so far stays")
    click.echo(json.dumps(renewed.as_json(), indent=2) if as_json else renewed.as_text())
    if renewed.impossible:
        raise SystemExit(1)


def one_or_all(gun: str | None, every: bool) -> None:
    """Raises: UsageError: neither is given, or both."""
    if (gun is None) != every:
        raise click.UsageError("name one repository, or --all")


def _done(config_file: Path, work: Callable[[ModuleType], Coroutine[Any, Any, Any]]) -> Any:
    """What comes of `work`, given `upkeep.runs`; stops as `run` does."""

    async def given() -> Any:
        from ..upkeep import runs  # noqa: PLC0415

        return await work(runs)

    return run(config_file, given)


def run(config_file: Path, work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """What comes of `work`; stops with a sentence if a database cannot be used, or nothing is stored of a name."""
    import asyncio  # noqa: PLC0415

    from notary_common import log  # noqa: PLC0415 - structlog would slow --help down
    from notary_common.database import DatabaseError  # noqa: PLC0415
    from notary_common.tls import TlsError  # noqa: PLC0415

    from ..upkeep.runs import NothingStored  # noqa: PLC0415

    # To standard error, so that JSON stays JSON.
    log.configure("warning", "logfmt")
    try:
        return asyncio.run(work())
    except NothingStored as problem:
        name = str(problem)
        stop(PROGRAM, f"nothing is stored of {name!r}; see: {PROGRAM} repo list --config {config_file}")
    except (DatabaseError, TlsError) as problem:
        stop(PROGRAM, str(problem))
