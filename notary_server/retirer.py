"""Have the signer retire, in the background, the keys that no root lists any more.

Every process looks; the database lets one of them have a key, and keeps the key out of new roots meanwhile
(docs/adr/0025).
"""

from __future__ import annotations

import random
import secrets
from typing import Final

from notary_common.log import get_logger

from .background import Background
from .errors import NotaryError, StoreUnavailable, Unavailable
from .metrics import Metrics
from .operations.context import Context
from .ports import Retirement, Retirements
from .tuf.instant import SECOND

INTERVAL: Final = 2.0
"""Seconds between two looks, each one statement along an index that finds nothing nearly always."""
LONGEST_WAIT: Final = 300.0
"""Seconds between two looks while the signer cannot be asked, and after how many it is noticed that it can again."""
PAGE: Final = 50
"""Keys of one look."""
LEASE: Final = 120 * SECOND
"""Longer than a retirement takes that times out at every signer. Until then no new root may list the key."""
FIRST_DELAY: Final = 60
"""Seconds until a key is tried again that the signer refused to retire; each further refusal doubles them."""
LONGEST_DELAY: Final = 86_400
"""Seconds between two tries at most: what the signer refuses waits for an operator, who reads of it once a day."""

_log = get_logger()


class Retirer(Background):
    """The looks of one process."""

    def __init__(self, context: Context, retirements: Retirements, metrics: Metrics) -> None:
        """Nothing happens before `run` or `look`."""
        super().__init__()
        self._context = context
        self._retirements = retirements
        self._metrics = metrics
        self._holder = secrets.token_hex(16)

    async def run(self) -> None:
        """Look until `stop` is called."""
        wait = INTERVAL
        while not self._stopping.is_set():
            try:
                wait = INTERVAL if await self.look() else min(wait * 2, LONGEST_WAIT)
            except StoreUnavailable as error:
                _log.warning("retirements of keys wait for the database", reason=error.message)
            except Exception:  # noqa: BLE001 - keys would stay in use for ever
                _log.exception("the look for keys to retire failed")
            # From half on, so that processes started at once spread.
            await self._pause(wait * random.uniform(0.5, 1.0))  # noqa: S311 - no secret

    async def look(self) -> bool:
        """Have every key retired that is due; False if the signer could not be asked.

        Raises:
            StoreUnavailable: the database cannot answer.
        """
        while not self._stopping.is_set():
            now_ns = self._context.clock.now_ns()
            found = await self._retirements.due(now_ns, PAGE)
            for key in found:
                if self._stopping.is_set():
                    return True
                now_ns = self._context.clock.now_ns()
                if not await self._retirements.take(key, self._holder, now_ns, now_ns + LEASE):
                    continue
                if not await self._retire(key):
                    return False
            if len(found) < PAGE:
                break
        return True

    async def _retire(self, key: Retirement) -> bool:
        """False if the signer could not be asked."""
        try:
            held = await self._context.signer.retire_key(key.gun, key.key_id)
        except Unavailable as error:
            self._metrics.retirement("failed")
            _log.warning("a key is not retired yet", gun=key.gun, key_id=key.key_id, reason=error.message)
            await self._retirements.give_back(key, self._holder)
            return False
        except NotaryError as error:
            delay = min(FIRST_DELAY * 2 ** min(key.tries, 16), LONGEST_DELAY)
            self._metrics.retirement("failed")
            _log.error("a key is not retired: the signer refuses", gun=key.gun, key_id=key.key_id,
                       reason=error.message, seconds_until_next_try=delay)  # fmt: skip
            await self._retirements.postpone(key, self._holder, self._context.clock.now_ns() + delay * SECOND)
            return True
        self._metrics.retirement("retired" if held else "unknown")
        if held:
            _log.info("a key that no root lists any more was retired", gun=key.gun, key_id=key.key_id)
        await self._retirements.settle(key, self._holder)
        return True
