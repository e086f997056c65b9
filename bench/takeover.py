"""`python -m bench.takeover`: how long each step of a takeover from Notary 0.7.0 takes, for so many repositories.

The old databases are made by script, in PostgreSQL or MariaDB, the new ones are in PostgreSQL, both with fsync; SoftHSM is the token. What counts is
that every key is imported, every row copied and every publish planned; the times hold for one machine.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import asyncmy
import asyncpg
import click

from deploy.local.files import write_document
from tests.support import reference, reference_mysql
from tests.support.mariadb import DURABLE_SETTINGS as MARIA_DURABLE_SETTINGS
from tests.support.mariadb import MariaServer
from tests.support.postgres import DURABLE_SETTINGS, PostgresCluster
from tests.support.stack import Stack, console_script

from .old_installation import PASSPHRASE, Installation, MysqlTables, PostgresTables, Tables

ASKED_AT_MOST = 10_000
"""Repositories of which every file is asked for over HTTP too; each file is two requests."""


class Steps:
    """Runs the commands one after the other, and shows how long each took."""

    def __init__(self, stack: Stack, number: int) -> None:
        self._stack = stack
        self._number = number

    def run(self, name: str, program: str, *arguments: str) -> Any:
        """Run a command to its end; its JSON, if it writes any.

        Raises:
            ClickException: it failed.
        """
        begun = time.perf_counter()
        done = subprocess.run(
            [console_script(program), *arguments],
            env=self._stack.environ, stdin=subprocess.DEVNULL, capture_output=True, check=False, text=True,
        )  # fmt: skip
        took = time.perf_counter() - begun
        if done.returncode != 0:
            raise click.ClickException(f"{name} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        click.echo(f"{name:<44} {took:8.1f} s {took / self._number * 1000:8.2f} ms each")
        return json.loads(done.stdout) if "--json" in arguments else None


def _must(problem: str, wrong: Sequence[object] | bool) -> None:
    if wrong:
        raise click.ClickException(f"{problem}: {str(wrong)[:2000]}")


@asynccontextmanager
async def _postgres(url: str) -> AsyncIterator[Tables]:
    connection = await asyncpg.connect(url)
    try:
        yield PostgresTables(connection)
    finally:
        await connection.close()


@asynccontextmanager
async def _mysql(maria: MariaServer, database: str) -> AsyncIterator[Tables]:
    connection = await asyncmy.connect(host="127.0.0.1", port=maria.port, user="root", db=database)
    try:
        yield MysqlTables(connection)
    finally:
        await connection.ensure_closed()


async def _fill(
    server: AbstractAsyncContextManager[Tables], signer: AbstractAsyncContextManager[Tables], number: int
) -> None:
    async with server as server_tables, signer as signer_tables:
        await Installation().fill(server_tables, signer_tables, number)


def make_on_postgres(number: int, folder: Path, postgres: PostgresCluster) -> None:
    """Make `number` repositories in PostgreSQL, and the old daemons' configurations in `folder`."""
    tables = {"server": reference.SERVER_TABLES, "signer": reference.SIGNER_TABLES}
    url = {daemon: postgres.create_database(f"old_{daemon}") for daemon in tables}
    for daemon, text in tables.items():
        postgres.sql(text, f"old_{daemon}")
        _configure(folder, daemon, "postgres", url[daemon])
    asyncio.run(_fill(_postgres(url["server"]), _postgres(url["signer"]), number))


def make_on_mysql(number: int, folder: Path, maria: MariaServer) -> None:
    """Make `number` repositories in MariaDB, and the old daemons' configurations in `folder`."""
    tables = {
        "server": reference_mysql.SERVER_TABLES + reference_mysql.FEED_TABLES,
        "signer": reference_mysql.SIGNER_TABLES,
    }
    for daemon, text in tables.items():
        url = maria.create_database(f"old_{daemon}", charset="utf8mb3")
        maria.sql(text, f"old_{daemon}")
        _configure(folder, daemon, "mysql", url)
    asyncio.run(_fill(_mysql(maria, "old_server"), _mysql(maria, "old_signer"), number))


