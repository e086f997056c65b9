"""The state of health, checked in the background: asking for it never waits."""

from __future__ import annotations

import asyncio
from typing import Final

from notary_common.log import get_logger
from notary_server.metrics import Metrics
from notary_server.operations.context import Context
from notary_server.operations.health import CHECKS, check

INTERVAL: Final = 10.0
"""Seconds between two checks."""

_log = get_logger()


class Health:
    """The outcome of the latest checks; healthy until the first."""

    def __init__(self) -> None:
        self._problems: dict[str, str] = {}

    @property
    def problems(self) -> dict[str, str]:
        """What is wrong, by the name of the check; empty if all is well."""
        return self._problems

    async def watch(self, context: Context, metrics: Metrics) -> None:
        """Check for ever."""
        while True:
            try:
                problems = await check(context)
            except Exception:  # noqa: BLE001 - a watcher that died would report its last finding for ever
                _log.exception("the health checks failed")
                problems = dict.fromkeys(CHECKS, "the check itself failed; the log says why")
            if problems != self._problems:
                _log.warning("health changed", problems=problems)
            self._problems = problems
            for name in CHECKS:
                metrics.check(name, operational=name not in problems)
            await asyncio.sleep(INTERVAL)
