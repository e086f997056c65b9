"""The statements of archives: a repository's rows in one consistent look, and the rows that an import adds."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Final

import sqlalchemy as sa

from notary_common.database import Dialect, Query, Session, among
from notary_server.storage import statements
from notary_server.storage.announcing import announce
from notary_server.storage.schema import TUF_FILES, UPDATE
from notary_server.tuf.names import Gun

from . import format as form
from .format import Entry
from .merge import Row

BYTES_AT_ONCE: Final = 16 << 20
"""Of the files in one statement; a larger file comes alone."""
FILES_AT_ONCE: Final = 100
"""Files in one statement."""

_F: Final = TUF_FILES.c
_ROWS: Final = Query(
    lambda _: sa.select(_F.id, _F.role, _F.version, _F.sha256, sa.func.length(_F.data), _F.deleted_at).where(
        _F.gun == sa.bindparam("gun")
    )
)


def _data(dialect: Dialect) -> sa.Executable:
    return sa.select(_F.id, _F.data).where(among(_F.id, "ids", dialect))


_DATA: Final = Query(_data)


async def read_rows(session: Session, gun: str) -> list[Row]:
    """All rows of a repository, those marked as deleted too; a row without a digest gets that of its bytes."""
    found = [
        Row(int(number), Entry(role, version, (sha256 or "").strip(), length), deleted is not None)
        for number, role, version, sha256, length, deleted in await session.rows(_ROWS, gun=gun)
    ]
    digests: dict[int, str] = {}
    for batch in batches(row for row in found if not row.entry.sha256):
        data = await read_data(session, [row.id for row in batch])
        digests |= {number: form.digest(one) for number, one in data.items()}
    return [
        row
        if row.id not in digests
        else row._replace(entry=Entry(row.entry.role, row.entry.version, digests[row.id], row.entry.length))
        for row in found
    ]


async def read_data(session: Session, ids: Collection[int]) -> dict[int, bytes]:
    """The bytes of those of these rows that are there, by ID; the caller sees to it that they fit in memory."""
    wanted = sorted(ids)
    found: dict[int, bytes] = {}
    for begin in range(0, len(wanted), FILES_AT_ONCE):
        some = wanted[begin : begin + FILES_AT_ONCE]
        found |= {int(number): bytes(data) for number, data in await session.rows(_DATA, ids=some)}
    return found


def batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """The rows in their order, a few at a time whose bytes may be in memory together."""
    some: list[Row] = []
    size = 0
    for row in rows:
        if some and (len(some) == FILES_AT_ONCE or size + row.entry.length > BYTES_AT_ONCE):
            yield some
            some, size = [], 0
        some.append(row)
        size += row.entry.length
    if some:
        yield some


async def add(session: Session, gun: Gun, files: Mapping[Entry, bytes]) -> None:
    """Store these files as of now; how old they are, a server counts from the moment that it can lead clients to them."""
    await session.run_each(
        statements.INSERT,
        [
            {
                "now": _now(),
                "gun": gun,
                "role": entry.role,
                "version": entry.version,
                "data": data,
                "sha256": entry.sha256,
            }
            for entry, data in files.items()
        ],
    )


async def tell(session: Session, gun: Gun, timestamp: Entry) -> None:
    """Write the changefeed record of a publish with that timestamp, as the transaction's last step."""
    await announce(session, gun, timestamp.version, timestamp.sha256, UPDATE, _now())


def _now() -> datetime:
    """As the columns hold it: UTC without saying so; MySQL's have whole seconds."""
    return datetime.now(UTC).replace(tzinfo=None, microsecond=0)
