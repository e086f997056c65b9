"""How far each webhook has come, who delivers it at the moment, and the events that could not be delivered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql, sqlite

from notary_common.database import Database, Dialect, Query

from .errors import store_errors
from .leases import taken
from .schema import METADATA

WEBHOOKS: Final = sa.Table(
    "notary_server_webhooks",
    METADATA,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("change_id", sa.BigInteger, nullable=False),
    sa.Column("warned_ns", sa.BigInteger, nullable=False),
    sa.Column("tries", sa.Integer, nullable=False),
    sa.Column("due_ns", sa.BigInteger, nullable=False),
    sa.Column("holder", sa.String(32), nullable=False),
    sa.Column("until_ns", sa.BigInteger, nullable=False),
)
DEAD_LETTERS: Final = sa.Table(
    "notary_server_dead_letters",
    METADATA,
    sa.Column("id", sa.BigInteger, primary_key=True),
    sa.Column("webhook", sa.String(64), nullable=False),
    sa.Column("event_id", sa.String(255), nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Column("reason", sa.String(255), nullable=False),
    sa.Column("failed_ns", sa.BigInteger, nullable=False),
)
_W: Final = WEBHOOKS.c
_D: Final = DEAD_LETTERS.c
_NOW: Final = sa.bindparam("now_ns", type_=sa.BigInteger)


def _begin(dialect: Dialect) -> sa.Executable:
    values: dict[str, Any] = {name: sa.bindparam(name) for name in ("name", "change_id", "warned_ns")}
    zero = sa.literal(0, sa.BigInteger)
    values |= {"tries": sa.literal(0), "due_ns": zero, "holder": sa.literal(""), "until_ns": zero}
    if dialect == "postgresql":
        return postgresql.insert(WEBHOOKS).values(values).on_conflict_do_nothing()
    if dialect == "sqlite":
        return sqlite.insert(WEBHOOKS).values(values).on_conflict_do_nothing()
    return mysql.insert(WEBHOOKS).values(values).prefix_with("IGNORE")


def _mine() -> sa.ColumnElement[bool]:
    return sa.and_(_W.name == sa.bindparam("named"), _W.holder == sa.bindparam("mine"))


_BEGIN: Final = Query(_begin)
_ALL: Final = Query(
    lambda _: sa.select(_W.name, _W.change_id, _W.warned_ns, _W.tries, _W.due_ns).order_by(_W.name)
)
_TAKE: Final = Query(
    lambda _: (
        WEBHOOKS.update()
        .where(
            _W.name == sa.bindparam("named"), sa.or_(_W.until_ns < _NOW, _W.holder == sa.bindparam("mine"))
        )
        .values(holder=sa.bindparam("taker"), until_ns=sa.bindparam("until"))
    )
)
_MOVE: Final = Query(
    lambda _: (
        WEBHOOKS.update()
        .where(_mine())
        .values(
            change_id=sa.bindparam("to"),
            warned_ns=sa.bindparam("warned"),
            tries=sa.bindparam("tried"),
            due_ns=sa.bindparam("due"),
        )
    )
)
_BURY: Final = Query(
    lambda _: DEAD_LETTERS.insert().values(
        {name: sa.bindparam(name) for name in ("webhook", "event_id", "body", "reason", "failed_ns")}
    )
)
_DEAD: Final = Query(
    lambda _: (
        sa.select(_D.id, _D.webhook, _D.event_id, _D.body, _D.reason, _D.failed_ns)
        .where(_D.id > sa.bindparam("after", type_=sa.BigInteger))
        .order_by(_D.id)
        .limit(sa.bindparam("size", type_=sa.Integer))
    )
)
_REMOVE: Final = Query(lambda _: DEAD_LETTERS.delete().where(_D.id == sa.bindparam("number")))


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a webhook has come.

    Attributes:
        change_id: the last changefeed record whose events are delivered.
        warned_ns: everything that ends before has been told, in nanoseconds since 1970-01-01T00:00:00Z.
        tries: how often the next event was tried in vain.
        due_ns: when it is tried again.
    """

    name: str
    change_id: int
    warned_ns: int
    tries: int
    due_ns: int


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An event that was given up; `body` as it was sent."""

    id: int
    webhook: str
    event_id: str
    body: bytes
    reason: str
    failed_ns: int


class SqlWebhooks:
    """All methods raise `StoreUnavailable` when the database cannot answer."""

    def __init__(self, database: Database) -> None:
        """`database` is closed by who opened it."""
        self._database = database

    async def begin(self, name: str, change_id: int, warned_ns: int) -> None:
        """Begin with what follows that record and that moment, unless the webhook has begun before."""
        with store_errors():
            async with self._database.transaction() as session:
                await session.run(_BEGIN, name=name, change_id=change_id, warned_ns=warned_ns)

    async def progress(self) -> list[Progress]:
        """Of all webhooks that ever began."""
        with store_errors():
            async with self._database.statement() as session:
                return [Progress(*row) for row in await session.rows(_ALL)]

    async def take(self, name: str, holder: str, now_ns: int, until_ns: int) -> bool:
        """Whether `holder` may deliver until then."""
        values = {"named": name, "mine": holder, "taker": holder, "now_ns": now_ns, "until": until_ns}
        return await taken(self._database, _TAKE, **values)

    async def move(self, to: Progress, holder: str, letter: DeadLetter | None = None) -> bool:
        """Note how far it has come, and with it the event that is given up, if one is; False if another has the lease."""
        with store_errors():
            async with self._database.transaction() as session:
                moved = await session.run(
                    _MOVE, named=to.name, mine=holder, to=to.change_id, warned=to.warned_ns, tried=to.tries,
                    due=to.due_ns,
                )  # fmt: skip
                if moved and letter is not None:
                    await session.run(
                        _BURY, webhook=letter.webhook, event_id=letter.event_id[:255], body=letter.body,
                        reason=letter.reason[:255], failed_ns=letter.failed_ns,
                    )  # fmt: skip
        return moved == 1

    async def dead(self, after: int, size: int) -> Sequence[DeadLetter]:
        """The next dead letters after that ID, the oldest first."""
        with store_errors():
            async with self._database.statement() as session:
                rows = await session.rows(_DEAD, after=after, size=size)
        return [DeadLetter(int(row[0]), row[1], row[2], bytes(row[3]), row[4], int(row[5])) for row in rows]

    async def remove(self, number: int) -> None:
        """Forget a dead letter."""
        with store_errors():
            async with self._database.transaction() as session:
                await session.run(_REMOVE, number=number)
