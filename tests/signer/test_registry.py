"""The contract of the key registry, on SQLite, PostgreSQL and MariaDB."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from notary_common.database import Database, open_database, parse_url
from notary_common.database.engine import EngineDatabase, create_engine
from notary_common.migrate import upgrade_engine
from notary_common.schema import tables_problem
from notary_common.wire import Algorithm
from notary_signer import encoding
from notary_signer.errors import RegistryUnavailable
from notary_signer.ports import NewKey, PrivatePart
from notary_signer.registry.schema import private_keys
from notary_signer.registry.sql_registry import SqlRegistry

GUN = "docker.io/library/ümlaut"


def new_key(seed: int, algorithm: Algorithm = "ecdsa") -> NewKey:
    public = hashlib.sha512(str(seed).encode()).digest()
    private = PrivatePart("wrapped", "kek", hashlib.sha256(public).digest())
    return NewKey(encoding.key_id(algorithm, public), algorithm, public, private)


async def test_a_stored_key_comes_back_whole(registry: SqlRegistry) -> None:
    """Every member of a record survives the database, for both ways to keep a key."""
    wrapped = new_key(1)
    resident = NewKey("f" * 64, "ed25519", b"\0" * 32, PrivatePart("resident", "", b""))
    for key in (wrapped, resident):
        stored = await registry.add_unless_unused(key, GUN, "timestamp")
        assert stored == await registry.get(key.key_id)
        assert (stored.key_id, stored.algorithm, stored.public) == (key.key_id, key.algorithm, key.public)
        assert (stored.private, stored.gun, stored.role) == (key.private, GUN, "timestamp")
        assert stored.state == "pending"
    await registry.ping()


async def test_the_unused_key_is_that_of_its_gun_role_and_algorithm(registry: SqlRegistry) -> None:
    """Another GUN, role or algorithm has a key of its own."""
    await registry.add_unless_unused(new_key(1), GUN, "timestamp")
    for gun, role, algorithm in (
        ("x", "timestamp", "ecdsa"),
        (GUN, "snapshot", "ecdsa"),
        (GUN, "timestamp", "rsa"),
    ):
        assert await registry.unused(gun, role, algorithm) is None  # type: ignore[arg-type]
    found = await registry.unused(GUN, "timestamp", "ecdsa")
    assert found is not None
    assert found.key_id == new_key(1).key_id


async def test_pending_active_retired(registry: SqlRegistry) -> None:
    """A key is unused until it has signed; retired, it is not described, cannot be used, and stays readable."""
    first, second = new_key(1), new_key(2)
    await registry.add_unless_unused(first, GUN, "snapshot")
    assert (await registry.add_unless_unused(second, GUN, "snapshot")).key_id == first.key_id
    assert await registry.get(second.key_id) is None
    assert await registry.note_version(first.key_id, 1) == "noted"
    used = await registry.get(first.key_id)
    assert used is not None
    assert used.state == "active"
    assert await registry.unused(GUN, "snapshot", "ecdsa") is None
    assert (await registry.add_unless_unused(second, GUN, "snapshot")).key_id == second.key_id
    for _ in range(2):
        await registry.retire(first.key_id)
    retired = await registry.get(first.key_id)
    assert retired is not None
    assert retired.state == "retired"
    assert await registry.note_version(first.key_id, 1) == "gone"
    assert await registry.note_version("0" * 64, 1) == "gone"
    described = await registry.describe([first.key_id, second.key_id, "0" * 64])
    assert [record.key_id for record in described] == [second.key_id]
    await registry.retire(second.key_id)
    assert await registry.unused(GUN, "snapshot", "ecdsa") is None


async def test_uses_in_one_moment_all_count(registry: SqlRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that has not moved on since the last use, or a column that holds whole seconds, is no retired key."""
    key = new_key(1)
    await registry.add_unless_unused(key, GUN, "snapshot")
    moment = datetime(2030, 1, 2, tzinfo=UTC).replace(tzinfo=None)
    monkeypatch.setattr("notary_signer.registry.rows.now", lambda: moment)
    assert await asyncio.gather(*(registry.note_version(key.key_id, 7) for _ in range(3))) == ["noted"] * 3


