"""The state of health, checked in the background: asking for it never waits."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

from notary_common.log import get_logger
from notary_server.metrics import Metrics
from notary_server.operations.context import Context
from notary_server.operations.health import CHECKS, check

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
        self._problems: dict[str, str] = {}
        self._stopping = asyncio.Event()

    @property
    def problems(self) -> dict[str, str]:
        """What is wrong, by the name of the check; empty if all is well."""
        return self._problems

    async def watch(self, context: Context, metrics: Metrics) -> None:
        """Check until `stop` is called."""
        while not self._stopping.is_set():
            try:
                problems = await check(context)
            except Exception:  # noqa: BLE001 - a watcher that died would report its last finding for ever
                _log.exception("the health checks failed")
                problems = dict.fromkeys(CHECKS, "the check itself failed; the log says why")
            if problems != self._problems:
                _log.warning("health changed", problems=problems)
            self._problems = problems
            self.checked = True
            for name in CHECKS:
                metrics.check(name, operational=name not in problems)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), RETRY if problems else INTERVAL)

    def stop(self) -> None:
        """End `watch` after the check under way: a database driver that is cancelled half-way outlives the loop."""
        self._stopping.set()
