"""A key of the registry to try a token with."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from notary_common.database import Database, Query
from notary_signer.ports import KeyRecord

from .rows import COLUMNS, HELD, KEYS, record
from .schema import WRAPPED

_NEWEST: Final = Query(
    lambda _: (
        sa.select(*COLUMNS).where(HELD, KEYS.encryption_alg == WRAPPED).order_by(KEYS.id.desc()).limit(1)
    )
)


async def newest_wrapped(database: Database) -> list[KeyRecord]:
    """The newest key that is kept wrapped and not retired, if there is one.

    Raises:
        notary_common.database.DatabaseError: the table cannot be read.
    """
    async with database.statement() as session:
        return [record(row) for row in await session.rows(_NEWEST)]