async def test_the_highest_version_only_grows(registry: SqlRegistry, database: Database) -> None:
    """Of versions that many processes note at once the highest stays, and whoever comes later with less is told so."""
    key = new_key(1)
    await registry.add_unless_unused(key, GUN, "timestamp")
    others = [SqlRegistry(database, print) for _ in range(3)]
    calls = [others[version % 3].note_version(key.key_id, version) for version in range(1, 31)]
    outcomes = await asyncio.gather(*calls)
    assert outcomes[-1] == "noted"
    assert set(outcomes) <= {"noted", "rollback"}
    for version, outcome in ((30, "noted"), (29, "rollback"), (31, "noted"), (1, "rollback")):
        assert await registry.note_version(key.key_id, version) == outcome
    stored = await registry.get(key.key_id)
    assert stored is not None
    assert (stored.highest_version, stored.state) == (31, "active")
    await registry.retire(key.key_id)
    assert await registry.note_version(key.key_id, 32) == "gone"


async def test_the_first_use_decides_on_the_dialect(registry: SqlRegistry, engine: AsyncEngine) -> None:
    """Of two first uses at once one wins; keys that signed before dialects were noted are Notary's."""
    key, old = new_key(1), new_key(2)
    for each, role in ((key, "timestamp"), (old, "snapshot")):
        await registry.add_unless_unused(each, GUN, role)  # type: ignore[arg-type]
    calls = [
        registry.note_version(key.key_id, 1, dialect)
        for dialect in ("notary", "tuf-1.0", "notary", "tuf-1.0")
    ]
    outcomes = await asyncio.gather(*calls)
    assert sorted(outcomes) == ["noted", "noted", "rollback", "rollback"]
    stored = await registry.get(key.key_id)
    assert stored is not None
    assert stored.dialect == ("notary" if outcomes[0] == "noted" else "tuf-1.0")
    await registry.note_version(old.key_id, 1)
    async with engine.begin() as connection:
        await connection.execute(
            private_keys.update().values(dialect=None).where(private_keys.c.key_id == old.key_id)
        )
    before = await registry.get(old.key_id)
    assert before is not None
    assert before.dialect == "notary"
    assert await registry.note_version(old.key_id, 2, "tuf-1.0") == "rollback"
    assert await registry.note_version(old.key_id, 2) == "noted"


async def test_racing_creations_agree(registry: SqlRegistry, engine: AsyncEngine) -> None:
    """Of many keys made at once for one GUN, role and algorithm exactly one is stored, and all are told it."""
    for round_number in range(3):
        gun = f"{GUN}{round_number}"
        keys = [new_key(100 * round_number + number) for number in range(20)]
        records = await asyncio.gather(*(registry.add_unless_unused(key, gun, "timestamp") for key in keys))
        assert len({record.key_id for record in records}) == 1
        async with engine.begin() as connection:
            count = sa.select(sa.func.count()).where(private_keys.c.gun == gun)
            assert await connection.scalar(count) == 1


async def test_keys_of_notarys_own_signer_are_left_alone(
    registry: SqlRegistry, engine: AsyncEngine, foreign: list[str]
) -> None:
    """A JWE row is not held, not described, not changed, not handed out as unused, and reported once."""
    row = {
        "key_id": "a" * 64, "encryption_alg": "A256GCM", "keywrap_alg": "PBES2-HS256+A128KW", "algorithm": "ecdsa",
        "passphrase_alias": "passphrase_v1", "public": b"p", "private": b"eyJ", "gun": GUN, "role": "timestamp",
    }  # fmt: skip
    async with engine.begin() as connection:
        await connection.execute(private_keys.insert().values(row))
    for _ in range(3):
        assert await registry.get("a" * 64) is None
        assert await registry.describe(["a" * 64, "b" * 64]) == []
    assert foreign == ["a" * 64]
    assert await registry.unused(GUN, "timestamp", "ecdsa") is None
    assert await registry.note_version("a" * 64, 1) == "gone"
    await registry.retire("a" * 64)
    async with engine.begin() as connection:
        stored = (await connection.execute(sa.select(private_keys))).one()
    assert (stored.last_used, stored.deleted_at, stored.private) == (None, None, b"eyJ")


