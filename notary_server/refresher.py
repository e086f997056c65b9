"""Renew timestamps and snapshots in the background, long before they expire, so that no read waits for the signer.

Every process sweeps over all repositories again and again; leases keep two from signing the same, and the commit has
the last word (docs/design/freshness.md).
"""

from __future__ import annotations

import random
import secrets
from collections import Counter
from typing import Final

from notary_common.log import get_logger

from .background import Background
from .errors import SignerUnavailable, StoreUnavailable
from .metrics import OVERDUE_REASONS, Metrics
from .operations.context import Context
from .operations.reseal import Outcome, refresh
from .ports import Renewals, Signed
from .tuf.freshness import Horizon
from .tuf.instant import SECOND
from .tuf.names import Gun

INTERVAL: Final = 600.0
"""Seconds between two sweeps, and until a signer that was away is asked again. Days are left, so it need not be less."""
PAGE: Final = 100
"""Repositories per look at the database: a millisecond or two of this process's time."""
PAGE_PAUSE: Final = 0.05
"""Seconds between two pages: a sweep over 100,000 repositories takes a minute instead of all of the database."""
RENEWAL_PAUSE: Final = 0.05
"""Seconds between two renewals, so at most 20 a second: 100,000 repositories in less than 90 minutes, beside the reads."""
LEASE: Final = 120 * SECOND
"""Longer than a renewal takes whose every call times out; whoever is slower signs in vain, and nothing worse."""
STRIKES: Final = 3
"""Calls in a row that the signer may leave unanswered before a sweep stops asking: a single key may be what hangs."""
REST: Final = 86_400 * SECOND
"""How long a repository rests whose renewal is impossible. Five days are left when it is tried first."""

_log = get_logger()


class Refresher(Background):
    """The sweeps of one process."""

    def __init__(self, context: Context, renewals: Renewals, metrics: Metrics) -> None:
        """Nothing happens before `run` or `sweep`."""
        super().__init__()
        self._context = context
        self._renewals = renewals
        self._metrics = metrics
        self._holder = secrets.token_hex(16)
        self._overdue: Counter[str] = Counter()
        self._strikes = 0

    async def run(self) -> None:
        """Sweep until `stop` is called. The first one begins at a random moment, so that instances started at once spread."""
        await self._pause(random.uniform(0, INTERVAL))  # noqa: S311 - no secret
        while not self._stopping.is_set():
            try:
                await self.sweep()
            except StoreUnavailable as error:
                _log.warning("renewals wait for the database", reason=error.message)
            except Exception:  # noqa: BLE001 - a refresher that died would let everything expire
                _log.exception("the sweep for renewals failed")
            await self._pause(INTERVAL)

    async def sweep(self) -> None:
        """Look at every repository once and renew what is due.

        Once the signer has left several calls unanswered, the rest of the sweep only counts.

        Raises:
            StoreUnavailable: the database cannot answer.
        """
        overdue: Counter[str] = Counter()
        self._strikes = 0
        after = ""
        await self._renewals.sweep_out(self._context.clock.now_ns())
        while not self._stopping.is_set():
            page = await self._renewals.page(after, PAGE)
            for signed in page:
                if self._stopping.is_set():
                    return
                if self._may_be_due(signed):
                    await self._attend(signed, overdue)
            if len(page) < PAGE:
                self._report(overdue)
                return
            after = page[-1].gun
            await self._pause(PAGE_PAUSE)

    def _may_be_due(self, signed: Signed) -> bool:
        """By the age of the row alone, before anything is read."""
        if signed.stored_ns is None:
            return False
        lifetimes, now_ns = self._context.lifetimes, self._context.clock.now_ns()
        life = lifetimes.timestamp * SECOND
        if now_ns - signed.stored_ns < life // 2:
            # Nearly all of them: nothing else is computed, as reads wait meanwhile.
            return False
        return signed.stored_ns + life < Horizon.ahead(signed.gun, now_ns, lifetimes).timestamp

    async def _attend(self, signed: Signed, overdue: Counter[str]) -> None:
        if signed.holder is not None:
            if not signed.holder:
                overdue["impossible"] += 1
            return
        if self._strikes >= STRIKES:
            overdue["signer"] += 1
            return
        await self._pause(RENEWAL_PAUSE)
        if not self._stopping.is_set():
            await self._renew(signed.gun, overdue)

    async def _renew(self, gun: Gun, overdue: Counter[str]) -> None:
        renewals = self._renewals
        if not await renewals.take(gun, self._holder, self._context.clock.now_ns() + LEASE):
            return
        try:
            outcome = await refresh(self._context, gun)
            self._strikes = 0
        except SignerUnavailable:
            self._strikes += 1
            self._metrics.renewal("failed")
            overdue["signer"] += 1
            await renewals.release(gun, self._holder)
            return
        except StoreUnavailable:
            raise  # the lease ends by itself
        except Exception:  # noqa: BLE001 - one repository must not keep the sweep from all that follow it
            _log.exception("metadata cannot be renewed", gun=gun)
            outcome = Outcome.IMPOSSIBLE
        if outcome is Outcome.IMPOSSIBLE:
            self._metrics.renewal("failed")
            overdue["impossible"] += 1
            await renewals.rest(gun, self._holder, self._context.clock.now_ns() + REST)
            return
        if outcome is Outcome.DONE:
            self._metrics.renewal("renewed")
        await renewals.release(gun, self._holder)

    def _report(self, overdue: Counter[str]) -> None:
        for reason in OVERDUE_REASONS:
            self._metrics.overdue(reason, overdue[reason])
        found = +overdue
        if found != self._overdue:
            _log.warning("renewals are overdue" if found else "renewals are up to date again", **found)
        self._overdue = found
