"""The sides that are measured: ours and the reference, each with its own database, signer and server."""

from __future__ import annotations

import os
import time
from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.publisher import Client, Key
from tests.support.mariadb import DURABLE_SETTINGS as DURABLE_MARIADB
from tests.support.postgres import DURABLE_SETTINGS, PostgresCluster
from tests.support.reference import Reference
from tests.support.reference_mysql import MysqlReference
from tests.support.stack import Stack

from . import seeding
from .seeding import Gun

WORKERS = 2
"""Server processes of ours: one for each core of the machine that the targets are about."""
POSTGRES_SETTINGS = {
    **DURABLE_SETTINGS,
    "shared_buffers": "'128MB'",
    "max_connections": "300",  # the reference opens one for every request that runs
}
MARIADB_SETTINGS = {
    **DURABLE_MARIADB,
    "innodb_buffer_pool_size": "128M",  # what PostgreSQL's shared_buffers have
    "max_connections": "300",
    "max_allowed_packet": "64M",  # an upload of 10,000 tags is one parameter of 2 MB
}


@dataclass
class Repository:
    """A published repository: who signs its targets, and the latest version that was tried."""

    gun: str
    key: Key
    version: int = 1

    @property
    def path(self) -> str:
        """Where uploads go."""
        return Client.path(self.gun, "tuf/")


class Side(ABC):
    """One server with all that it needs, and what the bench knows to be stored there.

    Attributes:
        url, ca_file: how clients reach it.
        seeded: how many repositories of `seeding` it holds.
        published: the repositories that were really published there, by name below `seeding.PREFIX`.
        extras: what else was put into its database, by a name that says it.
        primed: the loads that its caches are warm for.
        processes: how many of them have a cache each.
    """

    url: str
    ca_file: str
    processes = 1

    def __init__(self, name: str) -> None:
        self.name = name
        self.seeded = 0
        self.published: dict[str, Repository] = {}
        self.extras: set[str] = set()
        self.primed: set[Hashable] = set()

    @property
    @abstractmethod
    def pids(self) -> dict[str, int]:
        """The process IDs of `server`, `signer` and `database`, each the head of its processes."""

    @property
    @abstractmethod
    def alive(self) -> bool:
        """Whether signer and server run."""

    @abstractmethod
    def start(self) -> None:
        """Start database, signer and server."""

    @abstractmethod
    def stop(self) -> None:
        """End everything."""

    def restart(self) -> float:
        """End signer and server and start both anew; the seconds from the start until both are ready."""
        self.primed.clear()
        return self._restart()

    @abstractmethod
    def _restart(self) -> float:
        """Implements `restart`."""

    @abstractmethod
    def insert(self, guns: Iterable[Gun]) -> None:
        """Put whole repositories into the database."""

    def seed(self, count: int) -> None:
        """Let at least `count` repositories of `seeding` be stored."""
        if count > self.seeded:
            self.insert(seeding.gun(number) for number in range(self.seeded, count))
            self.seeded = count

    def client(self) -> Client:
        """A client that keeps its connection."""
        return Client(self.url, self.ca_file, keep_alive=True)


