"""Every implementation of the port `MetadataStore`, each over an empty database with the tables made."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from notary_common import migrate
from notary_common.database import Database, DatabaseTarget, open_database, parse_url
from notary_common.database.engine import create_engine
from notary_server.storage.sql_store import SqlStore
from tests.support.mariadb_fixtures import mariadb_server, mysql_url
from tests.support.postgres_fixtures import postgres_cluster, postgres_url

__all__ = ["mariadb_server", "mysql_url", "postgres_cluster", "postgres_url"]


@pytest.fixture(params=["sqlite-file", "sqlite-memory", "postgres", "mysql"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> DatabaseTarget:
    """The database of one test; what the suite is run against."""
    if request.param == "sqlite-file":
        return parse_url("sqlite3", "notary.db", tmp_path)
    if request.param == "sqlite-memory":
        return parse_url("memory", "", tmp_path)
    return parse_url(request.param, request.getfixturevalue(f"{request.param}_url"), tmp_path)


@pytest.fixture
async def engine(target: DatabaseTarget) -> AsyncIterator[AsyncEngine]:
    """An engine whose database has Notary's tables."""
    engine = create_engine(target)
    await migrate.upgrade_engine(engine, "server", lambda _line: None)
    yield engine
    await engine.dispose()


@pytest.fixture
async def database(engine: AsyncEngine, target: DatabaseTarget) -> AsyncIterator[Database]:
    """The same database as a store sees it."""
    opened = open_database(target)
    yield opened
    await opened.close()


@pytest.fixture
async def store(database: Database) -> AsyncIterator[SqlStore]:
    """The store under test."""
    store = SqlStore(database)
    yield store
    await store.close()


@pytest.fixture
async def stores(store: SqlStore, target: DatabaseTarget) -> AsyncIterator[list[SqlStore]]:
    """Two stores over one database, each with connections and a cache of its own."""
    second = SqlStore(open_database(target))
    yield [store, second]
    await second.close()
