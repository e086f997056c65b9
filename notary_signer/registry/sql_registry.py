"""The key registry in SQL, on whatever database: what signing and making keys need."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Final

import sqlalchemy as sa

from notary_common.database import Database, Query, Session, among
from notary_common.wire import Algorithm, OnlineRole
from notary_signer.ports import Dialect, KeyRecord, NewKey, Noting

from . import rows
from .rows import COLUMNS, HELD, KEYS, translated
from .schema import ENCRYPTION_ALG, OURS, UNWRAPPED, WRAPPED, private_keys

MAX_HINTS: Final = 1000
"""Foreign keys that are remembered as reported; beyond them nothing more is reported."""
HEARD_OF_EVERY: Final = timedelta(days=1)
"""That a key was handed out again is noted this often: a look-up is no reason to write."""
_LOOKS: Final = 3
"""How often an unused key is looked for that is used or collected at the same moment."""

_NEW: Final = tuple(
    KEYS[name]
    for name in (
        "created_at", "updated_at", "key_id", "encryption_alg", "keywrap_alg", "algorithm", "passphrase_alias",
        "public", "private", "gun", "role",
    )
)  # fmt: skip
_UNUSED: Final = sa.and_(
    HELD,
    KEYS.gun == sa.bindparam("gun"),
    KEYS.role == sa.bindparam("role"),
    KEYS.algorithm == sa.bindparam("algorithm"),
    KEYS.last_used.is_(None),
)
_NOW: Final = sa.bindparam("now", type_=sa.DateTime())
_WANTED: Final = KEYS.key_id == sa.bindparam("wanted")
_VERSION: Final = sa.bindparam("version", type_=sa.Integer())
_DIALECT: Final = sa.bindparam("dialect", type_=sa.String(16))
_IN_DIALECT: Final = sa.or_(
    KEYS.dialect == _DIALECT,
    sa.and_(KEYS.dialect.is_(None), sa.or_(KEYS.last_used.is_(None), _DIALECT == "notary")),
)
"""A key that signed before dialects were noted did so in Notary's."""

_GET: Final = Query(lambda _: sa.select(*COLUMNS).where(KEYS.key_id == sa.bindparam("key_id"), OURS))
_DESCRIBE: Final = Query(lambda kind: sa.select(*COLUMNS).where(among(KEYS.key_id, "key_ids", kind), HELD))
_FOREIGN: Final = Query(
    lambda kind: sa.select(KEYS.key_id).where(among(KEYS.key_id, "key_ids", kind), sa.not_(OURS))
)
_FIND_UNUSED: Final = Query(
    lambda _: sa.select(*COLUMNS, KEYS.updated_at).where(_UNUSED).order_by(KEYS.id).limit(1)
)
_ADD: Final = Query(
    lambda _: private_keys.insert().from_select(
        [column.name for column in _NEW],
        sa.select(*(sa.bindparam(column.name, type_=column.type) for column in _NEW)).where(
            ~sa.exists(sa.select(KEYS.id).where(_UNUSED))
        ),
    )
)
_HEAR_OF: Final = Query(
    lambda _: private_keys.update().where(_WANTED, HELD, KEYS.last_used.is_(None)).values(updated_at=_NOW)
)
_NOTE: Final = Query(
    lambda _: (
        private_keys.update()
        .where(
            _WANTED,
            HELD,
            sa.or_(KEYS.highest_version.is_(None), KEYS.highest_version <= _VERSION),
            _IN_DIALECT,
        )
        # In this order: MySQL sees in each what those before it have set.
        .ordered_values(
            (KEYS.activated_at, sa.case((KEYS.last_used.is_(None), _NOW), else_=KEYS.activated_at)),
            (KEYS.highest_version, _VERSION),
            (KEYS.dialect, _DIALECT),
            (KEYS.last_used, _NOW),
            (KEYS.updated_at, _NOW),
        )
    )
)
_IS_HELD: Final = Query(lambda _: sa.select(KEYS.id).where(_WANTED, HELD))
_RETIRE: Final = Query(
    lambda _: private_keys.update().where(_WANTED, HELD).values(deleted_at=_NOW, updated_at=_NOW)
)
_WRAPS: Final = Query(
    lambda _: (
        sa.select(KEYS.id)
        .where(KEYS.encryption_alg == WRAPPED, KEYS.passphrase_alias == sa.bindparam("kek_label"))
        .limit(1)
    )
)
_PING: Final = Query(lambda _: sa.select(KEYS.id).limit(1))


