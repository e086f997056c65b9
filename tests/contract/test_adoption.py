"""Databases that a Notary 0.7.0 left behind are taken over with every row; upgrading twice changes nothing."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from notary_common import migrate, schema
from notary_common.database import open_database, parse_url
from notary_server.storage.sql_store import SqlStore
from notary_server.tuf.names import ROOT, SNAPSHOT, TARGETS, TIMESTAMP, Gun
from tests.support.postgres import PostgresCluster

from .metadata import body, found, publish

GUN = Gun("docker.io/library/alpine")

OLD_FILES = """
CREATE TABLE tuf_files (id serial PRIMARY KEY, created_at timestamp NULL DEFAULT NULL,
    updated_at timestamp NULL DEFAULT NULL, deleted_at timestamp NULL DEFAULT NULL,
    gun varchar(255) NOT NULL, role varchar(255) NOT NULL, version integer NOT NULL, data bytea NOT NULL,
    sha256 char(64) DEFAULT NULL, UNIQUE (gun, role, version));
CREATE INDEX tuf_files_sha256_idx ON tuf_files (sha256);
"""
OLD_FEED = """
CREATE TABLE change_category (category varchar(20) PRIMARY KEY);
INSERT INTO change_category VALUES ('update'), ('deletion');
CREATE TABLE changefeed (id serial PRIMARY KEY, created_at timestamp DEFAULT CURRENT_TIMESTAMP,
    gun varchar(255) NOT NULL, version integer NOT NULL, sha256 char(64) DEFAULT NULL,
    category varchar(20) NOT NULL DEFAULT 'update' REFERENCES change_category);
