"""A real SoftHSM token, and registries in SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from notary_common.database import create_engine, parse_url
from notary_common.migrate import upgrade_engine
from notary_signer.operations import SignerService
from notary_signer.registry.sql_registry import SqlRegistry
from notary_signer.token.hardware import HardwareToken
from tests.support import softhsm
from tests.support.postgres import PostgresCluster
from tests.support.softhsm import SoftHsm


@pytest.fixture(scope="session")
def signer_postgres() -> Iterator[PostgresCluster]:
    """One PostgreSQL for all tests of the signer."""
    with PostgresCluster.temporary() as cluster:
        yield cluster


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
    opened = HardwareToken(None, hsm.label, hsm.pin_file, on_event=events.append)
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture(params=["sqlite3", "postgres"])
async def engine(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[AsyncEngine]:
    """A database with the signer's tables."""
    url = "signer.db"
    if request.param == "postgres":
        url = request.getfixturevalue("signer_postgres").create_database()
    made = create_engine(parse_url(request.param, url, tmp_path))
    await upgrade_engine(made, "signer", lambda line: None)
    yield made
    await made.dispose()


@pytest.fixture
def foreign() -> list[str]:
    """Keys of another program that the registry reported."""
    return []


@pytest.fixture
def registry(engine: AsyncEngine, foreign: list[str]) -> SqlRegistry:
    """The registry over that database."""
    return SqlRegistry(engine, foreign.append)


@pytest.fixture
def service(registry: SqlRegistry, token: HardwareToken) -> SignerService:
    """The signer's use cases over real parts."""
    return SignerService(registry, token)
