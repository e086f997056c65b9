"""The table of Notary's own signer, read in pages and never written (docs/reference/protocol.md, 21 and 22)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import sqlalchemy as sa

from notary_common.database import Database, Query

PAGE: Final = 100
"""Keys that are read, opened and stored together."""

_TABLE: Final = sa.table(
    "private_keys",
    sa.column("id", sa.Integer()),
    sa.column("created_at", sa.DateTime()),
    sa.column("deleted_at", sa.DateTime()),
    sa.column("key_id", sa.String()),
    sa.column("encryption_alg", sa.String()),
    sa.column("algorithm", sa.String()),
    sa.column("passphrase_alias", sa.String()),
    sa.column("public", sa.LargeBinary()),
    sa.column("private", sa.LargeBinary()),
    sa.column("gun", sa.String()),
    sa.column("role", sa.String()),
    sa.column("last_used", sa.DateTime()),
)
_OLD: Final = _TABLE.c
_COUNT: Final = Query(lambda _: sa.select(sa.func.count()).select_from(_TABLE))
_ALIASES: Final = Query(
    lambda _: (
        sa.select(_OLD.passphrase_alias, sa.func.count())
        .group_by(_OLD.passphrase_alias)
        .order_by(_OLD.passphrase_alias)
    )
)
_PAGE: Final = Query(
    lambda _: (
        sa.select(*_OLD)
        .where(_OLD.id > sa.bindparam("after"))
        .order_by(_OLD.id)
        .limit(sa.bindparam("size", type_=sa.Integer()))
    )
)


@dataclass(frozen=True, slots=True)
class OldKey:
    """One row, as it stands; times in UTC (aware).

    Attributes:
        encryption: the column `encryption_alg`; `A256GCM` in every row that Notary's signer made.
        private: the JWE.
        last_used: None if the key has never signed: whoever asks for a key of that GUN and role gets it again.
        deleted_at: nobody sees the row any more since then.
    """

    id: int
    key_id: str
    algorithm: str
    encryption: str
    alias: str
    public: bytes
    private: bytes = field(repr=False)
    gun: str
    role: str
    created_at: datetime | None
    last_used: datetime | None
    deleted_at: datetime | None


class OldKeys:
    """The rows of one database. Whoever opened it closes it; every method raises `DatabaseError`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def count(self) -> int:
        """How many rows there are."""
        async with self._database.statement() as session:
            return int((await session.rows(_COUNT))[0][0])

    async def aliases(self) -> dict[str, int]:
        """The names of the passphrases that the rows are encrypted under, and how many rows each has."""
        async with self._database.statement() as session:
            return {str(alias): int(count) for alias, count in await session.rows(_ALIASES)}

    async def page(self, after: int) -> list[OldKey]:
        """The `PAGE` rows that follow the row `after` (0: the first ones), in the order of their making."""
        async with self._database.statement() as session:
            return [_old_key(row) for row in await session.rows(_PAGE, after=after, size=PAGE)]


def _old_key(row: Sequence[Any]) -> OldKey:
    number, created, deleted, key_id, encryption, algorithm, alias, public, private, gun, role, used = row
    return OldKey(
        id=number,
        key_id=key_id,
        algorithm=algorithm,
        encryption=encryption,
        alias=alias,
        public=bytes(public),
        private=bytes(private),
        gun=gun,
        role=role,
        created_at=_aware(created),
        last_used=_aware(used),
        deleted_at=_aware(deleted),
    )


def _aware(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.replace(tzinfo=UTC)
