"""`notary-server db`: the tables."""

from __future__ import annotations

from pathlib import Path

import click

from notary_common.command import config_option, inspected, upgrade_database

from . import PROGRAM


@click.group()
def db() -> None:
    """The server's database.

    \b
    Example:
      notary-server db upgrade --config server-config.json
    """


@db.command()
@config_option("server-config.json")
def upgrade(config_file: Path) -> None:
    """Make the tables this version needs, in a new database or in one of Notary's.

    Does nothing if they are there already. Only the file's `storage` section is looked at.

    \b
    Example:
      notary-server db upgrade --config server-config.json
    """
    from ..config import inspect  # noqa: PLC0415 - pydantic would slow --help down

    upgrade_database(PROGRAM, inspected(PROGRAM, config_file, inspect), "server", config_file)
