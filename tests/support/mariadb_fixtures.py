"""Fixtures over a private MariaDB; a conftest imports them by name."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from .mariadb import MariaServer


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[MariaServer]:
    """One server for the whole session, fast rather than safe against power cuts."""
    with MariaServer.temporary() as server:
        yield server


@pytest.fixture
def mysql_url(mariadb_server: MariaServer) -> Iterator[str]:
    """The address of a fresh empty database, dropped afterwards."""
    name = f"notary_{uuid.uuid4().hex[:12]}"
    yield mariadb_server.create_database(name)
    mariadb_server.drop_database(name)
