"""Rows of Notary's own signer, written for the way back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

import sqlalchemy as sa

from notary_common.database import Database, Query, among

from .jwe import ALGORITHM, ENCRYPTION

_TABLE: Final = sa.table(
    "private_keys",
    sa.column("created_at", sa.DateTime()),
    sa.column("updated_at", sa.DateTime()),
    sa.column("key_id", sa.String()),
    sa.column("encryption_alg", sa.String()),
    sa.column("keywrap_alg", sa.String()),
    sa.column("algorithm", sa.String()),
    sa.column("passphrase_alias", sa.String()),
    sa.column("public", sa.LargeBinary()),
    sa.column("private", sa.LargeBinary()),
    sa.column("gun", sa.String()),
    sa.column("role", sa.String()),
    sa.column("last_used", sa.DateTime()),
)
_COLUMNS: Final = _TABLE.c
_KNOWN: Final = Query(lambda kind: sa.select(_COLUMNS.key_id).where(among(_COLUMNS.key_id, "key_ids", kind)))
_ADD: Final = Query(
    lambda _: sa.insert(_TABLE).values(
        {column.name: sa.bindparam(column.name, type_=column.type) for column in _COLUMNS}
    )
)


@dataclass(frozen=True, slots=True)
class SealedKey:
    """A key as Notary's signer keeps it; times in UTC (aware). `private`: the JWE."""

    key_id: str
    algorithm: str
    alias: str
    public: bytes
    private: bytes = field(repr=False)
    gun: str
    role: str
    created_at: datetime | None
    last_used: datetime | None


class OldTable:
    """The table of an old signer. Whoever opened the database closes it; every method raises `DatabaseError`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def known(self, key_ids: Sequence[str]) -> set[str]:
        """Those of `key_ids` that it has."""
        if not key_ids:
            return set()
        async with self._database.statement() as session:
            return {str(row[0]) for row in await session.rows(_KNOWN, key_ids=list(key_ids))}

    async def add(self, keys: Sequence[SealedKey]) -> None:
        """Store all of them durably, or none."""
        if not keys:
            return
        now = datetime.now(UTC).replace(tzinfo=None)
        async with self._database.transaction() as session:
            await session.run_each(_ADD, [_row(key, now) for key in keys])


def _row(key: SealedKey, now: datetime) -> dict[str, object]:
    return {
        "created_at": _naive(key.created_at) or now,
        "updated_at": now,
        "key_id": key.key_id,
        "encryption_alg": ENCRYPTION,
        "keywrap_alg": ALGORITHM,
        "algorithm": key.algorithm,
        "passphrase_alias": key.alias,
        "public": key.public,
        "private": key.private,
        "gun": key.gun,
        "role": key.role,
        "last_used": _naive(key.last_used),
    }


def _naive(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.astimezone(UTC).replace(tzinfo=None)
