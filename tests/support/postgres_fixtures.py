"""Fixtures over a private PostgreSQL; a conftest imports them by name."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from .postgres import PostgresCluster


@pytest.fixture(scope="session")
def postgres_cluster() -> Iterator[PostgresCluster]:
    """One cluster for the whole session, fast rather than safe against power cuts."""
    with PostgresCluster.temporary() as cluster:
        yield cluster


@pytest.fixture
def postgres_url(postgres_cluster: PostgresCluster) -> Iterator[str]:
    """A fresh empty database, dropped afterwards."""
    name = f"notary_{uuid.uuid4().hex[:12]}"
    yield postgres_cluster.create_database(name)
    postgres_cluster.drop_database(name)
