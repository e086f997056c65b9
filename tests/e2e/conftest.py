"""The trust servers that the scenarios are played against, and people to play them."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.postgres import PostgresCluster
from tests.support.reference import Reference
from tests.support.stack import Stack

from .notary_cli import Person, TrustServer

NewPerson = Callable[[str], Person]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Scenarios are played on both databases; those through docker, which takes its time, on SQLite alone."""
    if "trust_server" in metafunc.fixturenames:
        ours = ["sqlite"] if "machine" in metafunc.fixturenames else ["sqlite", "postgres"]
        played = ["old"] if metafunc.config.getoption("--old-server") else ours
        metafunc.parametrize("trust_server", played, indirect=True, scope="session")


@contextmanager
def throw_away_stack(**settings: Any) -> Iterator[Stack]:
    """Our server and signer, over SQLite unless `settings` say otherwise; their folder is gone afterwards."""
    stack = Stack(Path(tempfile.mkdtemp(prefix="notary-e2e-")), **settings)
    try:
        with stack:
            yield stack
    finally:
        stack.destroy()


@pytest.fixture(scope="session")
def sqlite_stack() -> Iterator[Stack]:
    """Our server and signer over SQLite."""
    with throw_away_stack() as stack:
        yield stack


@pytest.fixture(scope="session")
def postgres_stack() -> Iterator[Stack]:
    """Our server and signer over PostgreSQL."""
    with PostgresCluster.temporary() as cluster:
        databases = (cluster.create_database("notaryserver"), cluster.create_database("notarysigner"))
        with throw_away_stack(databases=databases) as stack:
            yield stack


@pytest.fixture(scope="session")
def old_server() -> Iterator[TrustServer]:
    """Debian's notary-server and notary-signer."""
    with tempfile.TemporaryDirectory(prefix="notary-old-") as folder:
        reference = Reference(Path(folder))
        try:
            reference.start()
            server = reference.server()
            yield TrustServer(server.url, Path(server.ca_file))
        finally:
            reference.stop()


@pytest.fixture(scope="session")
def trust_server(request: pytest.FixtureRequest) -> TrustServer:
    """The server that the scenario is played against."""
    if request.param == "old":
        server: TrustServer = request.getfixturevalue("old_server")
        return server
    stack: Stack = request.getfixturevalue(f"{request.param}_stack")
    return TrustServer(stack.url, stack.ca_file)


@pytest.fixture
def gun() -> str:
    """A repository nobody has used yet."""
    return f"example.com/{uuid.uuid4().hex[:8]}/app"


@pytest.fixture
def person(tmp_path: Path, trust_server: TrustServer) -> NewPerson:
    """Makes people; the same name is the same person."""
    return lambda name: Person(tmp_path / name, trust_server)


@pytest.fixture
def owner(person: NewPerson, gun: str) -> Person:
    """The owner of `gun`, which is published, empty, and has its snapshot signed by the owner."""
    made = person("owner")
    made.notary("init", gun)
    made.notary("publish", gun)
    return made
