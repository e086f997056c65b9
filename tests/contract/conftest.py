"""Every implementation of the port `MetadataStore`, each over an empty database with the tables made."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from notary_common import migrate
from notary_common.database import DatabaseTarget, create_engine, parse_url
from notary_server.storage.sql_store import SqlStore
from tests.support.postgres_fixtures import postgres_cluster, postgres_url

__all__ = ["postgres_cluster", "postgres_url"]


@pytest.fixture(params=["sqlite-file", "sqlite-memory", "postgres"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> DatabaseTarget:
    """The database of one test; what the suite is run against."""
    if request.param == "sqlite-file":
        return parse_url("sqlite3", "notary.db", tmp_path)
    if request.param == "sqlite-memory":
        return parse_url("memory", "", tmp_path)
    return parse_url("postgres", request.getfixturevalue("postgres_url"), tmp_path)


@pytest.fixture
async def engine(target: DatabaseTarget) -> AsyncIterator[AsyncEngine]:
    """An engine whose database has Notary's tables."""
    engine = create_engine(target)
    await migrate.upgrade_engine(engine, "server", lambda _line: None)
    yield engine
    await engine.dispose()


@pytest.fixture
async def store(engine: AsyncEngine) -> SqlStore:
    """The store under test."""
    return SqlStore(engine)
