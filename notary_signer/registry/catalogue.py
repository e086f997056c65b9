"""The key registry as operators and the collection of unused keys need it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import sqlalchemy as sa

from notary_common.database import Database, Query
from notary_common.wire import Algorithm
from notary_signer.ports import KeyEntry, KeyRecord, PrivatePart, key_state

from .rows import COLUMNS, KEYS, aware, now, record, translated
from .schema import KEEPING, OURS, WRAPPED, private_keys

PAGE: Final = 1000
"""Rows read at once."""

_TIMES: Final = (KEYS.created_at, KEYS.activated_at, KEYS.last_used, KEYS.deleted_at, KEYS.destroyed_at)
_ENTRY: Final = (
    KEYS.id,
    KEYS.key_id,
    KEYS.gun,
    KEYS.role,
    KEYS.algorithm,
    KEYS.encryption_alg,
    KEYS.passphrase_alias,
    KEYS.keywrap_alg,
    KEYS.highest_version,
    # SQLite keeps times as text, and Go spells them in ways that cannot be read back.
    *(sa.case((OURS, time), else_=sa.null()).label(time.name) for time in _TIMES),
)
_NOW: Final = sa.bindparam("now", type_=sa.DateTime())
_BEFORE: Final = sa.bindparam("before", type_=sa.DateTime())
_WANTED: Final = KEYS.key_id == sa.bindparam("wanted")
_ABANDONED: Final = sa.and_(
    OURS, KEYS.last_used.is_(None), KEYS.destroyed_at.is_(None), KEYS.updated_at < _BEFORE
)
_PROTECTED: Final = sa.and_(KEYS.encryption_alg == WRAPPED, KEYS.destroyed_at.is_(None))

_ENTRIES: Final = Query(
    lambda _: (
        sa.select(*_ENTRY)
        .where(
            KEYS.id > sa.bindparam("after", type_=sa.Integer()),
            sa.func.substr(KEYS.key_id, 1, sa.bindparam("id_length", type_=sa.Integer()))
            == sa.bindparam("id_prefix", type_=sa.String()),
            sa.func.substr(KEYS.gun, 1, sa.bindparam("gun_length", type_=sa.Integer()))
            == sa.bindparam("gun_prefix", type_=sa.String()),
        )
        .order_by(KEYS.id)
        .limit(sa.literal_column(str(PAGE)))
    )
)
_FIND_ABANDONED: Final = Query(
    lambda _: (
        sa.select(*COLUMNS)
        .where(_ABANDONED)
        .order_by(KEYS.id)
        .limit(sa.bindparam("limit", type_=sa.Integer()))
    )
)
_RETIRE_ABANDONED: Final = Query(
    lambda _: (
        private_keys.update()
        .where(_WANTED, _ABANDONED)
        .values(deleted_at=sa.func.coalesce(KEYS.deleted_at, _NOW), updated_at=_NOW)
    )
)
_DESTROY: Final = Query(
    lambda _: (
        private_keys.update()
        .where(_WANTED, OURS, KEYS.deleted_at <= _BEFORE, KEYS.destroyed_at.is_(None))
        .values(private=b"", destroyed_at=_NOW, updated_at=_NOW)
    )
)
_WRAPPED_OTHERWISE: Final = Query(
    lambda _: (
        sa.select(*COLUMNS)
        .where(
            _PROTECTED,
            KEYS.algorithm == sa.bindparam("algorithm", type_=sa.String()),
            KEYS.key_id > sa.bindparam("after", type_=sa.String()),
            sa.or_(
                KEYS.passphrase_alias != sa.bindparam("kek_label", type_=sa.String()),
                KEYS.keywrap_alg != sa.bindparam("keywrap", type_=sa.String()),
            ),
        )
        .order_by(KEYS.key_id)
        .limit(sa.bindparam("limit", type_=sa.Integer()))
    )
)
_SWAP: Final = Query(
    lambda _: (
        private_keys.update()
        .where(_WANTED, _PROTECTED, KEYS.private == sa.bindparam("old", type_=sa.LargeBinary()))
        .values(
            private=sa.bindparam("new", type_=sa.LargeBinary()),
            passphrase_alias=sa.bindparam("kek_label", type_=sa.String()),
            keywrap_alg=sa.bindparam("keywrap", type_=sa.String()),
            updated_at=_NOW,
        )
    )
)
_KEK_USES: Final = Query(
    lambda _: (
        sa.select(KEYS.algorithm, KEYS.passphrase_alias, KEYS.keywrap_alg, sa.func.count())
        .where(_PROTECTED)
        .group_by(KEYS.algorithm, KEYS.passphrase_alias, KEYS.keywrap_alg)
    )
)


class SqlCatalogue:
    """Implements `ports.KeyCatalogue`. Whoever opened the database closes it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def entries(self, key_id_prefix: str = "", gun_prefix: str = "") -> list[KeyEntry]:
        """See `ports.KeyCatalogue.entries`."""
        found: list[KeyEntry] = []
        last = 0
        async with translated(), self._database.statement() as session:
            while True:
                page = await session.rows(
                    _ENTRIES,
                    after=last,
                    id_prefix=key_id_prefix,
                    id_length=len(key_id_prefix),
                    gun_prefix=gun_prefix,
                    gun_length=len(gun_prefix),
                )
                found += (_entry(row) for row in page)
                if len(page) < PAGE:
                    return found
                last = page[-1][0]

    async def abandoned(self, before: datetime, limit: int) -> list[KeyRecord]:
        """See `ports.KeyCatalogue.abandoned`."""
        async with translated(), self._database.statement() as session:
            return [
                record(row) for row in await session.rows(_FIND_ABANDONED, before=_naive(before), limit=limit)
            ]

    async def retire_abandoned(self, key_id: str, before: datetime) -> bool:
        """See `ports.KeyCatalogue.retire_abandoned`."""
        return await self._change(_RETIRE_ABANDONED, key_id, before=_naive(before))

    async def destroy(self, key_id: str, before: datetime) -> bool:
        """See `ports.KeyCatalogue.destroy`."""
        return await self._change(_DESTROY, key_id, before=_naive(before))

    async def wrapped_otherwise(
        self, algorithm: Algorithm, kek_label: str, keywrap: str, after: str, limit: int
    ) -> list[KeyRecord]:
        """See `ports.KeyCatalogue.wrapped_otherwise`."""
        async with translated(), self._database.statement() as session:
            page = await session.rows(
                _WRAPPED_OTHERWISE,
                algorithm=algorithm,
                kek_label=kek_label,
                keywrap=keywrap,
                after=after,
                limit=limit,
            )
        return [record(row) for row in page]

    async def swap(self, key_id: str, old: PrivatePart, new: PrivatePart) -> bool:
        """See `ports.KeyCatalogue.swap`."""
        return await self._change(
            _SWAP, key_id, old=old.blob, new=new.blob, kek_label=new.kek_label, keywrap=new.keywrap
        )

    async def kek_uses(self) -> dict[tuple[Algorithm, str, str], int]:
        """See `ports.KeyCatalogue.kek_uses`."""
        async with translated(), self._database.statement() as session:
            found = await session.rows(_KEK_USES)
        return {(algorithm, label, keywrap): count for algorithm, label, keywrap, count in found}

    async def _change(self, query: Query, key_id: str, **values: object) -> bool:
        async with translated(), self._database.statement() as session:
            return await session.run(query, wanted=key_id, now=now(), **values) == 1


def _naive(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None)


def _entry(row: Sequence[Any]) -> KeyEntry:
    _, key_id, gun, role, algorithm, encryption, kek_label, keywrap, highest_version, *times = row
    created_at, activated_at, last_used, retired_at, destroyed_at = map(aware, times)
    return KeyEntry(
        key_id=key_id,
        gun=gun,
        role=role,
        algorithm=algorithm,
        state=key_state(last_used, retired_at, destroyed_at) if encryption in KEEPING else "foreign",
        keeping=KEEPING.get(encryption),
        kek_label=kek_label,
        keywrap=keywrap,
        highest_version=highest_version,
        created_at=created_at,
        activated_at=activated_at,
        last_used=last_used,
        retired_at=retired_at,
        destroyed_at=destroyed_at,
    )