CREATE INDEX idx_changefeed_gun ON changefeed (gun);
CREATE TABLE schema_migrations (version bigint PRIMARY KEY, dirty boolean NOT NULL);
INSERT INTO schema_migrations VALUES (2, false);
"""


def _old_rows(version: int) -> str:
    return "".join(
        f"INSERT INTO tuf_files (created_at, updated_at, gun, role, version, data, sha256) VALUES "
        f"('2019-0{version}-02 03:04:05.678', '2019-0{version}-02 03:04:05.678', '{GUN}', '{file.role}', "
        f"{version}, decode('{file.data.hex()}', 'hex'), '{file.sha256}');\n"
        for file in publish(version)
    )


def _dump(cluster: PostgresCluster, name: str) -> str:
    """The whole database as SQL, apart from pg_dump's random marks."""
    done = subprocess.run(
        [str(cluster.programs / "pg_dump"), "-h", "127.0.0.1", "-p", str(cluster.port), "-U", "postgres", name],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    return "\n".join(
        line for line in done.stdout.splitlines() if not line.startswith(("\\restrict", "\\unrestrict"))
    )


@pytest.fixture
def name(postgres_url: str) -> str:
    """The name of a fresh database."""
    return postgres_url.rpartition("/")[2].partition("?")[0]


async def test_an_old_database_keeps_every_row_and_goes_on(
    postgres_cluster: PostgresCluster, postgres_url: str, name: str, tmp_path: Path
) -> None:
    """Old files are served with their times, the old changefeed goes on, golang-migrate's table is left alone."""
    postgres_cluster.sql(OLD_FILES + OLD_FEED + _old_rows(1) + _old_rows(2), name)
    postgres_cluster.sql(
        "INSERT INTO changefeed (created_at, gun, version, sha256) SELECT created_at, gun, version, sha256 "
        "FROM tuf_files WHERE role = 'timestamp' ORDER BY version;"
        "INSERT INTO changefeed (gun, version, sha256, category) VALUES ('gone', 0, '', 'deletion');"
        "INSERT INTO changefeed (gun, version, category) VALUES ('gone too', 0, 'deletion');",
        name,
    )
    rows = postgres_cluster.sql("SELECT * FROM tuf_files ORDER BY id", name)
    target = parse_url("postgres", postgres_url, tmp_path)
    lines: list[str] = []
    await asyncio.to_thread(migrate.upgrade, target, "server", lines.append)
    store = SqlStore(open_database(target))

    assert "adopted the table tuf_files with 8 rows" in lines
    assert postgres_cluster.sql("SELECT * FROM tuf_files ORDER BY id", name) == rows
    assert postgres_cluster.sql("SELECT version, dirty FROM schema_migrations", name) == "2|f"
    file = found(await store.current(GUN, TARGETS))
    assert (file.version, file.data) == (2, body(publish(2), TARGETS))
    assert file.created_at == datetime(2019, 2, 2, 3, 4, 5, 678000, UTC)
    assert [
        (change.gun, change.version, change.sha256[:1] != "") for change in await store.changes(None, 0, 10)
    ] == [
        (GUN, 1, True),
        (GUN, 2, True),
        ("gone", 0, False),
        ("gone too", 0, False),
    ]
    await store.commit(await store.trust_state(GUN, []), publish(3))
    assert [change.version for change in await store.changes(GUN, 0, 10)] == [1, 2, 3]
    await store.close()


async def test_a_database_from_before_the_changefeed_gets_a_filled_one(
    postgres_cluster: PostgresCluster, postgres_url: str, name: str, tmp_path: Path
) -> None:
    """Every stored timestamp becomes a record, oldest first, with its own time."""
    postgres_cluster.sql(OLD_FILES + _old_rows(2) + _old_rows(1), name)
    target = parse_url("postgres", postgres_url, tmp_path)
    await asyncio.to_thread(migrate.upgrade, target, "server", lambda _line: None)
    store = SqlStore(open_database(target))
    feed = await store.changes(None, 0, 10)
    assert [(change.version, change.created_at.month, change.category) for change in feed] == [
        (1, 1, "update"),
        (2, 2, "update"),
    ]
    await store.close()


@pytest.mark.parametrize("old", [True, False])
def test_a_second_upgrade_changes_nothing(
    postgres_cluster: PostgresCluster, postgres_url: str, name: str, tmp_path: Path, old: bool
) -> None:
    """Neither the structure nor a row is different after another upgrade."""
    if old:
        postgres_cluster.sql(OLD_FILES + OLD_FEED + _old_rows(1), name)
    target = parse_url("postgres", postgres_url, tmp_path)
    assert "db upgrade" in str(schema.schema_problem(target, "server"))
    migrate.upgrade(target, "server", lambda _line: None)
    before = _dump(postgres_cluster, name)
    lines: list[str] = []
    migrate.upgrade(target, "server", lines.append)
    assert _dump(postgres_cluster, name) == before
    assert lines == ["the tables are up to date"]
    assert schema.schema_problem(target, "server") is None


def test_new_tables_are_what_the_old_server_made(postgres_cluster: PostgresCluster, tmp_path: Path) -> None:
    """Same columns, types, defaults and indexes, so that a Notary 0.7.0 can go on with the database."""
    question = (
        "SELECT table_name, column_name, data_type, character_maximum_length, is_nullable, column_default "
        "FROM information_schema.columns WHERE table_schema = 'public' AND table_name IN "
        "('tuf_files', 'changefeed', 'change_category') ORDER BY table_name, ordinal_position;"
        "SELECT tablename, indexdef FROM pg_indexes WHERE tablename IN "
        "('tuf_files', 'changefeed', 'change_category') ORDER BY 1, 2;"
        "SELECT * FROM change_category ORDER BY 1"
    )
    found = []
    for old in (True, False):
        url = postgres_cluster.create_database()
        name = url.rpartition("/")[2].partition("?")[0]
        if old:
            postgres_cluster.sql(OLD_FILES + OLD_FEED, name)
        else:
            migrate.upgrade(parse_url("postgres", url, tmp_path), "server", lambda _line: None)
        shown = postgres_cluster.sql(question, name).replace("::bpchar", "").replace("NULL", "")
        found.append(shown.replace("changefeed|id|bigint", "changefeed|id|integer"))  # widened by us
        postgres_cluster.drop_database(name)
    assert found[0] == found[1]


def test_tables_that_cannot_be_adopted_are_left_as_they_are(
    postgres_cluster: PostgresCluster, postgres_url: str, name: str, tmp_path: Path
) -> None:
    """A table of another shape stops the upgrade with its missing columns named, and nothing has changed."""
    postgres_cluster.sql("CREATE TABLE tuf_files (id serial PRIMARY KEY, gun text, role text)", name)
    before = _dump(postgres_cluster, name)
    with pytest.raises(migrate.SchemaError, match="tuf_files has no column created_at, data"):
        migrate.upgrade(parse_url("postgres", postgres_url, tmp_path), "server", lambda _line: None)
    assert _dump(postgres_cluster, name) == before


def test_duplicate_versions_stop_the_adoption(
    postgres_cluster: PostgresCluster, postgres_url: str, name: str, tmp_path: Path
) -> None:
    """Without the unique index of old there may be rows that contradict it; they are not chosen among."""
    postgres_cluster.sql(OLD_FILES.replace(", UNIQUE (gun, role, version)", "") + _old_rows(1) * 2, name)
    with pytest.raises(migrate.SchemaError, match="same gun, role, version"):
        migrate.upgrade(parse_url("postgres", postgres_url, tmp_path), "server", lambda _line: None)


def test_a_database_of_a_newer_version_is_refused(
    postgres_cluster: PostgresCluster, postgres_url: str, name: str, tmp_path: Path
) -> None:
    """A revision that this program does not know is named as such and never touched."""
    target = parse_url("postgres", postgres_url, tmp_path)
    migrate.upgrade(target, "server", lambda _line: None)
    postgres_cluster.sql("UPDATE notary_server_schema SET version_num = 'server_9999'", name)
    assert "newer" in str(schema.schema_problem(target, "server"))
    with pytest.raises(migrate.SchemaError, match="newer"):
        migrate.upgrade(target, "server", lambda _line: None)


async def test_a_go_sqlite_file_is_adopted(tmp_path: Path) -> None:
    """Tables as gorm makes them on SQLite, with times that name their zone, are read and continued."""
    path = tmp_path / "old.db"
    files = publish(1)
    with sqlite3.connect(path) as old:
        old.executescript(
            """CREATE TABLE "tuf_files" ("id" integer primary key autoincrement, "created_at" datetime,
               "updated_at" datetime, "deleted_at" datetime, "gun" varchar(255) NOT NULL,
               "role" varchar(255) NOT NULL, "version" integer NOT NULL, "sha256" varchar(64),
               "data" longblob NOT NULL);
               CREATE UNIQUE INDEX idx_gun ON "tuf_files"(gun, "role", "version");
               CREATE INDEX idx_tuf_files_sha256 ON "tuf_files"(sha256);"""
        )
        old.executemany(
            "INSERT INTO tuf_files (created_at, updated_at, gun, role, version, sha256, data) "
            "VALUES ('2019-01-02 05:04:05.678123456+02:00', NULL, ?, ?, 1, ?, ?)",
            [(GUN, file.role, file.sha256, file.data) for file in files],
        )
    old.close()
    target = parse_url("sqlite3", "old.db", tmp_path)
    await asyncio.to_thread(migrate.upgrade, target, "server", lambda _line: None)
    store = SqlStore(open_database(target))
    for role in (ROOT, TARGETS, SNAPSHOT, TIMESTAMP):
        file = found(await store.current(GUN, role))
        assert file.data == body(files, role)
        assert file.created_at == datetime(2019, 1, 2, 3, 4, 5, 678123, UTC)
    await store.commit(await store.trust_state(GUN, []), publish(2))
    assert [change.version for change in await store.changes(GUN, 0, 10)] == [1, 2]
    await store.close()


def test_sqlite_upgrade_is_one_step_and_repeatable(tmp_path: Path) -> None:
    """The file appears next to the configuration, is in WAL mode, and a second upgrade changes nothing."""
    target = parse_url("sqlite3", "notary.db", tmp_path)
    migrate.upgrade(target, "server", lambda _line: None)
    with sqlite3.connect(tmp_path / "notary.db") as connection:
        before = list(connection.iterdump())
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    migrate.upgrade(target, "server", lambda _line: None)
    assert list(connection.iterdump()) == before
    connection.close()
    assert schema.schema_problem(target, "server") is None