def _configure(folder: Path, daemon: str, backend: str, url: str) -> None:
    write_document(folder / f"old-{daemon}.json", {"storage": {"backend": backend, "db_url": url}})


def measure(number: int, folder: Path, postgres: PostgresCluster) -> None:
    """Take over the `number` repositories of the old daemons that `folder` configures, step by step, into PostgreSQL.

    Raises:
        ClickException: a step failed, or left something out.
    """
    stack = Stack(
        folder / "stack",
        databases=(postgres.create_database(), postgres.create_database()),
        signer_changes={"audit": {"file": str(folder / "audit.jsonl")}, "logging": {"level": "error"}},
        server_changes={"logging": {"level": "error"}},
    )
    passphrase = folder / "passphrase"
    passphrase.touch(0o600)
    passphrase.write_text(PASSPHRASE)
    try:
        stack.prepare()
        _take_over(Steps(stack, number), stack, folder, passphrase, number)
    finally:
        stack.destroy()


def _take_over(steps: Steps, stack: Stack, folder: Path, passphrase: Path, number: int) -> None:
    old_server, old_signer = str(folder / "old-server.json"), str(folder / "old-signer.json")
    server = ("--config", str(stack.server_config), "--old-server", old_server)
    signer = ("--config", str(stack.signer_config), "--from-config", old_signer)
    opened = ("--passphrase-file", str(passphrase), "--json")
    plan = steps.run(
        "takeover plan",
        "notary-server",
        "takeover",
        "plan",
        *server[2:],
        "--old-signer",
        old_signer,
        "--json",
    )
    _must("the plan found something", plan["findings"])
    imported = steps.run("keys import", "notary-signer", "keys", "import", *signer, *opened)["counts"]
    _must("keys were left out", imported["imported"] != 2 * number and [imported])
    steps.run("keys import, once more", "notary-signer", "keys", "import", *signer, *opened)
    steps.run("takeover run", "notary-server", "takeover", "run", *server)
    steps.run("takeover run, once more (nothing is served)", "notary-server", "takeover", "run", *server)
    stack.signer.start()
    proof = steps.run("takeover verify", "notary-server", "takeover", "verify", *server, "--json")
    _must("not as before", proof["problems"])
    _must("publishes were not planned", proof["publishes_planned"] != number)
    if number <= ASKED_AT_MOST:
        stack.server.start()
        asked = ("--url", stack.url, "--ca-file", str(stack.ca_file), "--json")
        proof = steps.run("takeover verify --url", "notary-server", "takeover", "verify", *server, *asked)
        _must("not answered as before", proof["problems"])


@click.command()
@click.option("--guns", default=1000, show_default=True, type=click.IntRange(1), help="Repositories.")
@click.option(
    "--mysql", is_flag=True, help="The old databases are in MariaDB; the new ones are in PostgreSQL."
)
def main(guns: int, mysql: bool) -> None:
    """Take over GUNS repositories, and show how long each step takes; the status is 1 if something was left out.

    \b
    Example:
      python -m bench.takeover --guns 1000
      python -m bench.takeover --guns 1000 --mysql
    """
    with ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="notary-takeover-")))
        postgres = opened.enter_context(PostgresCluster.temporary(settings=DURABLE_SETTINGS))
        begun = time.perf_counter()
        if mysql:
            maria = opened.enter_context(MariaServer.temporary(settings=MARIA_DURABLE_SETTINGS))
            make_on_mysql(guns, folder, maria)
        else:
            make_on_postgres(guns, folder, postgres)
        click.echo(f"made {guns} repositories in {time.perf_counter() - begun:.0f} s")
        measure(guns, folder, postgres)


if __name__ == "__main__":
    main()
