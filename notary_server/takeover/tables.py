"""The two tables that are brought over, row by row and byte by byte, between databases of any kind.

Rows keep their IDs. So what is where can be compared block by block, a thousand IDs each, without reading a file.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from notary_common.database import Database, Dialect, Query, Session, among
from notary_server.storage.schema import CHANGEFEED, TUF_FILES

BLOCK: Final = 1000
"""IDs that are compared together."""
WEIGHED: Final = 4
"""Characters of a digest that tell it from others: more would not fit the sums of every database."""
ROWS_AT_ONCE: Final = 100
"""Rows that are read and written together; a file may have some megabytes."""

Row = Mapping[str, Any]


class Fingerprint(NamedTuple):
    """What tells two blocks apart: how many rows, and sums over them; `digests` weighs some characters of each."""

    rows: int
    ids: int
    versions: int
    digests: int


class Identity(NamedTuple):
    """What tells two rows of one ID apart; the digest stands for the file."""

    gun: str
    version: int
    sha256: str

    def copied_from(self, source: Identity | None) -> bool:
        """Whether this may be what became of `source`: the copy has a digest also where Notary stored none."""
        return (
            source is not None
            and (self.gun, self.version) == (source.gun, source.version)
            and source.sha256 in {"", self.sha256}
        )


@dataclass(frozen=True, slots=True)
class Numbered:
    """A table of rows with increasing IDs."""

    table: sa.Table

    async def count(self, database: Database) -> int:
        """How many rows there are."""
        async with database.statement() as session:
            return int((await session.rows(_COUNT[self.table.name]))[0][0])

    async def names(self, database: Database) -> list[str]:
        """The repositories that rows are of, each once."""
        async with database.statement() as session:
            return [str(row[0]) for row in await session.rows(_NAMES[self.table.name])]

    async def blocks(self, database: Database) -> dict[int, Fingerprint]:
        """The fingerprint of every block that has a row, by its first ID."""
        async with database.statement() as session:
            rows = await session.rows(_BLOCKS[self.table.name])
        return {int(first): Fingerprint(*map(int, sums)) for first, *sums in rows}

    async def identities(self, database: Database, block: int) -> dict[int, Identity]:
        """The rows of the block that begins with that ID."""
        async with database.statement() as session:
            rows = await session.rows(_IDENTITIES[self.table.name], first=block, end=block + BLOCK)
        return {int(row[0]): Identity(row[1], row[2], (row[3] or "").strip()) for row in rows}

    async def page(self, database: Database, after: int) -> list[Row]:
        """The `ROWS_AT_ONCE` rows with the next higher IDs, whole."""
        async with database.statement() as session:
            rows = await session.rows(_PAGE[self.table.name], after=after, size=ROWS_AT_ONCE)
        return [self._row(row) for row in rows]

    async def read(self, database: Database, ids: Sequence[int]) -> list[Row]:
        """Those rows of `ids` that are there, whole, in their order."""
        async with database.statement() as session:
            rows = await session.rows(_READ[self.table.name], ids=list(ids))
        return [self._row(row) for row in rows]

    async def remove(self, session: Session, ids: Collection[int]) -> None:
        """Remove these rows."""
        await session.run(_REMOVE[self.table.name], ids=list(ids))

    async def add(self, session: Session, rows: Sequence[Row]) -> None:
        """Store these rows under the IDs that they have."""
        await session.run_each(_ADD[self.table.name], rows)

    async def go_on_after(self, session: Session) -> None:
        """Let the database number new rows from above the highest ID on; all but PostgreSQL do so by themselves."""
        if session.dialect == "postgresql":
            await session.rows(_GO_ON[self.table.name])

    def _row(self, row: Sequence[Any]) -> Row:
        return {column.name: _plain(value) for column, value in zip(self.table.columns, row, strict=True)}


FILES: Final = Numbered(TUF_FILES)
CHANGES: Final = Numbered(CHANGEFEED)


def _plain(value: object) -> object:
    """As every dialect takes it: times in UTC without saying so, digests without PostgreSQL's padding."""
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(UTC).replace(tzinfo=None)
    if isinstance(value, memoryview | bytearray):
        return bytes(value)
    return value.rstrip() if isinstance(value, str) and value.isspace() else value


def _count(table: sa.Table) -> Query:
    return Query(lambda _: sa.select(sa.func.count()).select_from(table))


def _names(table: sa.Table) -> Query:
    return Query(lambda _: sa.select(table.c.gun).distinct().order_by(table.c.gun))


def _blocks(table: sa.Table) -> Query:
    def build(dialect: Dialect) -> sa.Executable:
        # Written out: as a parameter, PostgreSQL would not know it for the same in both places.
        first = table.c.id - table.c.id % sa.literal_column(str(BLOCK))
        summed = (table.c.id, table.c.version, _weight(table.c.sha256, dialect))
        return sa.select(first, sa.func.count(), *map(sa.func.sum, summed)).group_by(first)

    return Query(build)


def _weight(digest: sa.ColumnElement[str], dialect: Dialect) -> sa.ColumnElement[int]:
    """A number that hardly any two digests share, of what all databases can compute alike: codes of characters."""
    code = sa.func.unicode if dialect == "sqlite" else sa.func.ascii
    characters = (
        sa.func.coalesce(code(sa.func.substr(digest, place + 1, 1)), 0) * sa.literal_column(str(128**place))
        for place in range(WEIGHED)
    )
    return functools.reduce(operator.add, characters)


def _identities(table: sa.Table) -> Query:
    columns = (table.c.id, table.c.gun, table.c.version, table.c.sha256)
    inside = sa.and_(table.c.id >= sa.bindparam("first"), table.c.id < sa.bindparam("end"))
    return Query(lambda _: sa.select(*columns).where(inside))


def _page(table: sa.Table) -> Query:
    size = sa.bindparam("size", type_=sa.Integer)
    above = table.c.id > sa.bindparam("after")
    return Query(lambda _: sa.select(table).where(above).order_by(table.c.id).limit(size))


def _read(table: sa.Table) -> Query:
    def build(dialect: Dialect) -> sa.Executable:
        return sa.select(table).where(among(table.c.id, "ids", dialect)).order_by(table.c.id)

    return Query(build)


def _remove(table: sa.Table) -> Query:
    return Query(lambda dialect: sa.delete(table).where(among(table.c.id, "ids", dialect)))


def _add(table: sa.Table) -> Query:
    values = {column.name: sa.bindparam(column.name, type_=column.type) for column in table.columns}
    return Query(lambda _: sa.insert(table).values(values))


def _go_on(table: sa.Table) -> Query:
    text = (
        f"SELECT setval(pg_get_serial_sequence('{table.name}', 'id'), greatest(max(id), 1)) FROM {table.name}"  # noqa: S608 - our own names
    )
    return Query(lambda _: sa.text(text))


_TABLES: Final = (TUF_FILES, CHANGEFEED)
_COUNT: Final = {table.name: _count(table) for table in _TABLES}
_NAMES: Final = {table.name: _names(table) for table in _TABLES}
_BLOCKS: Final = {table.name: _blocks(table) for table in _TABLES}
_IDENTITIES: Final = {table.name: _identities(table) for table in _TABLES}
_PAGE: Final = {table.name: _page(table) for table in _TABLES}
_READ: Final = {table.name: _read(table) for table in _TABLES}
_REMOVE: Final = {table.name: _remove(table) for table in _TABLES}
_ADD: Final = {table.name: _add(table) for table in _TABLES}
_GO_ON: Final = {table.name: _go_on(table) for table in _TABLES}
