"""Look-ups that arrive while one is under way share the next: one statement answers them all.

Every answer was read after its question was asked, so what is shared is the journey, never a stale answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, Generic, TypeVar

from notary_common.database import Database, DatabaseConnectionLost, DatabaseUnavailable, Session

LINGER: Final = 0.01
"""Seconds that an idle lane keeps its connection, once or twice: taking one costs more than a look-up."""
HOLD: Final = 256
"""Look-ups after which a busy lane gives its connection back, so that others who wait for one get their turn."""

PATIENCE: Final = 6
"""Turns of the event loop that a look-up waits for as many questions as the last one answered: those who were answered
together ask again together, and half of them would come just too late."""

Key = TypeVar("Key")
Found = TypeVar("Found")
_Futures = list[asyncio.Future[Found | None]]


class Lane(Generic[Key, Found]):
    """One queue of look-ups, on one connection at a time."""

    def __init__(
        self,
        database: Database,
        look: Callable[[Session, Sequence[Key]], Awaitable[Mapping[Key, Found]]],
        limit: int,
    ) -> None:
        """`look` answers at most `limit` different questions; those it leaves out have no answer."""
        self._database = database
        self._look = look
        self._limit = limit
        self._asked: dict[Key, _Futures[Found]] = {}
        self._flying: dict[Key, _Futures[Found]] = {}
        self._expected = 1
        self._again = False  # whether what flies is asked for the second time
        self._task: asyncio.Task[None] | None = None
        self._idle: asyncio.Future[None] | None = None

    def ask(self, key: Key) -> asyncio.Future[Found | None]:
        """What a look-up begun after this call finds. Raises `DatabaseError` when awaited."""
        answer: asyncio.Future[Found | None] = asyncio.get_running_loop().create_future()
        others = self._asked.get(key)
        if others is None:
            self._asked[key] = [answer]
        else:
            others.append(answer)
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        elif self._idle is not None:
            _wake(self._idle)
        return answer

    async def close(self) -> None:
        """End; questions that have no answer yet fail."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            # A task that had not begun yet has cleared up nothing.
            self._end()

    async def _run(self) -> None:
        try:
            while self._asked:
                try:
                    await self._serve()
                except DatabaseConnectionLost as error:
                    if self._again:
                        self._fail(error)
                    # It may have died while it rested; what only reads is asked once more, on another one.
                    self._again = not self._again
                    self._asked = _joined(self._flying, self._asked)
                    self._flying = {}
                except Exception as error:  # noqa: BLE001 - it belongs to those who wait, whatever it is
                    self._fail(error)
        finally:
            self._end()

    async def _serve(self) -> None:
        """Look up until nobody asks any more, on one connection."""
        async with self._database.statement() as session:
            for _ in range(HOLD):
                if not self._asked and not await self._more():
                    return
                await self._gather()
                await self._answer(session)

    async def _gather(self) -> None:
        for _ in range(PATIENCE):
            if len(self._asked) >= self._expected:
                return
            await asyncio.sleep(0)

    async def _more(self) -> bool:
        """Whether somebody asks before the connection has lingered long enough."""
        loop = asyncio.get_running_loop()
        self._idle = loop.create_future()
        timer = loop.call_later(LINGER, _wake, self._idle)
        try:
            await self._idle
        finally:
            timer.cancel()
            self._idle = None
        return bool(self._asked)

    async def _answer(self, session: Session) -> None:
        self._flying = {}
        if len(self._asked) <= self._limit:
            self._flying, self._asked = self._asked, self._flying
        else:
            for key in list(self._asked)[: self._limit]:
                self._flying[key] = self._asked.pop(key)
        self._expected = len(self._flying)
        found = await self._look(session, list(self._flying))
        for key, answers in self._flying.items():
            result = found.get(key)
            for answer in answers:
                if not answer.done():
                    answer.set_result(result)
        self._flying = {}
        self._again = False

    def _end(self) -> None:
        self._task = None
        self._fail(DatabaseUnavailable("the database is being closed"))

    def _fail(self, error: Exception) -> None:
        """All who wait get the error; those who ask from now on begin afresh."""
        for answers in (*self._flying.values(), *self._asked.values()):
            for answer in answers:
                if not answer.done():
                    answer.set_exception(error)
        self._flying = {}
        self._asked = {}


def _joined(
    first: dict[Key, _Futures[Found]], then: dict[Key, _Futures[Found]]
) -> dict[Key, _Futures[Found]]:
    return {key: first.get(key, []) + then.get(key, []) for key in {**first, **then}}


def _wake(idle: asyncio.Future[None]) -> None:
    if not idle.done():
        idle.set_result(None)
