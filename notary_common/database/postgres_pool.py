"""A bounded pool of asyncpg's connections.

asyncpg's own wraps every connection and resets it after each use, which costs as much as a small query.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

import asyncpg

from .errors import DatabaseUnavailable
from .interface import PoolUse

PROBE_AFTER: Final = 0.2
"""Seconds of rest after which a connection is tried before it is used: it may have died unnoticed."""
PROBE_TIMEOUT: Final = 2.0
"""Seconds for that."""
IDLE_LIFETIME: Final = 300.0
"""Seconds after which an unused connection is closed."""
CLOSE_TIMEOUT: Final = 2.0
"""Seconds that connections in use get when everything is closed."""
DRIVER_ERRORS: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""What asyncpg raises besides OSError and TimeoutError."""


class PostgresPool:
    """Hands out connections; the one that was given back last comes first, so that few are kept under little load."""

    def __init__(self, connect: Callable[[], Awaitable[Any]], size: int, timeout: float) -> None:
        """`size` connections at most; `timeout` in seconds to wait for one."""
        self._connect = connect
        self._size = size
        self._timeout = timeout
        self._free = asyncio.Semaphore(size)
        self._resting: list[tuple[Any, float]] = []  # with the time when each was given back, the latest last
        self._taken: set[Any] = set()
        self._outdated: set[Any] = set()  # of those taken
        self._waits = 0
        self._closed = False

    @property
    def use(self) -> PoolUse:
        """How much of it is in use."""
        return PoolUse(len(self._taken), self._size, self._waits)

    async def take(self) -> Any:
        """A connection that works, as far as can be told; to be given back.

        Raises:
            DatabaseUnavailable: none became free in time.
            asyncpg's errors, OSError, TimeoutError: a new one cannot be made.
        """
        if self._free.locked():
            self._waits += 1
            try:
                async with asyncio.timeout(self._timeout):
                    await self._free.acquire()
            except TimeoutError as error:
                raise DatabaseUnavailable(
                    f"no connection to the database became free within {self._timeout:g} seconds"
                ) from error
        else:
            await self._free.acquire()
        try:
            connection = await self._rested() or await self._connect()
        except BaseException:
            self._free.release()
            raise
        self._taken.add(connection)
        return connection

    def give_back(self, connection: Any) -> None:
        """The connection is idle and outside a transaction, or closed."""
        self._taken.discard(connection)
        now = time.monotonic()
        if connection in self._outdated:
            self._outdated.discard(connection)
            connection.terminate()
        if not connection.is_closed():
            self._resting.append((connection, now))
        if self._resting and now - self._resting[0][1] > IDLE_LIFETIME:
            self._resting.pop(0)[0].terminate()
        self._free.release()

    def drop_resting(self) -> None:
        """One connection died: so have most likely those that rest."""
        for connection, _ in self._resting:
            connection.terminate()
        self._resting.clear()

    def renew(self) -> None:
        """From now on only new connections are handed out; those in use end when they are given back."""
        self._outdated |= self._taken
        self.drop_resting()

    async def close(self) -> None:
        """Close every connection, those in use after a short time; nothing if that was done before."""
        if self._closed:
            return
        self._closed = True
        held = 0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT):
                while held < self._size:
                    await self._free.acquire()
                    held += 1
                for connection, _ in self._resting:
                    await connection.close()
        for connection in self._taken:
            connection.terminate()
        self.drop_resting()
        for _ in range(held):
            self._free.release()

    async def _rested(self) -> Any:
        while self._resting:
            connection, since = self._resting.pop()
            rest = time.monotonic() - since
            if rest < PROBE_AFTER and not connection.is_closed():
                return connection
            if rest < IDLE_LIFETIME and await _answers(connection):
                return connection
            connection.terminate()
            self.drop_resting()
        return None


async def _answers(connection: Any) -> bool:
    try:
        await connection.execute("SELECT 1", timeout=PROBE_TIMEOUT)
    except BaseException as error:
        connection.terminate()
        if isinstance(error, (*DRIVER_ERRORS, OSError)):
            return False
        raise
    return True
