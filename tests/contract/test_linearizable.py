"""Commits, deletes and all ways of reading one repository through two stores: every history is linearizable."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import TypeVar

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from notary_server.errors import HeadMoved
from notary_server.storage.sql_store import SqlStore
from notary_server.tuf.model import NewFile
from notary_server.tuf.names import SNAPSHOT, TARGETS, TIMESTAMP, Gun, Sha256Hex
from tests.support.linearizable import Call, contradiction

from .metadata import publish

Answer = TypeVar("Answer")
Stored = tuple[str, ...]
"""The model: the digests of the stored timestamps, oldest first. The last one is current."""

PAUSES = (0.0, 0.0, 0.001, 0.004)
ACTIONS = (
    "publish",
    "publish",
    "publish",
    "delete",
    "timestamp",
    "snapshot",
    "targets",
    "head",
    "checksum",
    "version",
)
CLIENT = st.lists(st.tuples(st.sampled_from(ACTIONS), st.sampled_from(PAUSES)), min_size=1, max_size=6)
SCHEDULE = st.lists(CLIENT, min_size=2, max_size=5)


class History:
    """Runs calls against the stores and notes when each began, ended and what it answered."""

    def __init__(self, stores: list[SqlStore]) -> None:
        self.stores = stores
        self.gun = Gun(f"history/{uuid.uuid4().hex}")
        self.calls: list[Call[Stored]] = []
        self.written: list[list[NewFile]] = []
        self.publish_of: dict[str, str] = {}

    async def client(self, number: int, actions: list[tuple[str, float]]) -> None:
        """One after the other."""
        store = self.stores[number % len(self.stores)]
        for action, pause in actions:
            if action == "publish":
                await self._publish(store, number, pause)
            else:
                await asyncio.sleep(pause)
                await self._ask(store, action)

    async def _publish(self, store: SqlStore, number: int, pause: float) -> None:
        state = await store.trust_state(self.gun, [])
        seen = state.latest.get(TIMESTAMP)
        version = max((summary.version for summary in state.latest.values()), default=0) + 1
        files = publish(version, f"{number} {len(self.written)}")
        self.written.append(files)
        mine = _digest(files, TIMESTAMP)
        self.publish_of |= {file.sha256: mine for file in files}
        await asyncio.sleep(pause)
        expected = None if seen is None else seen.sha256

        async def commit() -> bool:
            try:
                await store.commit(state, files)
            except HeadMoved:
                return False
            return True

        def after(won: bool, stored: Stored) -> Iterable[Stored]:
            fits = (stored[-1] if stored else None) == expected
            if won != fits:
                return []
            return [(*stored, mine)] if won else [stored]

        await self._note(f"commit {mine[:6]} over {expected and expected[:6]}", commit, after)

    async def _ask(self, store: SqlStore, action: str) -> None:
        if action == "delete":
            await self._note(
                "delete", partial(store.delete, self.gun), lambda had, now: [()] if had == bool(now) else []
            )
        elif action == "head":

            async def head() -> str | None:
                found = (await store.trust_state(self.gun, [])).latest.get(TIMESTAMP)
                return None if found is None else found.sha256

            await self._note("head", head, _is_current)
        elif action in {"timestamp", "snapshot", "targets"}:
            role = {"timestamp": TIMESTAMP, "snapshot": SNAPSHOT, "targets": TARGETS}[action]

            async def current() -> str | None:
                found = await store.current(self.gun, role)
                return None if found is None else self.publish_of[found.sha256]

            await self._note(f"current {action}", current, _is_current)
        elif self.written:
            files = self.written[len(self.calls) % len(self.written)]
            await self._stored(store, action, files)

    async def _stored(self, store: SqlStore, action: str, files: list[NewFile]) -> None:
        """Whether one file of an earlier publish is there, by its digest or its version."""
        targets = next(file for file in files if file.role == TARGETS)
        mine = _digest(files, TIMESTAMP)

        async def there() -> bool:
            if action == "checksum":
                return await store.by_checksum(self.gun, TARGETS, targets.sha256) is not None
            found = await store.by_version(self.gun, TARGETS, targets.version)
            return found is not None and found.sha256 == targets.sha256

        await self._note(
            f"{action} of {mine[:6]}", there, lambda found, now: [now] if found == (mine in now) else []
        )

    async def _note(
        self,
        text: str,
        ask: Callable[[], Awaitable[Answer]],
        after: Callable[[Answer, Stored], Iterable[Stored]],
    ) -> None:
        began = time.monotonic_ns()
        answer = await ask()
        ended = time.monotonic_ns()
        self.calls.append(Call(began, ended, partial(after, answer), f"{text}: {answer}"))


def _digest(files: list[NewFile], role: str) -> Sha256Hex:
    return next(file.sha256 for file in files if file.role == role)


def _is_current(answer: str | None, stored: Stored) -> Iterable[Stored]:
    return [stored] if answer == (stored[-1] if stored else None) else []


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(schedule=SCHEDULE)
async def test_every_history_is_one_that_a_single_copy_could_have_given(
    stores: list[SqlStore], schedule: list[list[tuple[str, float]]]
) -> None:
    """Clients on two stores publish, delete and read one repository at the same time, in any schedule."""
    history = History(stores)
    await asyncio.gather(*(history.client(number, actions) for number, actions in enumerate(schedule)))
    assert contradiction((), history.calls) is None
