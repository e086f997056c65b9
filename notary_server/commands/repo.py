"""`notary-server repo`: what is stored. What changes or verifies it is in `upkeep` and `archive`."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from notary_common.command import config_option, stop

from . import PROGRAM
from .stored import stored

if TYPE_CHECKING:
    from ..storage.sql_store import SqlStore

Result = TypeVar("Result")


@click.group()
def repo() -> None:
    """What is stored.

    \b
    Example:
      notary-server repo list --config server-config.json
      notary-server repo show --config server-config.json registry.example.org/team/app
    """


@repo.command("list")
@config_option("server-config.json")
@click.option("--prefix", default="", help="Only repositories whose name begins with this.")
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
def list_repositories(config_file: Path, prefix: str, as_json: bool) -> None:
    """List the stored repositories with the latest version of each role.

    \b
    Example:
      notary-server repo list --config server-config.json
      notary-server repo list --config server-config.json --prefix registry.example.org/ --json
    """
    from ..repository_report import list_as_text, listed  # noqa: PLC0415

    found = _with_store(config_file, lambda store: store.repositories(prefix))
    rows = [listed(repository) for repository in found]
    click.echo(json.dumps(rows, indent=2) if as_json else list_as_text(rows))


@repo.command("show")
@config_option("server-config.json")
@click.argument("gun")
@click.option("--json", "as_json", is_flag=True, help="Write JSON, with whole key IDs and digests.")
def show_repository(config_file: Path, gun: str, as_json: bool) -> None:
    """Show the roles, signers and tags of the repository GUN.

    \b
    Example:
      notary-server repo show --config server-config.json registry.example.org/team/app
    """
    from ..repository_report import read_repository, show_as_text  # noqa: PLC0415

    report = _with_store(config_file, lambda store: read_repository(store, gun))
    if report is None:
        stop(PROGRAM, f"nothing is stored of {gun!r}; see: {PROGRAM} repo list --config {config_file}")
    click.echo(json.dumps(report, indent=2) if as_json else show_as_text(report))


@repo.command("convert")
@config_option("server-config.json")
@click.argument("gun")
@click.option(
    "--output", type=click.Path(path_type=Path, file_okay=False), required=True, help="A new directory."
)
@click.option(
    "--snapshot-key",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    required=True,
    help="What the server answers to GET /v2/NEW/_trust/tuf/snapshot.key.json.",
)
@click.option(
    "--timestamp-key",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    required=True,
    help="What it answers to GET /v2/NEW/_trust/tuf/timestamp.key.json.",
)
def convert_repository(
    config_file: Path, gun: str, output: Path, snapshot_key: Path, timestamp_key: Path
) -> None:
    """Write the repository GUN as unsigned TUF 1.0 metadata, for its owner to sign and publish under a new name.

    \b
    Example:
      curl https://notary.example.org/v2/example.org/app-tuf/_trust/tuf/snapshot.key.json > snapshot.json
      curl https://notary.example.org/v2/example.org/app-tuf/_trust/tuf/timestamp.key.json > timestamp.json
      notary-server repo convert --config server-config.json example.org/app --output app-tuf \\
        --snapshot-key snapshot.json --timestamp-key timestamp.json
    """
    from ..repository_conversion import ConversionProblem, convert_stored  # noqa: PLC0415

    try:
        conversion = _with_store(
            config_file, lambda store: convert_stored(store, gun, snapshot_key, timestamp_key)
        )
        output.mkdir(parents=True)
        for role, data in conversion.files.items():
            file = output / f"{role}.json"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
            click.echo(f"wrote {file}")
    except ConversionProblem as problem:
        stop(PROGRAM, str(problem))
    except FileExistsError:
        stop(PROGRAM, f"{output} exists already; name a directory that does not")
    except OSError as error:
        stop(PROGRAM, f"{output} cannot be written: {error.strerror}")
    click.echo("\nNot carried over as it was:")
    for note in conversion.notes:
        click.echo(f"  {note}")
    click.echo("\nNow sign each file with the keys that it lists, and publish all of them together.")


def _with_store(config_file: Path, work: Callable[[SqlStore], Awaitable[Result]]) -> Result:
    """Do `work` with the configured database; stops with a sentence if it cannot be used."""
    import asyncio  # noqa: PLC0415

    from notary_common.database import open_database  # noqa: PLC0415

    from ..errors import StoreUnavailable  # noqa: PLC0415
    from ..storage.sql_store import SqlStore  # noqa: PLC0415

    _, target = stored(config_file)

    async def run() -> Result:
        store = SqlStore(open_database(target, pool_size=1))
        try:
            return await work(store)
        finally:
            await store.close()

    try:
        return asyncio.run(run())
    except StoreUnavailable as error:
        stop(PROGRAM, f"storage.db_url: {error.message}")