class Ours(Side):
    """This project's signer and server on a database of its own in `cluster`."""

    processes = WORKERS

    def __init__(self, name: str, folder: Path, cluster: PostgresCluster) -> None:
        super().__init__(name)
        self._cluster = cluster
        self._database = name.replace("-", "_")
        self._folder = folder / name

    def start(self) -> None:
        """Implements `Side`."""
        databases = (
            self._cluster.create_database(self._database),
            self._cluster.create_database(f"{self._database}_signer"),
        )
        quiet = {"logging": {"level": "error"}}
        # One machine plays all clients: what one of them may ask for is not what is measured.
        limits = {"client_writes": 0, "repository_writes": 0, "client_keys": 0, "repository_keys": 0}
        server = quiet | {"limits": {**limits, "max_client_connections": 0}}
        signer = quiet | {"limits": {"max_keys_per_client_per_hour": 1_000_000}}
        self._stack = Stack(self._folder, databases=databases, server_changes=server, signer_changes=signer)
        self._stack.server.options = ("--workers", str(WORKERS))
        # As for any user, byte code is kept: this counts for the time to start.
        for daemon in (self._stack.signer, self._stack.server):
            daemon.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        self._stack.start()
        self.url = f"https://127.0.0.1:{self._stack.port}"
        self.ca_file = str(self._stack.ca_file)

    def stop(self) -> None:
        """Implements `Side`."""
        self._stack.stop()

    @property
    def pids(self) -> dict[str, int]:
        """Implements `Side`."""
        found = {
            "server": self._stack.server.pid,
            "signer": self._stack.signer.pid,
            "database": self._cluster.pid,
        }
        return {name: pid for name, pid in found.items() if pid is not None}

    @property
    def alive(self) -> bool:
        """Implements `Side`."""
        return self._stack.server.pid is not None and self._stack.signer.pid is not None

    def _restart(self) -> float:
        """Implements `Side`."""
        self._stack.stop()
        begun = time.perf_counter()
        for daemon in (self._stack.signer, self._stack.server):
            daemon.start(wait=False)
        for daemon in (self._stack.signer, self._stack.server):
            daemon.wait_ready()
        return time.perf_counter() - begun

    def insert(self, guns: Iterable[Gun]) -> None:
        """Implements `Side`."""
        seeding.copy_to_postgres(self._cluster.url(self._database), guns)

    def sql(self, text: str) -> None:
        """Run statements on the server's database."""
        self._cluster.sql(text, self._database)


class Notary(Side):
    """Debian's notary-server and notary-signer on a PostgreSQL of their own."""

    def __init__(self, name: str, folder: Path) -> None:
        super().__init__(name)
        self._folder = folder / name

    def start(self) -> None:
        """Implements `Side`."""
        self._folder.mkdir(parents=True)
        self._reference = self._make()
        self._reference.start()
        self._server = self._reference.server()
        self.url = f"https://127.0.0.1:{self._server.port}"
        self.ca_file = self._server.ca_file

    def _make(self) -> Reference:
        return Reference(self._folder, settings=POSTGRES_SETTINGS)

    def stop(self) -> None:
        """Implements `Side`."""
        self._reference.stop()

    @property
    def pids(self) -> dict[str, int]:
        """Implements `Side`."""
        found = {
            "server": self._server.pid,
            "signer": self._reference.signer_pid,
            "database": self._database_pid,
        }
        return {name: pid for name, pid in found.items() if pid is not None}

    @property
    def _database_pid(self) -> int | None:
        return self._reference.postgres.pid

    @property
    def alive(self) -> bool:
        """Implements `Side`."""
        return self._server.running() and self._reference.signer_pid is not None

    def _restart(self) -> float:
        """Implements `Side`. The reference's server needs its signer first."""
        self._server.stop()
        self._reference.stop_signer()
        begun = time.perf_counter()
        self._reference.start_signer()
        self._server.start()
        return time.perf_counter() - begun

    def insert(self, guns: Iterable[Gun]) -> None:
        """Implements `Side`."""
        seeding.copy_to_postgres(self._reference.postgres.url("notaryserver"), guns)


class NotaryOnMariadb(Notary):
    """The same daemons on a MariaDB of their own."""

    def _make(self) -> Reference:
        made = MysqlReference(self._folder, settings=MARIADB_SETTINGS)
        self._mariadb = made.mariadb
        return made

    @property
    def _database_pid(self) -> int | None:
        return self._mariadb.pid

    def insert(self, guns: Iterable[Gun]) -> None:
        """Implements `Side`."""
        self._mariadb.sql("\n".join(seeding.mysql_statements(guns)), "notaryserver")


def postgres_cluster(folder: Path) -> PostgresCluster:
    """The PostgreSQL that all sides of ours share, not started yet."""
    if os.geteuid() == 0:
        folder.chmod(0o711)  # PostgreSQL then runs as a user of its own, and must reach its directory
    return PostgresCluster(folder / "postgres", settings=POSTGRES_SETTINGS)
