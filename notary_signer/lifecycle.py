"""What becomes of keys that are needed no more: retired or destroyed by an operator, or collected because never used.

Nothing of this can be taken back, so the audit record that it begins is durable before.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from .errors import KeyRefused, SignerError
from .ports import Journal, KeyCatalogue, KeyRecord, KeyRegistry, Token

COLLECTED_AT_ONCE: Final = 100
"""Keys that one sweep collects; each takes a few short statements, and signing goes on meanwhile."""
SWEEP_EVERY: Final = 600.0
"""Seconds between two sweeps of one process. Keys wait for weeks: what is left of a pile waits ten minutes more."""
_EVER: Final = datetime(9000, 1, 1, tzinfo=UTC)


async def retire(registry: KeyRegistry, journal: Journal, key: KeyRecord) -> bool:
    """Have a key sign no more; False if that was so already."""
    if key.deleted_at is not None:
        return False
    about = _about(key)
    await journal.append("retire_key", "begun", **about)
    await registry.retire(key.key_id)
    await journal.append("retire_key", "done", **about)
    return True


async def destroy(
    catalogue: KeyCatalogue, token: Token | None, journal: Journal, key: KeyRecord, grace: timedelta
) -> bool:
    """Destroy the private half of a retired key, for ever; False if that was done already.

    In the token first: a crash in between leaves a retired key, with which this can be done again. Only a resident
    key needs a token.

    Raises:
        KeyRefused: it may still sign, or was retired less than `grace` ago.
    """
    if key.state == "destroyed":
        return False
    if key.deleted_at is None:
        raise KeyRefused(f"the key is {key.state}, and only a retired one can be destroyed")
    before = datetime.now(UTC) - grace
    if key.deleted_at > before:
        at_last = (key.deleted_at + grace).strftime("%Y-%m-%d %H:%M UTC")
        raise KeyRefused(
            f"the key was retired less than limits.retired_key_days = {grace.days} days ago; "
            f"it can be destroyed from {at_last} on"
        )
    about = _about(key)
    await journal.append("destroy_key", "begun", **about)
    if token is not None:
        await token.destroy(key)
    await catalogue.destroy(key.key_id, before)
    await journal.append("destroy_key", "done", **about)
    return True


async def collect(
    catalogue: KeyCatalogue, token: Token, journal: Journal, before: datetime
) -> list[KeyRecord]:
    """Destroy at most `COLLECTED_AT_ONCE` keys that never signed and of which nobody heard since `before`; which they were.

    A key that is handed out or used at the same moment is left alone: it is retired by one comparison and change,
    and only then destroyed.
    """
    collected: list[KeyRecord] = []
    for key in await catalogue.abandoned(before, COLLECTED_AT_ONCE):
        about = _about(key)
        await journal.append("collect_key", "begun", **about)
        if not await catalogue.retire_abandoned(key.key_id, before):
            await journal.append("collect_key", "refused", reason="the key was just heard of", **about)
            continue
        if key.private.keeping == "resident":
            await token.destroy(key)
        await catalogue.destroy(key.key_id, _EVER)
        await journal.append("collect_key", "done", **about)
        collected.append(key)
    return collected


async def collecting(
    catalogue: KeyCatalogue,
    token: Token,
    journal: Journal,
    keep: timedelta,
    failed: Callable[[SignerError], None],
) -> None:
    """Collect for ever, from a random moment on, so that several processes take turns. Cancel it to end it.

    Args:
        keep: how long an unused key is kept.
        failed: is told what kept a sweep from its end; the next one begins all the same.
    """
    await asyncio.sleep(random.uniform(0, SWEEP_EVERY))  # noqa: S311 - spreads load, no secret
    while True:
        try:
            await collect(catalogue, token, journal, datetime.now(UTC) - keep)
        except SignerError as error:
            failed(error)
        await asyncio.sleep(SWEEP_EVERY)


def _about(key: KeyRecord) -> dict[str, str]:
    return {"gun": key.gun, "role": key.role, "key_id": key.key_id}
