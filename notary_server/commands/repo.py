"""`notary-server repo`: what is stored."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from notary_common.command import config_option, database_problems, database_target, inspected, refuse, stop

from . import PROGRAM

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


def _with_store(config_file: Path, work: Callable[[SqlStore], Awaitable[Result]]) -> Result:
    """Do `work` with the configured database; stops with a sentence if it cannot be used."""
    import asyncio  # noqa: PLC0415

    from notary_common.database import open_database  # noqa: PLC0415

    from ..config import inspect  # noqa: PLC0415
    from ..errors import StoreUnavailable  # noqa: PLC0415
    from ..storage.sql_store import SqlStore  # noqa: PLC0415

    reading = inspected(PROGRAM, config_file, inspect)
    draft = reading.draft
    problems = [str(problem) for problem in reading.problems if problem.key.split(".")[0] == "storage"]
    problems = problems or database_problems(draft.storage, draft.base_dir, "server", config_file)
    if problems:
        refuse(PROGRAM, config_file, problems)
    target = database_target(draft.storage, draft.base_dir)
    if target.in_memory:
        refuse(PROGRAM, config_file, ["storage: a database in memory can only be seen by the server itself"])

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
