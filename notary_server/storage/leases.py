"""Leases in tables of our own: an update that changes one row if nobody else has it."""

from __future__ import annotations

from typing import Any

from notary_common.database import Database, DatabaseConflict, Query

from .errors import store_errors


async def taken(database: Database, take: Query, **values: Any) -> bool:
    """Whether `take` changed its one row; False if somebody else has it, or was faster.

    Raises:
        StoreUnavailable: the database cannot answer.
    """
    with store_errors():
        try:
            async with database.transaction() as session:
                return await session.run(take, **values) == 1
        except DatabaseConflict:
            return False
