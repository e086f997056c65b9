"""`python -m bench.rewrap`: another key-encryption key for thousands of keys, while clients publish without a pause.

Signer, server and PostgreSQL with fsync run as they do in production, SoftHSM is the token. What counts is that no publish
fails and that every key is moved; the times hold for one machine.
"""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import click

from tests.publisher import Client, Publisher, entry
from tests.support.postgres import DURABLE_SETTINGS, PostgresCluster
from tests.support.stack import Stack, console_script

from .figures import percentile

MAKERS = 4
"""Threads that have the keys made."""


@dataclass
class Publishes:
    """What publishers saw, in one phase after the other."""

    statuses: Counter[int] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)

    def __str__(self) -> str:
        """One line."""
        failed = sum(count for status, count in self.statuses.items() if status != 200)
        if not self.latencies:
            return "none"
        p50, p99 = (percentile(self.latencies, share) for share in (0.5, 0.99))
        return f"{len(self.latencies)} publishes, {failed} failed, p50 {p50:.0f} ms, p99 {p99:.0f} ms"


class Load:
    """Publishers of a repository each, which publish one version after the other."""

    def __init__(self, stack: Stack, publishers: int) -> None:
        self._stack = stack
        self._number = publishers
        self._stopped = threading.Event()
        self.phase = Publishes()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Publish while the block runs."""
        threads = [threading.Thread(target=self._publish, args=(number,)) for number in range(self._number)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stopped.set()
            for thread in threads:
                thread.join()

    def begin(self) -> Publishes:
        """What comes from now on is counted apart; what was counted until now."""
        before, self.phase = self.phase, Publishes()
        return before

    def _publish(self, number: int) -> None:
        client = Client(self._stack.url, str(self._stack.ca_file), keep_alive=True)
        owner = Publisher(f"load/{number}").learn(client)
        version = 0
        while not self._stopped.is_set():
            version += 1
            content = {str(version): entry(b"content")}
            files = {"targets": owner.targets(version, targets=content)}
            files |= {"root": owner.root()} if version == 1 else {}
            begun = time.perf_counter()
            status = client.publish(owner.gun, files).status
            phase = self.phase
            phase.latencies.append((time.perf_counter() - begun) * 1000)
            phase.statuses[status] += 1
        client.close()


def make_keys(stack: Stack, number: int) -> None:
    """Have the signer make so many keys, each of a repository of its own."""

    def some(first: int) -> None:
        context = stack.client_context(identified=True)
        connection = http.client.HTTPSConnection("localhost", stack.signer_port, context=context, timeout=60)
        for count in range(first, number, MAKERS):
            body = json.dumps({"gun": f"key/{count}", "role": "timestamp", "algorithm": "ecdsa"})
            connection.request("POST", "/v1/keys", body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            if answer.status != 200:
                raise click.ClickException(f"no key was made: {answer.read().decode()}")
            answer.read()
        connection.close()

    with ThreadPoolExecutor(MAKERS) as pool:
        list(pool.map(some, range(MAKERS)))


def rewrap(stack: Stack) -> tuple[dict[str, object], float]:
    """Run the command to its end; its summary and the seconds it took."""
    command = [console_script("notary-signer"), "keys", "rewrap", "--new-kek", "--json"]
    begun = time.perf_counter()
    done = subprocess.run(
        [*command, "--config", str(stack.signer_config)],
        env=stack.environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=False, text=True,
    )  # fmt: skip
    if not done.stdout:
        raise click.ClickException("the command failed")
    return json.loads(done.stdout), time.perf_counter() - begun


@click.command()
@click.option("--keys", default=10_000, show_default=True, type=click.IntRange(1), help="Keys to move.")
@click.option("--publishers", default=4, show_default=True, type=click.IntRange(1), help="At the same time.")
@click.option(
    "--seconds", default=20, show_default=True, type=click.IntRange(1), help="Load before and after."
)
def main(keys: int, publishers: int, seconds: int) -> None:
    """Move KEYS keys to a new key-encryption key under load; the status is 1 if a publish failed or a key stayed.

    \b
    Example:
      python -m bench.rewrap --keys 1000 --seconds 5
    """
    with (
        tempfile.TemporaryDirectory(prefix="notary-rewrap-") as folder,
        PostgresCluster.temporary(settings=DURABLE_SETTINGS) as postgres,
        Stack(
            Path(folder) / "stack",
            databases=(postgres.create_database(), postgres.create_database()),
            signer_changes={
                "limits": {"max_keys_per_client_per_hour": 1_000_000},
                "logging": {"level": "error"},
            },
            server_changes={"logging": {"level": "error"}},
        ) as stack,
    ):
        begun = time.perf_counter()
        make_keys(stack, keys)
        click.echo(f"made {keys} keys in {time.perf_counter() - begun:.0f} s")
        load = Load(stack, publishers)
        with load.running():
            time.sleep(seconds)
            before = load.begin()
            summary, took = rewrap(stack)
            during = load.begin()
            time.sleep(seconds)
        after = load.begin()
        click.echo(f"moved {summary['moved']} keys in {took:.0f} s; failed: {summary['failed'] or 'none'}")
        phases = {"before": before, "during": during, "after": after}
        for name, phase in phases.items():
            click.echo(f"{name}: {phase}")
        moved = int(str(summary["moved"])) + int(str(summary["passed"]))
        bad = sum(
            count for phase in phases.values() for status, count in phase.statuses.items() if status != 200
        )
        sys.exit(bool(bad or summary["failed"] or moved < keys))


if __name__ == "__main__":
    main()
