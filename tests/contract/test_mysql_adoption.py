"""MySQL databases that a Notary 0.7.0 left behind are taken over with every row, also when an upgrade is interrupted."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from notary_common import migrate, schema
from notary_common.database import DatabaseTarget, open_database, parse_url
from notary_server.storage.sql_store import SqlStore
from notary_server.tuf.names import TARGETS, Gun
from tests.support.mariadb import MariaError, MariaServer
from tests.support.reference_mysql import FEED_TABLES, SERVER_TABLES, SIGNER_TABLES

from .database_servers import database_name
from .metadata import body, found, publish

GUN = Gun("docker.io/library/alpine")
LEFTOVER = "CREATE TABLE timestamp_keys (gun varchar(255) NOT NULL, cipher varchar(50), public blob, PRIMARY KEY (gun));"

_UPGRADE = """
import pathlib, sys
from notary_common import database, migrate
migrate.upgrade(database.parse_url("mysql", sys.argv[1], pathlib.Path()), "server", print)
"""


def _old_rows(version: int, gun: str = GUN) -> str:
    return "".join(
        "INSERT INTO tuf_files (created_at, updated_at, gun, role, version, data, sha256) VALUES "
        f"('2019-0{version}-02 03:04:05', '2019-0{version}-02 03:04:05', '{gun}', '{file.role}', "
        f"{version}, x'{file.data.hex()}', '{file.sha256}');\n"
        for file in publish(version)
    )


@pytest.fixture
def name(mysql_url: str) -> str:
    """The name of a fresh database."""
    return database_name(mysql_url)


@pytest.fixture
def target(mysql_url: str, tmp_path: Path) -> DatabaseTarget:
    """The same database."""
    return parse_url("mysql", mysql_url, tmp_path)


def _rows(server: MariaServer, name: str, *tables: str) -> str:
    return server.client("mariadb-dump", "--no-create-info", "--compact", "--hex-blob", name, *tables)


def _all(server: MariaServer, name: str) -> str:
    return server.client("mariadb-dump", "--skip-dump-date", "--hex-blob", name)


def _upgrade(target: DatabaseTarget) -> list[str]:
    lines: list[str] = []
    migrate.upgrade(target, "server", lines.append)
    return lines


@pytest.mark.parametrize("with_feed", [True, False])
async def test_an_old_database_keeps_every_row_and_goes_on(
    mariadb_server: MariaServer, target: DatabaseTarget, name: str, with_feed: bool
) -> None:
    """Old files are served with their times; a database from before the changefeed gets one, filled in order."""
    mariadb_server.sql(SERVER_TABLES + LEFTOVER + _old_rows(2) + _old_rows(1), name)
    if with_feed:
        mariadb_server.sql(
            FEED_TABLES
            + "INSERT INTO changefeed (created_at, gun, version, sha256) SELECT created_at, gun, version, sha256 "
            "FROM tuf_files WHERE role = 'timestamp' ORDER BY version;",
            name,
        )
    tables = ("tuf_files", "timestamp_keys", *(("changefeed", "schema_migrations") if with_feed else ()))
    before = _rows(mariadb_server, name, *tables)
    await asyncio.to_thread(_upgrade, target)
    assert _rows(mariadb_server, name, *tables) == before
    store = SqlStore(open_database(target))
    file = found(await store.current(GUN, TARGETS))
    assert (file.version, file.data) == (2, body(publish(2), TARGETS))
    assert file.created_at == datetime(2019, 2, 2, 3, 4, 5, tzinfo=UTC)
    await store.commit(await store.trust_state(GUN, []), publish(3))
    feed = await store.changes(None, 0, 10)
    assert [(change.version, change.category) for change in feed] == [
        (1, "update"),
        (2, "update"),
        (3, "update"),
    ]
    assert feed[0].created_at == datetime(2019, 1, 2, 3, 4, 5, tzinfo=UTC)
    await store.close()


async def test_names_are_exact_in_adopted_tables(
    mariadb_server: MariaServer, target: DatabaseTarget, name: str
) -> None:
    """The old tables take `App` and `app` for one repository; afterwards they are two."""
    mariadb_server.sql(SERVER_TABLES + FEED_TABLES + _old_rows(1, "App"), name)
    with pytest.raises(MariaError, match="Duplicate"):
        mariadb_server.sql(_old_rows(1, "app"), name)
    await asyncio.to_thread(_upgrade, target)
    store = SqlStore(open_database(target))
    small, accent = Gun("app"), Gun("äpp")
    for other in (small, accent):
        assert await store.current(other, TARGETS) is None
        await store.commit(await store.trust_state(other, []), publish(1))
    assert await store.delete(small)
    assert await store.current(Gun("App"), TARGETS) is not None
    assert await store.current(accent, TARGETS) is not None
    assert {change.gun for change in await store.changes(small, 0, 10)} == {small}
    await store.close()


@pytest.mark.parametrize("old", [True, False])
def test_a_second_upgrade_changes_nothing(
    mariadb_server: MariaServer, target: DatabaseTarget, name: str, old: bool
) -> None:
    """Neither the structure nor a row is different after another upgrade."""
    if old:
        mariadb_server.sql(SERVER_TABLES + FEED_TABLES + _old_rows(1), name)
    assert "db upgrade" in str(schema.schema_problem(target, "server"))
    _upgrade(target)
    before = _all(mariadb_server, name)
    assert _upgrade(target) == ["the tables are up to date"]
    assert _all(mariadb_server, name) == before
    assert schema.schema_problem(target, "server") is None


def test_an_interrupted_upgrade_goes_on(
    mariadb_server: MariaServer, target: DatabaseTarget, name: str
) -> None:
    """MySQL keeps each change of a table: an upgrade may have ended between any two of them."""
    mariadb_server.sql(SERVER_TABLES + _old_rows(1) + _old_rows(2), name)
    _upgrade(target)
    whole = _all(mariadb_server, name)
    for undo in (
        "TRUNCATE changefeed",
        "DROP TABLE changefeed",
        "DROP TABLE changefeed; DELETE FROM change_category WHERE category = 'deletion'",
        "DROP TABLE changefeed; DROP TABLE change_category",
        "DROP TABLE notary_server_renewals",
        "DROP TABLE notary_server_retirements",
        "DROP TABLE notary_server_expiries",
        "DROP TABLE notary_server_scans",
        "DROP TABLE notary_server_put_away",
        "DROP TABLE notary_server_webhooks",
        "DROP TABLE notary_server_dead_letters",
        "DROP TABLE notary_server_schema",
    ):
        mariadb_server.sql(f"{undo}; CREATE TABLE IF NOT EXISTS notary_server_schema (version_num varchar(32)); "
                           "DROP TABLE notary_server_schema", name)  # fmt: skip
        _upgrade(target)
        assert _all(mariadb_server, name) == whole, undo


def test_two_upgrades_take_turns(mariadb_server: MariaServer, mysql_url: str, name: str) -> None:
    """Started at the same moment, one of them does the work and the other finds it done."""
    mariadb_server.sql(SERVER_TABLES + _old_rows(1), name)
    upgrade = [sys.executable, "-c", _UPGRADE, mysql_url]
    runs = [subprocess.Popen(upgrade, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [run.communicate(timeout=60)[0].splitlines()[-1] for run in runs]
    assert sorted(said) == ["the tables are up to date", "the tables were brought up to date"]
    assert mariadb_server.sql("SELECT count(*) FROM changefeed", name) == "1"


def test_the_signers_keys_are_kept(mariadb_server: MariaServer, target: DatabaseTarget, name: str) -> None:
    """The old signer's rows stay as they are, to the byte; the columns of our own are empty."""
    mariadb_server.sql(
        SIGNER_TABLES
        + "INSERT INTO private_keys (created_at, key_id, encryption_alg, keywrap_alg, algorithm, "
        "passphrase_alias, public, private, gun, role) VALUES ('2019-01-02 03:04:05', 'k', 'A256GCM', "
        "'PBES2-HS256+A128KW', 'ecdsa', 'alias', x'00ff', x'ff00', 'g', 'timestamp')",
        name,
    )
    before = _rows(mariadb_server, name, "private_keys")
    migrate.upgrade(target, "signer", lambda _line: None)
    ours = ",NULL" * 4
    assert _rows(mariadb_server, name, "private_keys") == before.replace(");\n", f"{ours});\n")
    assert schema.schema_problem(target, "signer") is None
