"""What a database holds of each repository, read in pages: a few statements for many repositories.

The store of this server is not asked, for two reasons: the database may not be adopted yet, and a look at a hundred
thousand repositories must not cost a million statements.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import sqlalchemy as sa

from notary_common.database import Database, Dialect, Query, among
from notary_server.storage.chain import listed_digests
from notary_server.storage.schema import TUF_FILES
from notary_server.tuf.model import FileSummary
from notary_server.tuf.names import ROOT, SNAPSHOT, TIMESTAMP, Gun, RoleName, Sha256Hex

from .examine import Stored

REPOSITORIES_AT_ONCE: Final = 50
"""Whose files are in memory together."""
FILES_AT_ONCE: Final = 100
"""Files in one statement."""

_F: Final = TUF_FILES.c
_VISIBLE: Final = _F.deleted_at.is_(None)
_COUNT: Final = Query(lambda _: sa.select(sa.func.count(sa.distinct(_F.gun))).where(_VISIBLE))
_NAMES: Final = Query(
    lambda _: (
        sa.select(_F.gun)
        .distinct()
        .where(_VISIBLE, _F.gun > sa.bindparam("after"))
        .order_by(_F.gun)
        .limit(sa.bindparam("size", type_=sa.Integer))
    )
)
_DATA: Final = Query(lambda kind: sa.select(_F.id, _F.data).where(among(_F.id, "ids", kind)))


def _rows(dialect: Dialect) -> sa.Executable:
    columns = (_F.id, _F.gun, _F.role, _F.version, _F.sha256, sa.func.length(_F.data))
    return sa.select(*columns).where(among(_F.gun, "guns", dialect), _VISIBLE)


_ROWS: Final = Query(_rows)


class Indexed(NamedTuple):
    """A stored file without its bytes; `sha256` is empty where the row has none."""

    id: int
    gun: str
    role: str
    version: int
    sha256: str
    length: int


@dataclass(frozen=True, slots=True)
class Holding:
    """One repository: what there is to examine, and every stored file without its bytes."""

    stored: Stored
    index: Sequence[Indexed]

    @property
    def rows(self) -> int:
        """How many files there are."""
        return len(self.index)

    @property
    def size(self) -> int:
        """Their bytes."""
        return sum(row.length for row in self.index)


async def count_repositories(database: Database) -> int:
    """How many repositories there are.

    Raises:
        DatabaseError: the database, or the table in it, cannot be read.
    """
    async with database.statement() as session:
        return int((await session.rows(_COUNT))[0][0])


async def holdings(database: Database) -> AsyncIterator[list[Holding]]:
    """All repositories in the database's own order, page by page.

    Raises:
        DatabaseError: the database, or the table in it, cannot be read.
    """
    async for names in repository_names(database):
        yield await read_holdings(database, names)


async def repository_names(database: Database) -> AsyncIterator[list[str]]:
    """The names of all repositories in the database's own order, page by page.

    Raises:
        DatabaseError: the database, or the table in it, cannot be read.
    """
    after = ""
    while True:
        async with database.statement() as session:
            rows = await session.rows(_NAMES, after=after, size=REPOSITORIES_AT_ONCE)
        if not rows:
            return
        yield [str(row[0]) for row in rows]
        after = str(rows[-1][0])


async def read_holdings(database: Database, names: list[str]) -> list[Holding]:
    """Those of these repositories of which anything is stored.

    Raises:
        DatabaseError: the database, or the table in it, cannot be read.
    """
    async with database.statement() as session:
        found = await session.rows(_ROWS, guns=names)
    by_gun: dict[str, list[Indexed]] = defaultdict(list)
    for number, gun, role, version, sha256, length in found:
        by_gun[gun].append(Indexed(number, gun, role, version, (sha256 or "").strip(), length))
    latest = {gun: _latest(rows) for gun, rows in by_gun.items()}
    data = await read_files(database, [row.id for rows in latest.values() for row in rows.values()])
    listed = {gun: _listed_snapshot(by_gun[gun], rows, data) for gun, rows in latest.items()}
    data |= await read_files(database, [row.id for row in listed.values() if row and row.id not in data])
    return [_holding(Gun(gun), rows, latest[gun], data, listed[gun]) for gun, rows in sorted(by_gun.items())]


async def read_files(database: Database, ids: Sequence[int]) -> dict[int, bytes]:
    """The bytes of those of these rows that are there, by ID.

    Raises:
        DatabaseError: the database cannot be read.
    """
    found: dict[int, bytes] = {}
    for begin in range(0, len(ids), FILES_AT_ONCE):
        async with database.statement() as session:
            rows = await session.rows(_DATA, ids=list(ids[begin : begin + FILES_AT_ONCE]))
        found |= {int(number): bytes(data) for number, data in rows}
    return found


def _latest(rows: Sequence[Indexed]) -> dict[RoleName, Indexed]:
    return {RoleName(row.role): row for row in sorted(rows, key=lambda row: row.version)}


def _listed_snapshot(
    rows: Sequence[Indexed], latest: Mapping[RoleName, Indexed], data: Mapping[int, bytes]
) -> Indexed | None:
    """The snapshot that the latest timestamp lists, if it is stored."""
    timestamp = latest.get(TIMESTAMP)
    listed = {} if timestamp is None else listed_digests(data.get(timestamp.id, b""))
    return _stored(rows, SNAPSHOT, listed.get(SNAPSHOT))


def _stored(rows: Sequence[Indexed], role: str, digest: str | None) -> Indexed | None:
    return next((row for row in rows if row.role == role and row.sha256 == digest), None)


def _holding(
    gun: Gun,
    rows: Sequence[Indexed],
    latest: Mapping[RoleName, Indexed],
    data: Mapping[int, bytes],
    snapshot: Indexed | None,
) -> Holding:
    current: dict[RoleName, str] = {}
    if TIMESTAMP in latest:
        current[TIMESTAMP] = _digest(latest[TIMESTAMP], data)
    if snapshot is not None:
        current[SNAPSHOT] = snapshot.sha256
        listed = listed_digests(data.get(snapshot.id, b""))
        current |= {role: row.sha256 for role in listed if (row := _stored(rows, role, listed[role]))}
    stored = Stored(
        gun=gun,
        latest={
            role: FileSummary(row.version, Sha256Hex(row.sha256), row.length) for role, row in latest.items()
        },
        files={role: data[row.id] for role, row in latest.items() if row.id in data},
        current=current,
        roots=[row.version for row in rows if row.role == ROOT],
    )
    return Holding(stored, rows)


def _digest(row: Indexed, data: Mapping[int, bytes]) -> str:
    return row.sha256 or hashlib.sha256(data.get(row.id, b"")).hexdigest()
