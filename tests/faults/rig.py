"""Our signer and server as real processes with a gateway between them, over PostgreSQL or SQLite; all of it may be killed."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType

from deploy.local.files import overlay, write_document
from tests.publisher import Client
from tests.support.postgres import DURABLE_SETTINGS, PostgresCluster
from tests.support.stack import Daemon, Stack, free_port

from .gateway import Gateway
from .repository import Repository
from .tables import Tables

DEADLINE = 20.0


def eventually(holds: Callable[[], bool], what: str) -> None:
    """Return as soon as `holds`.

    Raises:
        AssertionError: it did not in time; `what` names it.
    """
    deadline = time.monotonic() + DEADLINE
    while not holds():
        assert time.monotonic() < deadline, f"not in {DEADLINE:g} seconds: {what}"
        time.sleep(0.01)


class Rig:
    """The processes, and what looks at them from outside.

    Attributes:
        stack: signer and server.
        gateway: between the two.
        cluster: PostgreSQL, or None with SQLite.
        database: the name of the server's database in it.
        tables: the server's database.
        client: asks the server.
    """

    def __init__(self, backend: str) -> None:
        """`backend`: `postgres` or `sqlite`."""
        self.cluster: PostgresCluster | None = None
        self.database = ""
        databases = None
        if backend == "postgres":
            self.cluster = PostgresCluster.temporary(settings=DURABLE_SETTINGS)
            self.cluster.start()
            self.database = "notaryserver"
            databases = (
                self.cluster.create_database(self.database),
                self.cluster.create_database("notarysigner"),
            )
        self.stack = Stack(Path(tempfile.mkdtemp(prefix="notary-faults-")), databases=databases)
        self.gateway = Gateway(self.stack)
        # Nothing times out while a call is held.
        self.stack.change(server={"trust_service": {"port": str(self.gateway.port), "timeout": 60}})
        self.client = Client(self.stack.url, str(self.stack.ca_file))
        if self.cluster is not None:
            self.tables = Tables.of_postgres(self.cluster, self.database)
        else:
            self.tables = Tables.of_sqlite(self.stack.folder / "server.sqlite3")

    def __enter__(self) -> Rig:
        """Start everything."""
        try:
            self.stack.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Kill everything and remove its files."""
        self.close()

    def close(self) -> None:
        """Kill everything and remove its files."""
        self.stack.destroy()
        self.gateway.close()
        if self.cluster is not None:
            self.cluster.close()

    @property
    def postgres(self) -> PostgresCluster:
        """The cluster, where there is one."""
        assert self.cluster is not None
        return self.cluster

    def kill(self, victim: str) -> None:
        """kill -9 of `server`, `signer` or `postgres`, the last with all its processes."""
        if victim == "postgres":
            self.postgres.kill()
        else:
            getattr(self.stack, victim).kill()

    def revive(self) -> None:
        """Start again whatever does not run."""
        if self.cluster is not None:
            self.cluster.start()
        self.stack.signer.start()
        self.stack.server.start()

    def repository(self, publishes: int = 1) -> Repository:
        """A new repository with so many publishes in it."""
        made = Repository(self.client)
        for number in range(1, publishes + 1):
            reply = made.publish(number)
            assert reply.status == 200, str(reply)
        return made

    def second_server(self, name: str = "second", **changes: Mapping[str, object]) -> tuple[Daemon, Client]:
        """Another server process on the same database and signer, without the gateway; not started yet.

        `changes` are laid over its configuration, section by section.
        """
        port = free_port()
        document = overlay(json.loads(self.stack.server_config.read_text()), changes)
        document["server"]["http_addr"] = f"localhost:{port}"
        document["trust_service"] |= {"port": str(self.stack.signer_port), "timeout": 5}
        folder = self.stack.folder / name
        folder.mkdir()
        config = folder / "server-config.json"
        for name in ("tls_ca_file", "tls_client_cert", "tls_client_key"):
            document["trust_service"][name] = str(self.stack.folder / document["trust_service"][name])
        write_document(config, document)
        client = Client(f"https://localhost:{port}", str(self.stack.ca_file))

        def ready() -> bool:
            try:
                return client.get("/_notary_server/health").status == 200
            except OSError:
                return False

        return Daemon("notary-server", config, self.stack.environ, ready), client