class SqlRegistry:
    """Implements `ports.KeyRegistry`. Whoever opened the database closes it."""

    def __init__(self, database: Database, on_foreign: Callable[[str], None]) -> None:
        """`on_foreign` is told, once each, the ID of a key that was asked for but is another program's."""
        self._database = database
        self._on_foreign = on_foreign
        self._hinted: set[str] = set()

    async def unused(self, gun: str, role: OnlineRole, algorithm: Algorithm) -> KeyRecord | None:
        """See `ports.KeyRegistry.unused`."""
        async with translated(), self._database.statement() as session:
            return await _unused(session, gun, role, algorithm)

    async def add_unless_unused(self, key: NewKey, gun: str, role: OnlineRole) -> KeyRecord:
        """See `ports.KeyRegistry.add_unless_unused`."""
        turn = "\0".join(("notary-signer", gun, role, key.algorithm))
        async with translated(), self._database.transaction(turn) as session:
            while not await session.run(_ADD, **_values(key, gun, role)):
                found = await _unused(session, gun, role, key.algorithm)
                if found is not None:
                    return found
        return KeyRecord(key.key_id, key.algorithm, key.public, key.private, gun, role, None, None)

    async def get(self, key_id: str) -> KeyRecord | None:
        """See `ports.KeyRegistry.get`."""
        async with translated(), self._database.statement() as session:
            found = await session.rows(_GET, key_id=key_id)
        if found:
            return rows.record(found[0])
        await self._hint({key_id})
        return None

    async def describe(self, key_ids: list[str]) -> list[KeyRecord]:
        """See `ports.KeyRegistry.describe`."""
        if not key_ids:
            return []
        async with translated(), self._database.statement() as session:
            records = [rows.record(row) for row in await session.rows(_DESCRIBE, key_ids=key_ids)]
        await self._hint(set(key_ids) - {record.key_id for record in records})
        return records

    async def _hint(self, missing: set[str]) -> None:
        missing = missing - self._hinted
        if not missing:
            return
        async with translated(), self._database.statement() as session:
            foreign = [row[0] for row in await session.rows(_FOREIGN, key_ids=list(missing))]
        for key_id in foreign:
            if len(self._hinted) < MAX_HINTS:
                self._hinted.add(key_id)
                self._on_foreign(key_id)

    async def note_version(self, key_id: str, version: int, dialect: Dialect = "notary") -> Noting:
        """See `ports.KeyRegistry.note_version`."""
        values = {"wanted": key_id, "version": version, "dialect": dialect, "now": rows.now()}
        async with translated(), self._database.statement() as session:
            if await session.run(_NOTE, **values) == 1:
                return "noted"
            return "rollback" if await session.rows(_IS_HELD, wanted=key_id) else "gone"

    async def retire(self, key_id: str) -> None:
        """See `ports.KeyRegistry.retire`."""
        async with translated(), self._database.statement() as session:
            await session.run(_RETIRE, wanted=key_id, now=rows.now())

    async def newest_kek(self, labels: list[str]) -> str:
        """See `ports.KeyRegistry.newest_kek`."""
        async with translated(), self._database.statement() as session:
            for label in reversed(labels[1:]):
                if await session.rows(_WRAPS, kek_label=label):
                    return label
        return labels[0]

    async def ping(self) -> None:
        """See `ports.KeyRegistry.ping`."""
        async with translated(), self._database.statement() as session:
            await session.rows(_PING)


async def _unused(session: Session, gun: str, role: OnlineRole, algorithm: Algorithm) -> KeyRecord | None:
    """The oldest unused key, which from now on counts as heard of; None if there is none to be relied on."""
    for _ in range(_LOOKS):
        found = await session.rows(_FIND_UNUSED, gun=gun, role=role, algorithm=algorithm)
        if not found:
            return None
        *columns, heard_of = found[0]
        record, now = rows.record(columns), rows.now()
        if now - heard_of < HEARD_OF_EVERY or await session.run(_HEAR_OF, wanted=record.key_id, now=now):
            return record
    return None


def _values(key: NewKey, gun: str, role: OnlineRole) -> dict[str, object]:
    now, private = rows.now(), key.private
    return {
        "created_at": now,
        "updated_at": now,
        "key_id": key.key_id,
        "encryption_alg": ENCRYPTION_ALG[private.keeping],
        "keywrap_alg": private.keywrap if private.keeping == "wrapped" else UNWRAPPED,
        "algorithm": key.algorithm,
        "passphrase_alias": private.kek_label,
        "public": key.public,
        "private": private.blob,
        "gun": gun,
        "role": role,
    }