async def test_a_database_that_is_gone_is_unavailable(tmp_path: Path) -> None:
    """Every method says so with its own error."""
    database = open_database(
        parse_url("postgres", "postgres://u@127.0.0.1:1/d?sslmode=disable&connect_timeout=1", tmp_path)
    )
    registry = SqlRegistry(database, print)
    for call in (
        registry.ping(), registry.get("0" * 64), registry.describe(["0" * 64]), registry.note_version("0" * 64, 1),
        registry.retire("0" * 64), registry.unused(GUN, "snapshot", "rsa"),
        registry.add_unless_unused(new_key(1), GUN, "snapshot"),
    ):  # fmt: skip
        with pytest.raises(RegistryUnavailable):
            await call
    await database.close()


async def test_notarys_own_table_is_adopted(tmp_path: Path) -> None:
    """A database of Notary 0.7.0 keeps its rows and gets what this signer needs."""
    target = parse_url("sqlite3", "old.db", tmp_path)
    engine = create_engine(target)
    async with engine.begin() as connection:
        await connection.exec_driver_sql(
            "CREATE TABLE private_keys (id integer primary key autoincrement, created_at datetime, updated_at datetime,"
            " deleted_at datetime, key_id varchar(255) not null, encryption_alg varchar(255) not null,"
            " keywrap_alg varchar(255) not null, algorithm varchar(50) not null, passphrase_alias varchar(50) not null,"
            " public blob not null, private blob not null, gun varchar(255) not null, role varchar(255) not null,"
            " last_used datetime)"
        )
        await connection.exec_driver_sql(
            "INSERT INTO private_keys VALUES (7, '2020-01-02 03:04:05.123456789+00:00', NULL, NULL, 'k', 'A256GCM', 'w',"
            " 'ecdsa', 'alias', x'00', x'01', 'g', 'timestamp', '2020-01-02 03:04:05.123456789+00:00')"
        )
    assert await tables_problem(EngineDatabase(engine), "signer") is not None
    lines: list[str] = []
    await upgrade_engine(engine, "signer", lines.append)
    assert any("adopted" in line for line in lines)
    assert await tables_problem(EngineDatabase(engine), "signer") is None
    database = open_database(target)
    registry = SqlRegistry(database, print)
    await registry.add_unless_unused(new_key(1), GUN, "snapshot")
    assert await registry.get("k") is None
    async with engine.begin() as connection:
        assert await connection.scalar(sa.select(sa.func.count()).select_from(private_keys)) == 2
    await database.close()
    await engine.dispose()


async def test_the_kek_in_use_is_the_newest_that_wraps_a_key(registry: SqlRegistry) -> None:
    """Whatever became of the key; where none wraps one, the oldest."""
    labels = ["notary-kek-9", "notary-kek-10", "notary-kek-11"]
    assert await registry.newest_kek(labels) == "notary-kek-9"
    key = new_key(1)
    part = PrivatePart("wrapped", "notary-kek-10", key.private.blob)
    await registry.add_unless_unused(NewKey(key.key_id, "ecdsa", key.public, part), GUN, "timestamp")
    await registry.retire(key.key_id)
    assert await registry.newest_kek(labels) == "notary-kek-10"
    assert await registry.newest_kek(labels[2:]) == "notary-kek-11"
