"""A real SoftHSM token, and registries in SQLite, PostgreSQL and MariaDB."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from notary_common.database import Database, DatabaseTarget, open_database, parse_url
from notary_common.database.engine import create_engine
from notary_common.migrate import upgrade_engine
from notary_signer.operations import SignerService
from notary_signer.registry.catalogue import SqlCatalogue
from notary_signer.registry.sql_registry import SqlRegistry
from notary_signer.token.hardware import HardwareToken
from tests.support import softhsm
from tests.support.mariadb_fixtures import mariadb_server, mysql_url
from tests.support.postgres_fixtures import postgres_cluster, postgres_url
from tests.support.softhsm import SoftHsm

__all__ = ["mariadb_server", "mysql_url", "postgres_cluster", "postgres_url"]


@pytest.fixture(scope="session")
def fresh_token(tmp_path_factory: pytest.TempPathFactory) -> SoftHsm:
    """A token as it was made, which nobody uses."""
    return softhsm.make(tmp_path_factory.mktemp("token") / "hsm")


@pytest.fixture
def hsm(fresh_token: SoftHsm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SoftHsm:
    """A token of the test's own, which this process finds too."""
    copied = softhsm.copy(fresh_token, tmp_path / "hsm")
    monkeypatch.setenv("SOFTHSM2_CONF", str(copied.conf))
    return copied


@pytest.fixture
def events() -> list[str]:
    """What the token told."""
    return []


@pytest.fixture
async def token(hsm: SoftHsm, events: list[str]) -> AsyncIterator[HardwareToken]:
    """The token, opened."""
    opened = HardwareToken(hsm.settings(), on_event=events.append)
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture(params=["sqlite3", "postgres", "mysql"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> DatabaseTarget:
    """Where an empty database is."""
    url = "signer.db" if request.param == "sqlite3" else request.getfixturevalue(f"{request.param}_url")
    return parse_url(request.param, url, tmp_path)


@pytest.fixture
async def engine(target: DatabaseTarget) -> AsyncIterator[AsyncEngine]:
    """That database with the signer's tables, for looking into it."""
    made = create_engine(target)
    await upgrade_engine(made, "signer", lambda line: None)
    yield made
    await made.dispose()


@pytest.fixture
async def database(target: DatabaseTarget, engine: AsyncEngine) -> AsyncIterator[Database]:
    """The same as the signer uses it."""
    opened = open_database(target)
    yield opened
    await opened.close()


@pytest.fixture
def foreign() -> list[str]:
    """Keys of another program that the registry reported."""
    return []


@pytest.fixture
def registry(database: Database, foreign: list[str]) -> SqlRegistry:
    """The registry over that database."""
    return SqlRegistry(database, foreign.append)


@pytest.fixture
def catalogue(database: Database) -> SqlCatalogue:
    """The same for operators."""
    return SqlCatalogue(database)


@pytest.fixture
def service(registry: SqlRegistry, token: HardwareToken) -> SignerService:
    """The signer's use cases over real parts."""
    return SignerService(registry, token)
