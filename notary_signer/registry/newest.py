"""A key of the registry to try a token with."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from notary_common.database import Database, Query
from notary_signer.ports import KeyRecord, PrivatePart

from .schema import WRAPPED, private_keys

_KEYS: Final = private_keys.c
_NEWEST: Final = Query(
    lambda _: (
        sa.select(
            _KEYS.key_id,
            _KEYS.algorithm,
            _KEYS.public,
            _KEYS.passphrase_alias,
            _KEYS.private,
            _KEYS.keywrap_alg,
            _KEYS.gun,
            _KEYS.role,
        )
        .where(_KEYS.encryption_alg == WRAPPED, _KEYS.deleted_at.is_(None))
        .order_by(_KEYS.id.desc())
        .limit(1)
    )
)


async def newest_wrapped(database: Database) -> list[KeyRecord]:
    """The newest key that is kept wrapped and not retired, if there is one.

    Raises:
        notary_common.database.DatabaseError: the table cannot be read.
    """
    async with database.statement() as session:
        rows = await session.rows(_NEWEST)
    return [
        KeyRecord(
            key_id,
            algorithm,
            bytes(public),
            PrivatePart("wrapped", kek_label, bytes(blob), keywrap),
            gun,
            role,
            None,
            None,
        )
        for key_id, algorithm, public, kek_label, blob, keywrap, gun, role in rows
    ]
