"""The state of health, checked in the background: asking for it never waits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Final

from .log import get_logger

INTERVAL: Final = 10.0
"""Seconds between two checks while all is well."""
RETRY: Final = 1.0
"""Seconds until what was wrong is looked at again, so that recovery shows at once."""

_log = get_logger()


class Health:
    """The outcome of the latest checks; healthy until the first.

    Attributes:
        checked: whether there was one.
    """

    def __init__(self) -> None:
        self.checked = False
        self._problems: Mapping[str, str] = {}
        self._stopping = asyncio.Event()

    @property
    def problems(self) -> Mapping[str, str]:
        """What is wrong, by the name of the check; empty if all is well."""
        return self._problems

    @asynccontextmanager
    async def watching(
        self,
        names: Collection[str],
        check: Callable[[], Awaitable[Mapping[str, str]]],
        found: Callable[[Mapping[str, str]], None] = lambda _: None,
    ) -> AsyncIterator[None]:
        """Check while the block runs.

        Args:
            names: of all checks.
            check: what is wrong, by the name of the check.
            found: is told after each check.
        """
        # Not a task group: that would wrap what goes wrong in the body, and whoever starts us wants to name it.
        task = asyncio.create_task(self._watch(names, check, found))
        try:
            yield
        finally:
            # After the check under way: a database driver that is cancelled half-way outlives the loop.
            self._stopping.set()
            await task

    async def _watch(
        self,
        names: Collection[str],
        check: Callable[[], Awaitable[Mapping[str, str]]],
        found: Callable[[Mapping[str, str]], None],
    ) -> None:
        while not self._stopping.is_set():
            try:
                problems = await check()
            except Exception:  # noqa: BLE001 - a watcher that died would report its last finding for ever
                _log.exception("the health checks failed")
                problems = dict.fromkeys(names, "the check itself failed; the log says why")
            if problems != self._problems:
                _log.warning("health changed", problems=problems)
            self._problems = problems
            self.checked = True
            found(problems)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), RETRY if problems else INTERVAL)
