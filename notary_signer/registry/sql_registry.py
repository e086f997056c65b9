"""The key registry over async SQLAlchemy: SQLite and PostgreSQL."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from notary_common.database import DatabaseError, is_postgres, statement, transaction
from notary_common.wire import Algorithm, OnlineRole
from notary_signer.errors import RegistryUnavailable
from notary_signer.ports import KeyRecord, NewKey, PrivatePart

from .schema import ENCRYPTION_ALG, KEEPING, KEYWRAP_ALG, private_keys

MAX_HINTS: Final = 1000
"""Foreign keys that are remembered as reported; beyond them nothing more is reported."""

_OURS: Final = private_keys.c.encryption_alg.in_(tuple(KEEPING))
_HELD: Final = sa.and_(_OURS, private_keys.c.deleted_at.is_(None))


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)


def _aware(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.replace(tzinfo=UTC)


def _record(row: sa.Row[Any]) -> KeyRecord:
    private = PrivatePart(KEEPING[row.encryption_alg], row.passphrase_alias, bytes(row.private))
    return KeyRecord(
        key_id=row.key_id,
        algorithm=row.algorithm,
        public=bytes(row.public),
        private=private,
        gun=row.gun,
        role=row.role,
        last_used=_aware(row.last_used),
        deleted_at=_aware(row.deleted_at),
    )


class SqlRegistry:
    """Implements `ports.KeyRegistry`. Whoever made the engine disposes of it."""

    def __init__(self, engine: AsyncEngine, on_foreign: Callable[[str], None]) -> None:
        """`on_foreign` is told, once each, the ID of a key that was asked for but is another program's."""
        self._engine = engine
        self._on_foreign = on_foreign
        self._hinted: set[str] = set()

    async def unused(self, gun: str, role: OnlineRole, algorithm: Algorithm) -> KeyRecord | None:
        """See `ports.KeyRegistry.unused`."""
        async with _translated(), statement(self._engine) as connection:
            return await self._unused(connection, gun, role, algorithm)

    async def add_unless_unused(self, key: NewKey, gun: str, role: OnlineRole) -> KeyRecord:
        """See `ports.KeyRegistry.add_unless_unused`."""
        async with _translated(), transaction(self._engine) as connection:
            if is_postgres(connection):
                # SQLite's transaction is the only writer from its start.
                await connection.execute(
                    sa.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _lock(gun, role, key.algorithm)}
                )
            winner = await self._unused(connection, gun, role, key.algorithm)
            if winner is not None:
                return winner
            await connection.execute(private_keys.insert().values(_values(key, gun, role)))
        return KeyRecord(key.key_id, key.algorithm, key.public, key.private, gun, role, None, None)

    @staticmethod
    async def _unused(
        connection: AsyncConnection, gun: str, role: OnlineRole, algorithm: Algorithm
    ) -> KeyRecord | None:
        query = (
            private_keys.select()
            .where(
                _HELD,
                private_keys.c.gun == gun,
                private_keys.c.role == role,
                private_keys.c.algorithm == algorithm,
                private_keys.c.last_used.is_(None),
            )
            .order_by(private_keys.c.id)
            .limit(1)
        )
        row = (await connection.execute(query)).first()
        return None if row is None else _record(row)

    async def get(self, key_id: str) -> KeyRecord | None:
        """See `ports.KeyRegistry.get`."""
        found = await self._find([key_id], _OURS)
        return found[0] if found else None

    async def describe(self, key_ids: list[str]) -> list[KeyRecord]:
        """See `ports.KeyRegistry.describe`."""
        return await self._find(key_ids, _HELD)

    async def _find(self, key_ids: list[str], among: sa.ColumnElement[bool]) -> list[KeyRecord]:
        if not key_ids:
            return []
        query = private_keys.select().where(private_keys.c.key_id.in_(key_ids), among)
        async with _translated(), statement(self._engine) as connection:
            records = [_record(row) for row in await connection.execute(query)]
        missing = set(key_ids) - {record.key_id for record in records} - self._hinted
        if missing:
            await self._hint(missing)
        return records

    async def _hint(self, missing: set[str]) -> None:
        query = sa.select(private_keys.c.key_id).where(private_keys.c.key_id.in_(missing), sa.not_(_OURS))
        async with _translated(), statement(self._engine) as connection:
            foreign = list(await connection.scalars(query))
        for key_id in foreign:
            if len(self._hinted) < MAX_HINTS:
                self._hinted.add(key_id)
                self._on_foreign(key_id)

    async def mark_used(self, key_id: str) -> bool:
        """See `ports.KeyRegistry.mark_used`."""
        now = _now()
        update = (
            private_keys.update()
            .where(private_keys.c.key_id == key_id, _HELD)
            .values(last_used=now, updated_at=now)
        )
        async with _translated(), transaction(self._engine) as connection:
            return (await connection.execute(update)).rowcount == 1

    async def retire(self, key_id: str) -> None:
        """See `ports.KeyRegistry.retire`."""
        now = _now()
        update = (
            private_keys.update()
            .where(private_keys.c.key_id == key_id, _HELD)
            .values(deleted_at=now, updated_at=now)
        )
        async with _translated(), transaction(self._engine) as connection:
            await connection.execute(update)

    async def ping(self) -> None:
        """See `ports.KeyRegistry.ping`."""
        async with _translated(), statement(self._engine) as connection:
            await connection.execute(sa.select(private_keys.c.id).limit(1))


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


def _lock(gun: str, role: str, algorithm: str) -> int:
    """PostgreSQL's advisory lock for one (GUN, role, algorithm); a collision only makes two creations wait."""
    digest = hashlib.sha256("\0".join(("notary-signer", gun, role, algorithm)).encode("utf-8")).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


@asynccontextmanager
async def _translated() -> AsyncIterator[None]:
    try:
        yield
    except DatabaseError as error:
        raise RegistryUnavailable("the key registry cannot be used right now") from error
