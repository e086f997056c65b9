"""`notary-server repo reset`: a repository whose root key is lost begins anew."""

from __future__ import annotations

import json
import time
from pathlib import Path

import click

from notary_common.command import config_option, stop

from . import PROGRAM
from .stored import stored


@click.command()
@config_option("server-config.json")
@click.argument("gun")
@click.option(
    "--undo", is_flag=True, help="Bring back what was put away last, if nothing was published since."
)
@click.option("--dry-run", is_flag=True, help="Only say what would be put away.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="Write JSON; needs --yes or --dry-run.")
def reset(config_file: Path, gun: str, undo: bool, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Put the repository GUN away, so that somebody who lost its root key can publish it anew under the same name.

    Nothing is deleted: the files stay in a table of their own, and --undo brings them back as long as nothing new was published.
    Whoever publishes anew is given the same snapshot and timestamp keys, so that their versions go on. Prints
    what the owner and everybody who used the repository must do. Servers may run meanwhile.

    \b
    Example:
      notary-server repo reset --config server-config.json registry.example.org/team/app --dry-run
      notary-server repo reset --config server-config.json registry.example.org/team/app
      notary-server repo reset --config server-config.json registry.example.org/team/app --undo
    """
    import asyncio  # noqa: PLC0415

    from notary_common import log  # noqa: PLC0415 - structlog would slow --help down

    from ..errors import StoreUnavailable  # noqa: PLC0415
    from ..storage.put_away import NothingPutAway, PublishedMeanwhile  # noqa: PLC0415
    from ..upkeep import resetting  # noqa: PLC0415

    if undo and dry_run:
        raise click.UsageError("--undo has no dry run: it refuses by itself where something would be lost")
    if as_json and not (yes or dry_run or undo):
        raise click.UsageError("--json asks nothing: add --yes or --dry-run")
    log.configure("warning", "logfmt")
    _, target = stored(config_file)
    try:
        if undo:
            number = asyncio.run(resetting.undo(target, gun))
            told = {"gun": gun, "brought_back": number}
            click.echo(json.dumps(told) if as_json else f"{gun}: {number} files are served again")
            return
        foreseen = asyncio.run(resetting.reset(target, gun, None))
        if foreseen is None:
            stop(PROGRAM, f"nothing is stored of {gun!r}; see: {PROGRAM} repo list --config {config_file}")
        if not (yes or dry_run):
            click.echo(
                f"{gun}: {foreseen.rows} files, {len(foreseen.tags)} tags. Clients that know it must remove their cache."
            )
            click.confirm("Put it away?", abort=True)
        done = foreseen if dry_run else asyncio.run(resetting.reset(target, gun, time.time_ns()))
    except StoreUnavailable as error:
        stop(PROGRAM, f"storage.db_url: {error.message}")
    except NothingPutAway:
        stop(PROGRAM, f"nothing of {gun!r} is put away")
    except PublishedMeanwhile:
        stop(
            PROGRAM,
            f"{gun!r} was published anew since, which would be lost; what is put away stays where it is",
        )
    if done is None:
        stop(PROGRAM, f"{gun!r} was deleted meanwhile")
    click.echo(json.dumps(done.as_json(), indent=2) if as_json else done.as_text())
