"""What ends when, noted beside Notary's tables, and whose turn it is to look for changes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from notary_common.database import Database, DatabaseConflict, Query, among

from .errors import store_errors
from .leases import taken
from .schema import METADATA, TUF_FILES

EXPIRIES: Final = sa.Table(
    "notary_server_expiries",
    METADATA,
    sa.Column("gun", sa.String(255), primary_key=True),
    sa.Column("kind", sa.String(20), primary_key=True),
    sa.Column("role", sa.String(255), nullable=False),
    sa.Column("ends_ns", sa.BigInteger, nullable=False),
    sa.Column("newest", sa.BigInteger, nullable=False),
)
SCANS: Final = sa.Table(
    "notary_server_scans",
    METADATA,
    sa.Column("name", sa.String(32), primary_key=True),
    sa.Column("holder", sa.String(32), nullable=False),
    sa.Column("until_ns", sa.BigInteger, nullable=False),
    sa.Column("finished_ns", sa.BigInteger, nullable=False),
)
SCAN: Final = "expiries"
"""The row of `SCANS` that is ours; the migration makes it."""

RENEWED: Final = ("snapshot", "timestamp")
"""What the server signs anew by itself."""

_E: Final = EXPIRIES.c
_S: Final = SCANS.c
_F: Final = TUF_FILES.c
_VISIBLE: Final = _F.deleted_at.is_(None)
_AFTER: Final = sa.bindparam("after", type_=sa.String)
_SIZE: Final = sa.bindparam("size", type_=sa.Integer)
_NOW: Final = sa.bindparam("now_ns", type_=sa.BigInteger)

_NEWEST: Final = Query(
    lambda _: (
        sa.select(_F.gun, sa.func.max(_F.id))
        .where(_VISIBLE, _F.gun > _AFTER)
        .group_by(_F.gun)
        .order_by(_F.gun)
        .limit(_SIZE)
    )
)
_NOTED: Final = Query(
    lambda dialect: sa.select(_E.gun, _E.newest).distinct().where(among(_E.gun, "guns", dialect))
)
_NAMES: Final = Query(
    lambda _: sa.select(_E.gun).distinct().where(_E.gun > _AFTER).order_by(_E.gun).limit(_SIZE)
)
_STORED: Final = Query(
    lambda dialect: sa.select(_F.gun).distinct().where(among(_F.gun, "guns", dialect), _VISIBLE)
)
_FORGET: Final = Query(lambda dialect: EXPIRIES.delete().where(among(_E.gun, "guns", dialect)))
_NOTE: Final = Query(
    lambda _: EXPIRIES.insert().values(
        {name: sa.bindparam(name) for name in ("gun", "kind", "role", "ends_ns", "newest")}
    )
)
_COUNT: Final = Query(
    lambda _: (
        sa.select(_E.kind, sa.func.count())
        .where(_E.ends_ns < sa.bindparam("before_ns", type_=sa.BigInteger))
        .group_by(_E.kind)
    )
)
_LAST: Final = sa.bindparam("last_ns", type_=sa.BigInteger)
_ENDING: Final = Query(
    lambda _: (
        sa.select(_E.gun, _E.kind, _E.role, _E.ends_ns)
        .where(
            *(_E.kind != kind for kind in RENEWED),
            _E.ends_ns > sa.bindparam("after_ns", type_=sa.BigInteger),
            _E.ends_ns <= sa.bindparam("before_ns", type_=sa.BigInteger),
            sa.or_(
                _E.ends_ns > _LAST,
                sa.and_(_E.ends_ns == _LAST, _E.gun > sa.bindparam("last_gun", type_=sa.String)),
                sa.and_(
                    _E.ends_ns == _LAST,
                    _E.gun == sa.bindparam("last_gun", type_=sa.String),
                    _E.kind > sa.bindparam("last_kind", type_=sa.String),
                ),
            ),
        )
        .order_by(_E.ends_ns, _E.gun, _E.kind)
        .limit(_SIZE)
    )
)
_TAKE: Final = Query(
    lambda _: (
        SCANS.update()
        .where(_S.name == SCAN, sa.or_(_S.until_ns < _NOW, _S.holder == sa.bindparam("mine")))
        .values(holder=sa.bindparam("taker"), until_ns=sa.bindparam("until"))
    )
)
_FINISH: Final = Query(
    lambda _: (
        SCANS.update()
        .where(_S.name == SCAN, _S.holder == sa.bindparam("mine"))
        .values(holder=sa.literal(""), until_ns=sa.bindparam("until"), finished_ns=sa.bindparam("finished"))
    )
)
_FINISHED: Final = Query(lambda _: sa.select(_S.finished_ns).where(_S.name == SCAN))


class Noted(NamedTuple):
    """One row of a repository: what ends, of which role, when, in nanoseconds since 1970-01-01T00:00:00Z."""

    kind: str
    role: str
    ends_ns: int


class Ending(NamedTuple):
    """Something of a repository that its owners must sign anew, and until when."""

    gun: str
    kind: str
    role: str
    ends_ns: int


class SqlExpiries:
    """The table, and the lease on filling it. All methods raise `StoreUnavailable` when the database cannot answer."""

    def __init__(self, database: Database) -> None:
        """`database` is closed by who opened it."""
        self._database = database

    async def changed(self, after: str, size: int) -> tuple[str | None, dict[str, int]]:
        """Of the `size` repositories that follow `after`, those that were published since they were noted.

        Returns:
            The last of the `size`, None behind the end; and for each changed one the newest row of its files.
        """
        with store_errors():
            async with self._database.statement() as session:
                page = {
                    gun: int(newest) for gun, newest in await session.rows(_NEWEST, after=after, size=size)
                }
                noted = await session.rows(_NOTED, guns=list(page)) if page else []
        known = {(gun, int(newest)) for gun, newest in noted}
        return next(reversed(page), None), {gun: at for gun, at in page.items() if (gun, at) not in known}

    async def note(self, ends: Mapping[str, Sequence[Noted]], newest: Mapping[str, int]) -> None:
        """Replace what is noted of these repositories; nothing if another process was faster.

        Args:
            newest: for each, the newest row that was there before its files were read.
        """
        rows = [
            {"gun": gun, "kind": end.kind, "role": end.role, "ends_ns": end.ends_ns, "newest": newest[gun]}
            for gun, some in ends.items()
            for end in some
        ]
        with store_errors():
            try:
                async with self._database.transaction() as session:
                    await session.run(_FORGET, guns=list(ends))
                    if rows:
                        await session.run_each(_NOTE, rows)
            except DatabaseConflict:
                return

    async def forget_deleted(self, after: str, size: int) -> str | None:
        """Of the `size` noted repositories that follow `after`, forget those of which nothing is stored any more.

        Returns:
            The last of the `size`; None behind the end.
        """
        with store_errors():
            async with self._database.statement() as session:
                names = [str(row[0]) for row in await session.rows(_NAMES, after=after, size=size)]
                if not names:
                    return None
                stored = {row[0] for row in await session.rows(_STORED, guns=names)}
            gone = [gun for gun in names if gun not in stored]
            if gone:
                async with self._database.transaction() as session:
                    await session.run(_FORGET, guns=gone)
        return names[-1]

    async def count(self, before_ns: Collection[int]) -> dict[int, dict[str, int]]:
        """For each moment, how many repositories have something of each kind that ends before it."""
        with store_errors():
            async with self._database.statement() as session:
                return {
                    moment: {
                        kind: int(number) for kind, number in await session.rows(_COUNT, before_ns=moment)
                    }
                    for moment in before_ns
                }

    async def ending(self, after_ns: int, before_ns: int, last: Ending | None, size: int) -> Sequence[Ending]:
        """What owners must sign anew that ends after the one moment and not after the other, the first first; those behind
        `last`, if one is given."""
        values = {
            "after_ns": after_ns,
            "before_ns": before_ns,
            "size": size,
            "last_ns": after_ns if last is None else last.ends_ns,
            "last_gun": "" if last is None else last.gun,
            "last_kind": "" if last is None else last.kind,
        }
        with store_errors():
            async with self._database.statement() as session:
                return [Ending(*row) for row in await session.rows(_ENDING, **values)]

    async def take(self, holder: str, now_ns: int, until_ns: int) -> bool:
        """Whether `holder` has the lease until then; False while another has it, and after a scan until the next is due."""
        values = {"mine": holder, "taker": holder, "now_ns": now_ns, "until": until_ns}
        return await taken(self._database, _TAKE, **values)

    async def finish(self, holder: str, finished_ns: int, until_ns: int) -> None:
        """Note that `holder` has looked at everything, and let nobody begin before `until_ns`."""
        values: dict[str, Any] = {"mine": holder, "finished": finished_ns, "until": until_ns}
        with store_errors():
            async with self._database.transaction() as session:
                await session.run(_FINISH, **values)

    async def finished(self) -> int:
        """When the last scan came to its end, in nanoseconds since 1970-01-01T00:00:00Z; 0 if none has yet."""
        with store_errors():
            async with self._database.statement() as session:
                found = await session.rows(_FINISHED)
        return int(found[0][0]) if found else 0
