"""The statements of pruning: which rows are old, and their deletion, a few at a time within the repository's turn."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import sqlalchemy as sa

from notary_common.database import Database, Query, among
from notary_server.inspection.holdings import Indexed
from notary_server.storage.schema import TUF_FILES
from notary_server.storage.statements import gun_turn
from notary_server.tuf.names import ROOT, Gun

ROWS_AT_ONCE: Final = 100
"""Rows in one transaction: a publish of the same repository waits for no more than these."""

_F: Final = TUF_FILES.c
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
# A row without a time is of unknown age: not old.
_OLD: Final = (_F.gun == sa.bindparam("gun"), _F.created_at < sa.bindparam("before", type_=sa.DateTime))
_STORED_BEFORE: Final = Query(lambda _: sa.select(_F.id).where(*_OLD))
_DELETE: Final = Query(
    # The name, the role and the age once more: SQLite may have given the ID to another row meanwhile.
    lambda dialect: sa.delete(TUF_FILES).where(among(_F.id, "ids", dialect), _F.role != ROOT, *_OLD)
)


async def stored_before(database: Database, gun: Gun, before_ns: int) -> set[int]:
    """The IDs of the rows that were stored before that moment, in nanoseconds since 1970-01-01T00:00:00Z.

    Raises:
        DatabaseError: the database cannot be read.
    """
    async with database.statement() as session:
        found = await session.rows(_STORED_BEFORE, gun=gun, before=_moment(before_ns))
    return {int(row[0]) for row in found}


async def delete_rows(database: Database, gun: Gun, rows: Sequence[Indexed], before_ns: int) -> None:
    """Delete those of these rows that were stored before that moment, and are no roots.

    Raises:
        DatabaseError: the database cannot be written.
    """
    for begin in range(0, len(rows), ROWS_AT_ONCE):
        some = [row.id for row in rows[begin : begin + ROWS_AT_ONCE]]
        async with database.transaction(turn=gun_turn(gun)) as session:
            await session.run(_DELETE, gun=gun, ids=some, before=_moment(before_ns))


def _moment(ns: int) -> datetime:
    """As the columns hold it: UTC without saying so, in whole seconds."""
    return (_EPOCH + timedelta(seconds=ns // 10**9)).replace(tzinfo=None)
