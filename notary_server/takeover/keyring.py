"""Which keys the old signer holds: the public columns of its table. Private halves are not read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from notary_common.database import Database, Query
from notary_server.tuf.model import HeldKey, PublicKey
from notary_server.tuf.names import Gun, KeyId, RoleName

PAGE: Final = 1000
"""Keys that are read at once."""

_TABLE: Final = sa.table(
    "private_keys",
    sa.column("id", sa.Integer()),
    sa.column("key_id", sa.String()),
    sa.column("algorithm", sa.String()),
    sa.column("public", sa.LargeBinary()),
    sa.column("gun", sa.String()),
    sa.column("role", sa.String()),
    sa.column("last_used", sa.DateTime()),
    sa.column("deleted_at", sa.DateTime()),
)
_KEY: Final = _TABLE.c
_PAGE: Final = Query(
    lambda _: (
        # Not the time itself: SQLite keeps it as text, in ways that cannot be read back.
        sa.select(
            _KEY.id, _KEY.key_id, _KEY.algorithm, _KEY.public, _KEY.gun, _KEY.role, _KEY.last_used.is_(None)
        )
        .where(_KEY.id > sa.bindparam("after"), _KEY.deleted_at.is_(None))
        .order_by(_KEY.id)
        .limit(sa.bindparam("size", type_=sa.Integer))
    )
)


@dataclass(frozen=True, slots=True)
class Keyring:
    """The keys of an old signer that are not deleted, by their IDs; `unused`: those that have never signed."""

    held: Mapping[KeyId, HeldKey]
    unused: frozenset[KeyId]


async def read_keyring(database: Database) -> Keyring:
    """All keys of an old signer.

    Raises:
        DatabaseError: the database, or the table in it, cannot be read.
    """
    held: dict[KeyId, HeldKey] = {}
    unused: set[KeyId] = set()
    after = 0
    while True:
        async with database.statement() as session:
            rows = await session.rows(_PAGE, after=after, size=PAGE)
        if not rows:
            return Keyring(held, frozenset(unused))
        for number, name, algorithm, public, gun, role, never in rows:
            key_id, key = KeyId(name), PublicKey(keytype=algorithm, public=bytes(public))
            held[key_id] = HeldKey(key_id, key, Gun(gun), RoleName(role))
            if never:
                unused.add(key_id)
            after = int(number)
