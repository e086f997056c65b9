"""`python -m bench.takeover_proof`: a thousand repositories of a real Notary 0.7.0 are taken over and given back.

Real clients and scripts publish to every repository before, after and after the way back, with the same keys and the same
trust data. It ends at the first refusal, warning or difference; the times hold for one machine.
"""

from __future__ import annotations

import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import click

from tests.e2e.docker_engine import engine, registry
from tests.e2e.takeover import Takeover
from tests.support.mariadb import DURABLE_SETTINGS as MARIA_DURABLE_SETTINGS
from tests.support.mariadb import MariaServer
from tests.support.postgres import DURABLE_SETTINGS, PostgresCluster
from tests.support.reference import Reference
from tests.support.reference_mysql import MysqlReference
from tests.support.stack import Stack

IN_PLACE = "in-place"


def _installations(opened: ExitStack, old: str, new: str) -> tuple[Reference, Stack]:
    """Notary 0.7.0, running, and ours, not yet prepared."""
    folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="notary-old-")))
    reference = (
        MysqlReference(folder, settings=MARIA_DURABLE_SETTINGS)
        if old == "mysql"
        else Reference(folder, settings=DURABLE_SETTINGS)
    )
    opened.callback(reference.stop)
    reference.start()
    databases: tuple[str, str] | None = None
    if new == IN_PLACE:
        databases = (reference.storage("notaryserver")["db_url"], reference.create_database("ours"))
    elif new == "postgres":
        cluster = opened.enter_context(PostgresCluster.temporary(settings=DURABLE_SETTINGS))
        databases = (cluster.create_database(), cluster.create_database())
    elif new == "mysql":
        maria = opened.enter_context(MariaServer.temporary(settings=MARIA_DURABLE_SETTINGS))
        databases = (maria.create_database("server"), maria.create_database("signer"))
    stack = Stack(
        Path(tempfile.mkdtemp(prefix="notary-new-")),
        databases=databases,
        signer_changes={"logging": {"level": "error"}},
        server_changes={"logging": {"level": "error"}},
    )
    opened.callback(stack.destroy)
    return reference, stack


def _docker(opened: ExitStack) -> tuple[str, str]:
    folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="notary-docker-")))
    return opened.enter_context(engine(folder)), opened.enter_context(registry(folder))


def _show(step: str, since: float) -> float:
    now = time.perf_counter()
    click.echo(f"{step:<74} {now - since:8.1f} s")
    return now


@click.command()
@click.option("--guns", default=1000, show_default=True, type=click.IntRange(1), help="Repositories.")
@click.option("--notary", default=60, show_default=True, type=click.IntRange(0),
              help="How many of them belong to people with the real notary client.")  # fmt: skip
@click.option("--docker", default=4, show_default=True, type=click.IntRange(0),
              help="How many belong to people with the real docker client; needs root for dockerd.")  # fmt: skip
@click.option("--old", type=click.Choice(["postgres", "mysql"]), default="postgres", show_default=True,
              help="The database of the old pair.")  # fmt: skip
@click.option("--new", type=click.Choice([IN_PLACE, "postgres", "mysql", "sqlite3"]), default=IN_PLACE,
              show_default=True, help="Where the repositories are afterwards.")  # fmt: skip
def main(guns: int, notary: int, docker: int, old: str, new: str) -> None:
    """Take over GUNS repositories of a real Notary 0.7.0, with everybody publishing on, and give them back.

    \b
    Example:
      python -m bench.takeover_proof --guns 1000
      python -m bench.takeover_proof --guns 1000 --old mysql --new postgres
    """
    if notary + docker > guns:
        raise click.UsageError("--notary and --docker together are more than --guns")
    with ExitStack() as opened:
        began = time.perf_counter()
        reference, stack = _installations(opened, old, new)
        people = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="notary-people-")))
        machine = _docker(opened) if docker else ("", "")
        proof = Takeover(reference, stack, people, in_place=new == IN_PLACE)
        since = _show("databases, Notary's pair, engine and registry start", began)
        proof.begin(notary, guns - notary - docker, docker, machine)
        last = f"{guns} repositories are made, {notary} by notary and {docker} by docker"
        for step in proof.there_and_back():
            since = _show(last, since)
            last = step
        _show(last, since)
        click.echo(
            f"{proof.repositories} repositories go on everywhere: no rotation, no warning, no difference"
        )


if __name__ == "__main__":
    main()
