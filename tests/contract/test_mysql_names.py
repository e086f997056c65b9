"""Names of repositories that MySQL's columns cannot tell apart, or cannot hold: not stored, not found, no error on reads."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from notary_common import migrate
from notary_common.database import open_database, parse_url
from notary_common.database.engine import create_engine
from notary_server.errors import StoreUnavailable
from notary_server.storage.sql_store import SqlStore
from notary_server.tuf.names import TARGETS, Gun

from .metadata import publish


@pytest.fixture
async def mysql_store(mysql_url: str, tmp_path: Path) -> AsyncIterator[SqlStore]:
    """A store over fresh tables."""
    target = parse_url("mysql", mysql_url, tmp_path)
    engine = create_engine(target)
    await migrate.upgrade_engine(engine, "server", lambda _line: None)
    await engine.dispose()
    store = SqlStore(open_database(target))
    yield store
    await store.close()


async def test_what_cannot_be_held_is_refused(mysql_store: SqlStore) -> None:
    """Four-byte characters and a space at the end: nothing is there, and a publish says so."""
    await mysql_store.commit(await mysql_store.trust_state(Gun("app"), []), publish(1))
    for gun in (Gun("app "), Gun("app\U0001f600")):
        assert await mysql_store.current(gun, TARGETS) is None
        assert not await mysql_store.delete(gun)
        with pytest.raises(StoreUnavailable, match="cannot hold"):
            await mysql_store.commit(await mysql_store.trust_state(gun, []), publish(1))
    assert await mysql_store.current(Gun("app"), TARGETS) is not None


async def test_names_that_differ_in_case_or_accents_are_different(mysql_store: SqlStore) -> None:
    """As on the other databases."""
    guns = [Gun(name) for name in ("app", "App", "äpp", " app")]
    for gun in guns:
        await mysql_store.commit(await mysql_store.trust_state(gun, []), publish(1))
    assert await mysql_store.delete(guns[0])
    for gun in guns[1:]:
        assert await mysql_store.current(gun, TARGETS) is not None
    assert {repository.gun for repository in await mysql_store.repositories("A")} == {"App"}
