"""A server with a moved clock for what time does, and both daemons as real processes for the whole way."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from notary_server.http.call import Settings
from tests.http.running import Running, SettableClock
from tests.support.mariadb import MariaServer
from tests.support.postgres import PostgresCluster
from tests.support.stack import Stack

from .owner import Server


@dataclass(frozen=True)
class Timed:
    """A server in this process, and its clock."""

    server: Server
    clock: SettableClock


@pytest.fixture(scope="session")
def targets_base_urls() -> dict[str, str]:
    """Where the target files of repositories are: filled by tests, read by the server."""
    return {}


@pytest.fixture(scope="session")
def running(targets_base_urls: dict[str, str]) -> Iterator[Running]:
    """A server over a database in memory."""
    with Running(Settings(targets_base_urls=targets_base_urls)) as one:
        yield one


@pytest.fixture
def server(running: Running) -> Server:
    """Where it is."""
    return Server(f"http://127.0.0.1:{running.port}")


@pytest.fixture
def timed() -> Iterator[Timed]:
    """A server whose time a test may move."""
    with Running() as one:
        yield Timed(Server(f"http://127.0.0.1:{one.port}"), one.clock)


@contextmanager
def _two_databases(kind: str) -> Iterator[tuple[str, str] | None]:
    """Empty ones for server and signer; None for SQLite."""
    if kind == "sqlite":
        yield None
        return
    with (PostgresCluster if kind == "postgres" else MariaServer).temporary() as made:
        yield made.create_database(), made.create_database()


@pytest.fixture(scope="session", params=["sqlite", "postgres", "mysql"])
def stack(request: pytest.FixtureRequest) -> Iterator[Stack]:
    """Server and signer over each kind of database and a SoftHSM token."""
    with _two_databases(request.param) as databases:
        made = Stack(Path(tempfile.mkdtemp(prefix="notary-tuf-")), databases=databases)
        try:
            with made:
                yield made
        finally:
            made.destroy()


@pytest.fixture
def gun() -> str:
    """A repository nobody has used yet."""
    return f"example.com/{uuid.uuid4().hex[:8]}/app"
