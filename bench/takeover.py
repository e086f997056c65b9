"""`python -m bench.takeover`: how long each step of a takeover from Notary 0.7.0 takes, for so many repositories.

The old databases are made by script, in PostgreSQL with fsync, as are the new ones; SoftHSM is the token. What counts is
that every key is imported, every row copied and every publish planned; the times hold for one machine.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from deploy.local.files import write_document
from tests.support import reference
from tests.support.postgres import DURABLE_SETTINGS, PostgresCluster
from tests.support.stack import Stack, console_script

from .old_installation import PASSPHRASE, Installation

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


def measure(number: int, folder: Path, postgres: PostgresCluster) -> None:
    """Make `number` repositories and take them over, step by step.

    Raises:
        ClickException: a step failed, or left something out.
    """
    old: dict[str, str] = {}
    for daemon, tables in (("server", reference.SERVER_TABLES), ("signer", reference.SIGNER_TABLES)):
        old[daemon] = postgres.create_database(f"old_{daemon}")
        postgres.sql(tables, f"old_{daemon}")
        write_document(
            folder / f"old-{daemon}.json", {"storage": {"backend": "postgres", "db_url": old[daemon]}}
        )
    begun = time.perf_counter()
    asyncio.run(Installation().fill(old["server"], old["signer"], number))
    click.echo(f"made {number} repositories in {time.perf_counter() - begun:.0f} s")
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
def main(guns: int) -> None:
    """Take over GUNS repositories, and show how long each step takes; the status is 1 if something was left out.

    \b
    Example:
      python -m bench.takeover --guns 1000
    """
    with (
        tempfile.TemporaryDirectory(prefix="notary-takeover-") as folder,
        PostgresCluster.temporary(settings=DURABLE_SETTINGS) as postgres,
    ):
        measure(guns, Path(folder), postgres)


if __name__ == "__main__":
    main()
