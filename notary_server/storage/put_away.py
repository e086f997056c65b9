"""Repositories that an operator has put away: their rows in a table of our own, until they are brought back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import sqlalchemy as sa

from notary_common.database import Database, Query, Session
from notary_server.tuf.names import ROOT, TIMESTAMP, Gun

from . import statements
from .announcing import announce
from .errors import store_errors
from .schema import DELETION, METADATA, TUF_FILES, UPDATE

PUT_AWAY: Final = sa.Table(
    "notary_server_put_away",
    METADATA,
    sa.Column("gun", sa.String(255), primary_key=True),
    sa.Column("put_away_ns", sa.BigInteger, primary_key=True),
    sa.Column("role", sa.String(255), primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True),
    sa.Column("created_at", sa.DateTime),
    sa.Column("updated_at", sa.DateTime),
    sa.Column("data", sa.LargeBinary, nullable=False),
    sa.Column("sha256", sa.CHAR(64)),
)
_P: Final = PUT_AWAY.c
_F: Final = TUF_FILES.c
_COPIED: Final = ("gun", "role", "version", "created_at", "updated_at", "data", "sha256")
_NAMED: Final = (_F.gun == sa.bindparam("named"), _F.deleted_at.is_(None))
_BATCH: Final = (
    _P.gun == sa.bindparam("named"),
    _P.put_away_ns == sa.bindparam("batch", type_=sa.BigInteger),
)

_COPY: Final = Query(
    lambda _: PUT_AWAY.insert().from_select(
        ["put_away_ns", *_COPIED],
        sa.select(sa.bindparam("batch", type_=sa.BigInteger), *(_F[name] for name in _COPIED)).where(*_NAMED),
    )
)
_COUNT: Final = Query(lambda _: sa.select(sa.func.count()).select_from(TUF_FILES).where(*_NAMED))
_LATEST_BATCH: Final = Query(
    lambda _: sa.select(sa.func.max(_P.put_away_ns)).where(_P.gun == sa.bindparam("named"))
)
_BRING_BACK: Final = Query(
    lambda _: TUF_FILES.insert().from_select(
        list(_COPIED), sa.select(*(_P[name] for name in _COPIED)).where(*_BATCH)
    )
)
_FORGET: Final = Query(lambda _: PUT_AWAY.delete().where(*_BATCH))
_HEAD: Final = Query(
    lambda _: (
        sa.select(_P.version, _P.sha256)
        .where(*_BATCH, _P.role == TIMESTAMP)
        .order_by(_P.version.desc())
        .limit(1)
    )
)
LATEST_ROOT: Final = Query(
    lambda _: (
        sa.select(_P.data)
        .where(_P.gun == sa.bindparam("gun"), _P.role == ROOT)
        .order_by(_P.put_away_ns.desc(), _P.version.desc())
        .limit(1)
    )
)
"""The bytes of the newest root of a repository that was put away."""
HAS_ROOT: Final = Query(
    lambda _: (
        sa.select(sa.func.count())
        .select_from(PUT_AWAY)
        .where(_P.gun == sa.bindparam("gun"), _P.role == ROOT, _P.sha256 == sa.bindparam("sha256"))
    )
)
"""Whether this very root of a repository was put away."""


class NothingPutAway(Exception):
    """Nothing of this repository is put away."""


class PublishedMeanwhile(Exception):
    """The repository was published anew since it was put away."""


async def count(database: Database, gun: Gun) -> int:
    """How many rows `put_away` would take. Raises: StoreUnavailable."""
    with store_errors():
        async with database.statement() as session:
            return int((await session.rows(_COUNT, named=gun))[0][0])


async def put_away(database: Database, gun: Gun, now_ns: int) -> int:
    """Take a repository out of service, all or nothing, and announce it as a deletion; how many rows that were.

    Its keys are not to be retired: whoever publishes it anew is given the same ones, so that versions go on.

    Raises:
        StoreUnavailable: the database cannot do it; nothing has changed.
    """
    with store_errors():
        async with database.transaction(turn=statements.gun_turn(gun)) as session:
            number = await session.run(_COPY, named=gun, batch=now_ns)
            if number:
                await session.run(statements.DELETE, gun=gun)
                await announce(session, gun, 0, "", DELETION, _now(session))
    return number


async def bring_back(database: Database, gun: Gun) -> int:
    """Undo the latest `put_away` of a repository of which nothing is stored now; how many rows came back.

    Raises:
        NothingPutAway, PublishedMeanwhile: there is nothing to undo, or it would be lost what was published since.
        StoreUnavailable: the database cannot do it; nothing has changed.
    """
    with store_errors():
        async with database.transaction(turn=statements.gun_turn(gun)) as session:
            batch = (await session.rows(_LATEST_BATCH, named=gun))[0][0]
            if batch is None:
                raise NothingPutAway(gun)
            if (await session.rows(_COUNT, named=gun))[0][0]:
                raise PublishedMeanwhile(gun)
            number = await session.run(_BRING_BACK, named=gun, batch=batch)
            head: Sequence[Sequence[Any]] = await session.rows(_HEAD, named=gun, batch=batch)
            await session.run(_FORGET, named=gun, batch=batch)
            if head:
                await announce(session, gun, head[0][0], (head[0][1] or "").strip(), UPDATE, _now(session))
    return number


def _now(session: Session) -> datetime:
    now = datetime.now(UTC).replace(tzinfo=None)
    return now.replace(microsecond=0) if session.dialect == "mysql" else now
