"""The key registry in SQL, on whatever database."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Final

import sqlalchemy as sa

from notary_common.database import Database, DatabaseError, Query, among
from notary_common.wire import Algorithm, OnlineRole
from notary_signer.errors import RegistryUnavailable
from notary_signer.ports import KeyRecord, NewKey, PrivatePart

from .schema import ENCRYPTION_ALG, KEEPING, KEYWRAP_ALG, private_keys

MAX_HINTS: Final = 1000
"""Foreign keys that are remembered as reported; beyond them nothing more is reported."""

_KEYS: Final = private_keys.c
_OURS: Final = sa.or_(*(_KEYS.encryption_alg == ours for ours in KEEPING))
_HELD: Final = sa.and_(_OURS, _KEYS.deleted_at.is_(None))
_COLUMNS: Final = (
    _KEYS.key_id,
    _KEYS.algorithm,
    _KEYS.public,
    _KEYS.encryption_alg,
    _KEYS.passphrase_alias,
    _KEYS.private,
    _KEYS.gun,
    _KEYS.role,
    _KEYS.last_used,
    _KEYS.deleted_at,
)
"""What `_record` takes apart, in this order."""

_NEW: Final = tuple(
    _KEYS[name]
    for name in (
        "created_at", "updated_at", "key_id", "encryption_alg", "keywrap_alg", "algorithm", "passphrase_alias",
        "public", "private", "gun", "role",
    )
)  # fmt: skip
_UNUSED: Final = sa.and_(
    _HELD,
    _KEYS.gun == sa.bindparam("gun"),
    _KEYS.role == sa.bindparam("role"),
    _KEYS.algorithm == sa.bindparam("algorithm"),
    _KEYS.last_used.is_(None),
)

_GET: Final = Query(lambda _: sa.select(*_COLUMNS).where(_KEYS.key_id == sa.bindparam("key_id"), _OURS))
_DESCRIBE: Final = Query(lambda kind: sa.select(*_COLUMNS).where(among(_KEYS.key_id, "key_ids", kind), _HELD))
_FOREIGN: Final = Query(
    lambda kind: sa.select(_KEYS.key_id).where(among(_KEYS.key_id, "key_ids", kind), sa.not_(_OURS))
)
_FIND_UNUSED: Final = Query(lambda _: sa.select(*_COLUMNS).where(_UNUSED).order_by(_KEYS.id).limit(1))
_ADD: Final = Query(
    lambda _: private_keys.insert().from_select(
        [column.name for column in _NEW],
        sa.select(*(sa.bindparam(column.name, type_=column.type) for column in _NEW)).where(
            ~sa.exists(sa.select(_KEYS.id).where(_UNUSED))
        ),
    )
)
_MARK_USED: Final = Query(lambda _: _stamp("last_used"))
_RETIRE: Final = Query(lambda _: _stamp("deleted_at"))
_PING: Final = Query(lambda _: sa.select(_KEYS.id).limit(1))


def _stamp(column: str) -> sa.Update:
    now = sa.bindparam("now", type_=sa.DateTime())
    return (
        private_keys.update()
        .where(_KEYS.key_id == sa.bindparam("wanted"), _HELD)
        .values({column: now, "updated_at": now})
    )


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)


def _aware(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.replace(tzinfo=UTC)


def _record(row: Sequence[Any]) -> KeyRecord:
    key_id, algorithm, public, keeping, kek_label, blob, gun, role, last_used, deleted_at = row
    return KeyRecord(
        key_id=key_id,
        algorithm=algorithm,
        public=bytes(public),
        private=PrivatePart(KEEPING[keeping], kek_label, bytes(blob)),
        gun=gun,
        role=role,
        last_used=_aware(last_used),
        deleted_at=_aware(deleted_at),
    )


class SqlRegistry:
    """Implements `ports.KeyRegistry`. Whoever opened the database closes it."""

    def __init__(self, database: Database, on_foreign: Callable[[str], None]) -> None:
        """`on_foreign` is told, once each, the ID of a key that was asked for but is another program's."""
        self._database = database
        self._on_foreign = on_foreign
        self._hinted: set[str] = set()

    async def unused(self, gun: str, role: OnlineRole, algorithm: Algorithm) -> KeyRecord | None:
        """See `ports.KeyRegistry.unused`."""
        async with _translated(), self._database.statement() as session:
            rows = await session.rows(_FIND_UNUSED, gun=gun, role=role, algorithm=algorithm)
        return _record(rows[0]) if rows else None

    async def add_unless_unused(self, key: NewKey, gun: str, role: OnlineRole) -> KeyRecord:
        """See `ports.KeyRegistry.add_unless_unused`."""
        turn = "\0".join(("notary-signer", gun, role, key.algorithm))
        async with _translated(), self._database.transaction(turn) as session:
            if not await session.run(_ADD, **_values(key, gun, role)):
                (row,) = await session.rows(_FIND_UNUSED, gun=gun, role=role, algorithm=key.algorithm)
                return _record(row)
        return KeyRecord(key.key_id, key.algorithm, key.public, key.private, gun, role, None, None)

    async def get(self, key_id: str) -> KeyRecord | None:
        """See `ports.KeyRegistry.get`."""
        async with _translated(), self._database.statement() as session:
            rows = await session.rows(_GET, key_id=key_id)
        if rows:
            return _record(rows[0])
        await self._hint({key_id})
        return None

    async def describe(self, key_ids: list[str]) -> list[KeyRecord]:
        """See `ports.KeyRegistry.describe`."""
        if not key_ids:
            return []
        async with _translated(), self._database.statement() as session:
            records = [_record(row) for row in await session.rows(_DESCRIBE, key_ids=key_ids)]
        await self._hint(set(key_ids) - {record.key_id for record in records})
        return records

    async def _hint(self, missing: set[str]) -> None:
        missing = missing - self._hinted
        if not missing:
            return
        async with _translated(), self._database.statement() as session:
            foreign = [row[0] for row in await session.rows(_FOREIGN, key_ids=list(missing))]
        for key_id in foreign:
            if len(self._hinted) < MAX_HINTS:
                self._hinted.add(key_id)
                self._on_foreign(key_id)

    async def mark_used(self, key_id: str) -> bool:
        """See `ports.KeyRegistry.mark_used`."""
        async with _translated(), self._database.statement() as session:
            return await session.run(_MARK_USED, wanted=key_id, now=_now()) == 1

    async def retire(self, key_id: str) -> None:
        """See `ports.KeyRegistry.retire`."""
        async with _translated(), self._database.statement() as session:
            await session.run(_RETIRE, wanted=key_id, now=_now())

    async def ping(self) -> None:
        """See `ports.KeyRegistry.ping`."""
        async with _translated(), self._database.statement() as session:
            await session.rows(_PING)


def _values(key: NewKey, gun: str, role: OnlineRole) -> dict[str, object]:
    now = _now()
    return {
        "created_at": now,
        "updated_at": now,
        "key_id": key.key_id,
        "encryption_alg": ENCRYPTION_ALG[key.private.keeping],
        "keywrap_alg": KEYWRAP_ALG[key.private.keeping],
        "algorithm": key.algorithm,
        "passphrase_alias": key.private.kek_label,
        "public": key.public,
        "private": key.private.blob,
        "gun": gun,
        "role": role,
    }


@asynccontextmanager
async def _translated() -> AsyncIterator[None]:
    try:
        yield
    except DatabaseError as error:
        raise RegistryUnavailable("the key registry cannot be used right now") from error
