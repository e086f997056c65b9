"""Keep the table of expiries up to date in the background, and its counts in the metrics.

One process of all instances looks for what was published since, whoever wrote it; every process tells the same counts
(docs/adr/0044).
"""

from __future__ import annotations

import asyncio
import random
import secrets
from typing import Final

from notary_common.database import Database, DatabaseError
from notary_common.log import get_logger
from notary_server.background import Background
from notary_server.errors import StoreUnavailable
from notary_server.inspection.holdings import REPOSITORIES_AT_ONCE, Holding, read_holdings
from notary_server.metrics import Metrics
from notary_server.ports import Clock
from notary_server.storage.expiries import Noted, SqlExpiries
from notary_server.tuf.instant import SECOND

from .ends import KINDS, ends

INTERVAL: Final = 3600 * SECOND
"""Nanoseconds from the end of one scan to the next, of any process: days count here, and publishes are not waited for."""
LOOK: Final = 300.0
"""Seconds between two looks of a process at the counts, and at whether a scan is due."""
FIRST_LOOK: Final = 10.0
"""Seconds within which the first look is taken: processes started at once spread."""
LEASE: Final = 120 * SECOND
"""Longer than a page takes; whoever died is followed after it."""
PAGE: Final = 500
"""Repositories of one look for changes; most have none, and cost one row each."""
PAUSE: Final = 0.05
"""Seconds after each page and each batch of changed repositories, so that requests come first."""
DAY: Final = 86_400 * SECOND
WITHIN: Final = {"0d": 0, "7d": 7 * DAY, "30d": 30 * DAY, "90d": 90 * DAY, "365d": 365 * DAY}
"""How far ahead is counted. What is over already is in every one."""

_log = get_logger()


class Scanner(Background):
    """The looks of one process."""

    def __init__(self, database: Database, clock: Clock, metrics: Metrics) -> None:
        """Nothing happens before `run` or `look`."""
        super().__init__()
        self._database = database
        self._expiries = SqlExpiries(database)
        self._clock = clock
        self._metrics = metrics
        self._holder = secrets.token_hex(16)

    async def run(self) -> None:
        """Look until `stop` is called."""
        await self._pause(random.uniform(0, FIRST_LOOK))  # noqa: S311 - no secret
        while not self._stopping.is_set():
            try:
                await self.look()
            except (StoreUnavailable, DatabaseError) as error:
                _log.warning("forecasts of expiry wait for the database", reason=str(error))
            except Exception:  # noqa: BLE001 - forecasts would stand still for ever
                _log.exception("the look for what expires failed")
            await self._pause(LOOK * random.uniform(0.9, 1.1))  # noqa: S311 - no secret

    async def look(self) -> None:
        """Scan if it is due and nobody does, then count.

        Raises:
            StoreUnavailable, DatabaseError: the database cannot answer.
        """
        if await self._renew_lease():
            await self._scan()
        now_ns = self._clock.now_ns()
        counts = await self._expiries.count([now_ns + ahead for ahead in WITHIN.values()])
        for within, ahead in WITHIN.items():
            for kind in KINDS:
                self._metrics.expiring(kind, within, counts[now_ns + ahead].get(kind, 0))
        self._metrics.expiry_scan(await self._expiries.finished() / SECOND)

    async def _renew_lease(self) -> bool:
        now_ns = self._clock.now_ns()
        return await self._expiries.take(self._holder, now_ns, now_ns + LEASE)

    async def _scan(self) -> None:
        place: str | None = ""
        while place is not None:
            if self._stopping.is_set() or not await self._renew_lease():
                return
            place, changed = await self._expiries.changed(place, PAGE)
            names = list(changed)
            for begin in range(0, len(names), REPOSITORIES_AT_ONCE):
                if self._stopping.is_set() or not await self._renew_lease():
                    return
                await self._note(names[begin : begin + REPOSITORIES_AT_ONCE], changed)
                await self._pause(PAUSE)
            await self._pause(PAUSE)
        place = ""
        while place is not None:
            if self._stopping.is_set() or not await self._renew_lease():
                return
            place = await self._expiries.forget_deleted(place, PAGE)
            await self._pause(PAUSE)
        now_ns = self._clock.now_ns()
        await self._expiries.finish(self._holder, now_ns, now_ns + INTERVAL)

    async def _note(self, guns: list[str], newest: dict[str, int]) -> None:
        found = await read_holdings(self._database, guns)
        noted = await asyncio.to_thread(_noted, found)
        await self._expiries.note(noted, newest)


def _noted(found: list[Holding]) -> dict[str, list[Noted]]:
    return {
        holding.stored.gun: [Noted(end.kind, end.role, end.ends_ns) for end in ends(holding.stored)]
        for holding in found
    }
