"""The key registry as operators and the collection of unused keys use it, on SQLite, PostgreSQL and MariaDB."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from notary_signer.lifecycle import collect
from notary_signer.ports import KeyRecord, NewKey, PrivatePart
from notary_signer.registry.catalogue import SqlCatalogue
from notary_signer.registry.schema import private_keys
from notary_signer.registry.sql_registry import SqlRegistry

from .journal import Notes
from .test_registry import GUN, new_key

NOW = datetime.now(UTC)
LONG_AGO = NOW - timedelta(days=100)
MONTHS_AGO = NOW - timedelta(days=90)
SOON = NOW + timedelta(hours=1)
FOREIGN = {
    "key_id": "a" * 64, "encryption_alg": "A256GCM", "keywrap_alg": "PBES2-HS256+A128KW", "algorithm": "ecdsa",
    "passphrase_alias": "passphrase_v1", "public": b"p", "private": b"eyJ", "gun": GUN, "role": "timestamp",
}  # fmt: skip


async def age(engine: AsyncEngine, key_id: str, **times: datetime) -> None:
    """Set times of a row."""
    naive: dict[str, Any] = {name: time.replace(tzinfo=None, microsecond=0) for name, time in times.items()}
    async with engine.begin() as connection:
        await connection.execute(private_keys.update().where(private_keys.c.key_id == key_id).values(naive))


async def add(registry: SqlRegistry, seed: int, gun: str = GUN) -> NewKey:
    """Another pending key, of a repository of its own unless told otherwise."""
    key = new_key(seed)
    await registry.add_unless_unused(key, gun, "timestamp")
    return key


async def held(registry: SqlRegistry, key: NewKey) -> KeyRecord:
    """What the registry has of it."""
    found = await registry.get(key.key_id)
    assert found is not None
    return found


async def test_an_entry_says_what_became_of_a_key(
    registry: SqlRegistry, catalogue: SqlCatalogue, engine: AsyncEngine
) -> None:
    """States with their times and the highest version, in the order of making; foreign rows without times."""
    if engine.dialect.name == "sqlite":
        async with engine.begin() as connection:  # as Go spells times
            await connection.exec_driver_sql(
                "INSERT INTO private_keys (created_at, last_used, key_id, encryption_alg, keywrap_alg, algorithm,"
                " passphrase_alias, public, private, gun, role) VALUES ('2020-01-02 03:04:05.123456789+00:00',"
                f" '2020-01-02 03:04:05.123456789+00:00', '{'a' * 64}', 'A256GCM', 'x', 'ecdsa', 'p', x'00', x'01',"
                " 'other', 'timestamp')"
            )
    else:
        async with engine.begin() as connection:
            await connection.execute(private_keys.insert().values(FOREIGN | {"gun": "other"}))
    keys = [await add(registry, seed, f"{GUN}{seed}") for seed in range(4)]
    for key in keys[1:]:
        await registry.note_version(key.key_id, 7)
    first_use = (await catalogue.entries(key_id_prefix=keys[1].key_id))[0].activated_at
    await age(engine, keys[1].key_id, last_used=LONG_AGO, activated_at=LONG_AGO)
    await registry.note_version(keys[1].key_id, 8)
    for key in keys[2:]:
        await registry.retire(key.key_id)
    assert await catalogue.destroy(keys[3].key_id, SOON)
    foreign, pending, active, retired, destroyed = await catalogue.entries()
    assert [entry.state for entry in (foreign, pending, active, retired, destroyed)] == [
        "foreign", "pending", "active", "retired", "destroyed",
    ]  # fmt: skip
    assert (foreign.created_at, foreign.last_used, foreign.keeping) == (None, None, None)
    assert pending.created_at is not None
    assert (pending.activated_at, pending.highest_version) == (None, None)
    assert first_use is not None
    assert active.last_used is not None
    # A later use does not move the time of the first one.
    assert active.activated_at == LONG_AGO.replace(microsecond=0)
    assert active.last_used > LONG_AGO + timedelta(days=1)
    assert [entry.highest_version for entry in (active, retired, destroyed)] == [8, 7, 7]
    assert None not in {retired.retired_at, destroyed.retired_at, destroyed.destroyed_at}
    assert retired.destroyed_at is None
    assert await catalogue.entries(gun_prefix=f"{GUN}1") == [active]
    assert await catalogue.entries(gun_prefix=GUN.upper()) == []
    assert await catalogue.entries(key_id_prefix=keys[2].key_id[:20]) == [retired]


async def test_only_keys_that_nobody_heard_of_are_collected(
    registry: SqlRegistry, catalogue: SqlCatalogue, engine: AsyncEngine
) -> None:
    """An old unused key, retired or not, is destroyed; a fresh one, a used one, one given out again and a foreign one stay."""
    async with engine.begin() as connection:
        row = FOREIGN | {
            "created_at": LONG_AGO.replace(tzinfo=None),
            "updated_at": LONG_AGO.replace(tzinfo=None),
        }
        await connection.execute(private_keys.insert().values(row))
    old, retired, used, again, fresh = [await add(registry, seed, f"{GUN}{seed}") for seed in range(5)]
    await registry.note_version(used.key_id, 1)
    await registry.retire(retired.key_id)
    for key in (old, retired, used, again):
        await age(engine, key.key_id, created_at=LONG_AGO, updated_at=LONG_AGO)
    seen = await catalogue.abandoned(MONTHS_AGO, 10)
    assert {key.key_id for key in seen} == {old.key_id, retired.key_id, again.key_id}
    assert len(await catalogue.abandoned(MONTHS_AGO, 2)) == 2
    given = await registry.unused(f"{GUN}3", "timestamp", "ecdsa")
    assert given is not None
    assert not await catalogue.retire_abandoned(again.key_id, MONTHS_AGO)
    notes = Notes()
    collected = await collect(catalogue, notes.no_token, notes, MONTHS_AGO)
    assert {key.key_id for key in collected} == {old.key_id, retired.key_id}
    assert notes.said.count(("collect_key", "done")) == 2
    states = {key.key_id: (await held(registry, key)).state for key in (old, retired, used, again, fresh)}
    assert states == {
        old.key_id: "destroyed", retired.key_id: "destroyed", used.key_id: "active",
        again.key_id: "pending", fresh.key_id: "pending",
    }  # fmt: skip
    assert (await held(registry, old)).private.blob == b""
    assert await registry.unused(f"{GUN}0", "timestamp", "ecdsa") is None
    assert await collect(catalogue, notes.no_token, notes, MONTHS_AGO) == []


async def test_a_key_that_is_given_out_is_not_collected_at_that_moment(
    registry: SqlRegistry, catalogue: SqlCatalogue, engine: AsyncEngine
) -> None:
    """Collectors and those who ask for a key race: whoever is given one can rely on it."""
    for seed in range(8):
        gun = f"{GUN}{seed}"
        key = await add(registry, seed, gun)
        await age(engine, key.key_id, created_at=LONG_AGO, updated_at=LONG_AGO)
        notes = [Notes() for _ in range(3)]
        asking = [registry.unused(gun, "timestamp", "ecdsa") for _ in range(3)]
        adding = [registry.add_unless_unused(new_key(100 + seed), gun, "timestamp")]
        collecting = [collect(catalogue, note.no_token, note, MONTHS_AGO) for note in notes]
        outcomes = await asyncio.gather(*collecting, *asking, *adding)
        for given in outcomes[3:]:
            if isinstance(given, KeyRecord):
                assert (await registry.get(given.key_id) or given).state == "pending"


async def test_destroying_waits_for_the_grace_period(
    registry: SqlRegistry, catalogue: SqlCatalogue, engine: AsyncEngine
) -> None:
    """Only a key retired long enough ago is overwritten, once; its record stays and nothing can be done with it."""
    key = await add(registry, 1)
    assert not await catalogue.destroy(key.key_id, SOON)
    await registry.note_version(key.key_id, 3)
    await registry.retire(key.key_id)
    assert not await catalogue.destroy(key.key_id, MONTHS_AGO)
    await age(engine, key.key_id, deleted_at=LONG_AGO)
    assert await catalogue.destroy(key.key_id, MONTHS_AGO)
    assert not await catalogue.destroy(key.key_id, MONTHS_AGO)
    destroyed = await held(registry, key)
    assert (destroyed.state, destroyed.private.blob, destroyed.highest_version) == ("destroyed", b"", 3)
    assert destroyed.public == key.public
    assert await registry.describe([key.key_id]) == []
    assert await registry.note_version(key.key_id, 4) == "gone"
    assert await catalogue.kek_uses() == {}
    assert not await catalogue.swap(key.key_id, destroyed.private, key.private)


async def test_wrapped_keys_change_their_kek_one_by_one(
    registry: SqlRegistry, catalogue: SqlCatalogue
) -> None:
    """Pages of those that are wrapped otherwise, by label and by way; only the form that was read is replaced."""
    keys = sorted(
        [await add(registry, seed, f"{GUN}{seed}") for seed in range(5)], key=lambda key: key.key_id
    )
    resident = NewKey("f" * 64, "ecdsa", b"\0" * 32, PrivatePart("resident", "", b""))
    await registry.add_unless_unused(resident, "resident", "timestamp")
    await registry.retire(keys[0].key_id)
    page = await catalogue.wrapped_otherwise("ecdsa", "kek-2", "AES256-KWP", "", 3)
    assert [key.key_id for key in page] == [key.key_id for key in keys[:3]]
    rest = await catalogue.wrapped_otherwise("ecdsa", "kek-2", "AES256-KWP", page[-1].key_id, 3)
    assert [key.key_id for key in rest] == [key.key_id for key in keys[3:]]
    assert await catalogue.wrapped_otherwise("ecdsa", "kek", "AES256-KWP", "", 3) == []
    assert len(await catalogue.wrapped_otherwise("ecdsa", "kek", "AES256-KW", "", 9)) == 5
    assert await catalogue.wrapped_otherwise("rsa", "kek-2", "AES256-KWP", "", 3) == []
    assert await catalogue.kek_uses() == {("ecdsa", "kek", "AES256-KWP"): 5}
    fresh = PrivatePart("wrapped", "kek-2", b"fresh", "AES256-KW")
    assert not await catalogue.swap(keys[0].key_id, PrivatePart("wrapped", "kek", b"other"), fresh)
    assert await catalogue.swap(keys[0].key_id, keys[0].private, fresh)
    assert not await catalogue.swap(keys[0].key_id, keys[0].private, fresh)
    assert (await held(registry, keys[0])).private == fresh
    assert await catalogue.kek_uses() == {
        ("ecdsa", "kek", "AES256-KWP"): 4, ("ecdsa", "kek-2", "AES256-KW"): 1,
    }  # fmt: skip


async def test_more_keys_than_a_page(
    registry: SqlRegistry, catalogue: SqlCatalogue, engine: AsyncEngine
) -> None:
    """A list is read in pages and is whole."""
    row = FOREIGN | {"created_at": None}
    async with engine.begin() as connection:
        await connection.execute(
            private_keys.insert(), [row | {"key_id": f"{number:064x}"} for number in range(1005)]
        )
        assert await connection.scalar(sa.select(sa.func.count()).select_from(private_keys)) == 1005
    assert [entry.key_id for entry in await catalogue.entries()] == [
        f"{number:064x}" for number in range(1005)
    ]
