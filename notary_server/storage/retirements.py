"""Keys that no root lists any more, until the signer has retired them (docs/adr/0025).

They are noted in the transaction that makes them so: no deletion and no new root leaves one behind.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql, sqlite

from notary_common.database import Database, DatabaseConflict, Dialect, Query, Session, among
from notary_server.errors import HeadMoved
from notary_server.ports import KeyChange, Retirement
from notary_server.tuf.names import ROOT, Gun, KeyId
from notary_server.tuf10.publish import listed_keys as online_keys

from . import statements
from .errors import store_errors
from .schema import METADATA, TUF_FILES

RETIREMENTS: Final = sa.Table(
    "notary_server_retirements",
    METADATA,
    sa.Column("gun", sa.String(255), primary_key=True),
    sa.Column("key_id", sa.CHAR(64), primary_key=True),
    sa.Column("due_ns", sa.BigInteger, nullable=False),
    sa.Column("tries", sa.Integer, nullable=False),
    sa.Column("holder", sa.String(32), nullable=False),
    sa.Column("until_ns", sa.BigInteger, nullable=False),
)
FREE: Final = ""
"""The holder of a row that nobody has taken."""
MAX_ROOTS: Final = 64
"""Versions of root whose keys are looked up when a repository is deleted, the latest: what older ones alone list was noted
when it was dropped, unless an old Notary did that."""
MAX_ROOT_BYTES: Final = 1 << 20
"""Larger ones are left out: a root has a few kilobytes, and a deletion must not read gigabytes."""

_R: Final = RETIREMENTS.c
_F: Final = TUF_FILES.c
_OF_ROOT: Final = (_F.gun == sa.bindparam("gun"), _F.role == ROOT, _F.deleted_at.is_(None))
_NOW: Final = sa.bindparam("now_ns", type_=sa.BigInteger)


def _insert(dialect: Dialect) -> sa.Executable:
    values: dict[str, Any] = {name: sa.bindparam(name) for name in ("gun", "key_id", "due_ns")}
    values |= {"tries": sa.literal(0), "holder": sa.literal(FREE), "until_ns": sa.literal(0, sa.BigInteger)}
    # One that is there already stays as it is: it is due earlier, or being retired.
    if dialect == "postgresql":
        return postgresql.insert(RETIREMENTS).values(values).on_conflict_do_nothing()
    if dialect == "sqlite":
        return sqlite.insert(RETIREMENTS).values(values).on_conflict_do_nothing()
    return mysql.insert(RETIREMENTS).values(values).prefix_with("IGNORE")


def _one() -> sa.ColumnElement[bool]:
    return sa.and_(_R.gun == sa.bindparam("named"), _R.key_id == sa.bindparam("wanted"))


def _mine() -> sa.ColumnElement[bool]:
    return sa.and_(_one(), _R.holder == sa.bindparam("mine"))


_ROOTS: Final = Query(
    lambda _: (
        sa.select(_F.data)
        .where(*_OF_ROOT, sa.func.length(_F.data) <= MAX_ROOT_BYTES)
        .order_by(_F.version.desc())
        .limit(MAX_ROOTS)
    )
)
_LATEST_ROOT: Final = Query(
    lambda _: sa.select(_F.data).where(*_OF_ROOT).order_by(_F.version.desc()).limit(1)
)
_INSERT: Final = Query(_insert)
_OF_GUN: Final = Query(
    lambda _: sa.select(_R.key_id, _R.holder, _R.until_ns).where(_R.gun == sa.bindparam("gun"))
)
_REMOVE: Final = Query(
    lambda dialect: RETIREMENTS.delete().where(
        _R.gun == sa.bindparam("named"), among(_R.key_id, "key_ids", dialect)
    )
)
_DUE: Final = Query(
    lambda _: (
        sa.select(_R.gun, _R.key_id, _R.tries)
        .where(_R.due_ns <= _NOW, _R.until_ns < _NOW)
        .order_by(_R.due_ns)
        .limit(sa.bindparam("size", type_=sa.Integer))
    )
)
_TAKE: Final = Query(
    lambda _: (
        RETIREMENTS.update()
        .where(_one(), _R.due_ns <= _NOW, _R.until_ns < _NOW)
        .values(holder=sa.bindparam("taker"), until_ns=sa.bindparam("until"))
    )
)
_SETTLE: Final = Query(lambda _: RETIREMENTS.delete().where(_mine()))
_GIVE_BACK: Final = Query(
    lambda _: RETIREMENTS.update().where(_mine()).values(holder=sa.literal(FREE), until_ns=sa.literal(0))
)
_POSTPONE: Final = Query(
    lambda _: (
        RETIREMENTS.update()
        .where(_mine())
        .values(
            holder=sa.literal(FREE), until_ns=sa.literal(0), due_ns=sa.bindparam("due"), tries=_R.tries + 1
        )
    )
)


async def stored_roots(session: Session, gun: Gun) -> list[bytes]:
    """The roots of a repository that is about to be deleted."""
    return [bytes(row[0]) for row in await session.rows(_ROOTS, gun=gun)]


def listed_keys(roots: Collection[bytes]) -> frozenset[KeyId]:
    """What any of `roots` lists for the online roles; nothing of one that cannot be read."""
    return frozenset(key for data in roots for key in online_keys(data))


async def note(session: Session, gun: Gun, key_ids: Collection[KeyId], due_ns: int) -> None:
    """Have these keys retired at `due_ns`, if the transaction is committed."""
    if key_ids:
        rows = [{"gun": gun, "key_id": key_id, "due_ns": due_ns} for key_id in sorted(key_ids)]
        await session.run_each(_INSERT, rows)


async def keep(session: Session, gun: Gun, keys: KeyChange) -> None:
    """Let the keys live that a new root lists, and have those retired that it drops; within the turn of the GUN.

    Raises:
        HeadMoved: one that it lists is being retired at this moment.
    """
    noted = {KeyId(row[0]): row for row in await session.rows(_OF_GUN, gun=gun)}
    again = [key for key in noted if key in keys.listed]
    for _, holder, until_ns in (noted[key] for key in again):
        if holder != FREE and until_ns >= keys.now_ns:
            raise HeadMoved("a key that the new root lists is being retired")
    if again:
        await session.run(_REMOVE, named=gun, key_ids=again)
    await note(session, gun, keys.dropped, keys.due_ns)


class SqlRetirements:
    """Implements `ports.Retirements`."""

    def __init__(self, database: Database) -> None:
        """`database` is closed by who opened it."""
        self._database = database

    async def due(self, now_ns: int, size: int) -> Sequence[Retirement]:
        """See `Retirements.due`."""
        with store_errors():
            async with self._database.statement() as session:
                rows = await session.rows(_DUE, now_ns=now_ns, size=size)
        return [Retirement(Gun(gun), KeyId(key_id), tries) for gun, key_id, tries in rows]

    async def take(self, key: Retirement, holder: str, now_ns: int, until_ns: int) -> bool:
        """See `Retirements.take`."""
        with store_errors():
            try:
                async with self._database.transaction(turn=statements.gun_turn(key.gun)) as session:
                    roots = [bytes(row[0]) for row in await session.rows(_LATEST_ROOT, gun=key.gun)]
                    if key.key_id in await asyncio.to_thread(listed_keys, roots):
                        await session.run(_REMOVE, named=key.gun, key_ids=[key.key_id])
                        return False
                    taken = await session.run(
                        _TAKE, named=key.gun, wanted=key.key_id, now_ns=now_ns, taker=holder, until=until_ns
                    )
            except DatabaseConflict:
                return False
        return taken == 1

    async def settle(self, key: Retirement, holder: str) -> None:
        """See `Retirements.settle`."""
        await self._run(_SETTLE, key, holder)

    async def give_back(self, key: Retirement, holder: str) -> None:
        """See `Retirements.give_back`."""
        await self._run(_GIVE_BACK, key, holder)

    async def postpone(self, key: Retirement, holder: str, due_ns: int) -> None:
        """See `Retirements.postpone`."""
        await self._run(_POSTPONE, key, holder, due=due_ns)

    async def _run(self, query: Query, key: Retirement, holder: str, **values: Any) -> None:
        """A conflict with another transaction is no loss: the row is free again when its time is over."""
        with store_errors():
            try:
                async with self._database.transaction() as session:
                    await session.run(query, named=key.gun, wanted=key.key_id, mine=holder, **values)
            except DatabaseConflict:
                return
