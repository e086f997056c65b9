"""What the stores of both daemons ask of a database, whichever it is.

    async with database.statement() as session: ...            one statement, without the price of a transaction
    async with database.snapshot() as session: ...             several reads of one consistent look
    async with database.transaction("name") as session: ...    reads and writes, durable when the block has ended

Whatever a driver raises inside leaves as `DatabaseUnavailable` or `DatabaseConflict`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Final, Protocol

from ..tls import ReloadingContext
from .query import Dialect, Query

DEFAULT_POOL_SIZE: Final = 10
"""Connections per process at most. PostgreSQL allows 100 in all unless told otherwise."""
DEFAULT_POOL_TIMEOUT: Final = 3.0
"""Seconds to wait for a free connection. Clients give up after 5 seconds."""
DEFAULT_STATEMENT_TIMEOUT: Final = 10.0
"""Seconds a statement may take, waiting for locks included."""


@dataclass(frozen=True, slots=True)
class PoolUse:
    """How much of a pool of connections is in use.

    Attributes:
        in_use: connections that somebody has taken.
        limit: as many as there may be.
        waits: how often, since the start, somebody had to wait as all were taken.
    """

    in_use: int
    limit: int
    waits: int


class Session(Protocol):
    """One connection, in use by one task."""

    @property
    def dialect(self) -> Dialect:
        """Which database this is, for the few places where they differ."""

    async def rows(self, query: Query, /, **values: Any) -> Sequence[Sequence[Any]]:
        """All rows of a query."""

    async def run(self, query: Query, /, **values: Any) -> int:
        """Execute a statement that changes rows; how many it changed."""

    async def run_each(self, query: Query, values: Sequence[Mapping[str, Any]], /) -> None:
        """Execute such a statement once with each of `values`."""

    async def turn(self, name: str) -> None:
        """Wait until no other transaction, of any process, holds the turn `name`; hold it until this one has ended.

        Only inside `transaction`. Who takes several takes them in one order, or two wait for each other.
        """


class Database(Protocol):
    """A pool of connections, opened when first needed; it recovers by itself after the database was away."""

    @property
    def dialect(self) -> Dialect:
        """Which database this is."""

    @property
    def tls(self) -> ReloadingContext | None:
        """What connections are made with, to be watched; None where that is no TLS, or only perhaps."""

    def statement(self) -> AbstractAsyncContextManager[Session]:
        """For statements that are each their own transaction."""

    def snapshot(self) -> AbstractAsyncContextManager[Session]:
        """For reads that all see the same moment; nothing can be written."""

    def transaction(self, turn: str | None = None) -> AbstractAsyncContextManager[Session]:
        """For reads and writes: committed and on disk when the block ends, rolled back if it raises.

        Every statement sees what was committed before it began, so take a turn first: `turn` is taken with the begin.
        """

    @property
    def use(self) -> PoolUse:
        """How much of the pool is in use now."""

    async def close(self) -> None:
        """Close every connection."""
