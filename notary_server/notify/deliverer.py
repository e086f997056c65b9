"""Deliver the events of one webhook: in order, each until it is taken or given up, by one process of all instances.

What was delivered is noted afterwards, so an event may arrive twice and is never left out (docs/adr/0047).
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import Final

from notary_common.log import get_logger
from notary_server.config.notifications import Notifications, Webhook
from notary_server.errors import StoreUnavailable
from notary_server.metrics import Metrics
from notary_server.ports import Change, Clock, MetadataStore
from notary_server.storage.expiries import Ending, SqlExpiries
from notary_server.storage.webhooks import DeadLetter, Progress, SqlWebhooks
from notary_server.tuf.instant import SECOND

from . import backoff
from .cloud_events import Event, moment, spelled
from .happened import events_of
from .sender import NotDelivered, Sender, open_sender

POLL: Final = 2.0
"""Seconds between two looks when there was nothing to deliver."""
LEASE: Final = 180 * SECOND
"""Longer than a delivery may take; whoever died is followed after it."""
PAGE: Final = 100
"""Changefeed records, or endings, of one look."""
AHEAD: Final = 30 * 86_400 * SECOND
"""How long before something ends it is told."""
ENDINGS: Final = 600 * SECOND
"""Nanoseconds between two looks for what ends; the table that tells it is filled once an hour."""

_log = get_logger()


@dataclass(frozen=True, slots=True)
class Outside:
    """What a deliverer works with."""

    source: str
    store: MetadataStore
    webhooks: SqlWebhooks
    expiries: SqlExpiries
    sender: Sender
    clock: Clock
    metrics: Metrics


class Deliverer:
    """The deliveries of one process to one receiver."""

    def __init__(self, hook: Webhook, outside: Outside, *, poll: float = POLL) -> None:
        """Nothing happens before `run` or `step`."""
        self._hook = hook
        self._outside = outside
        self._poll = poll
        self._holder = secrets.token_hex(16)
        self._endings_due = 0
        self._lease_ns = 0
        self._untaken: Change | None = None
        self._ailing = False

    async def run(self) -> None:
        """Deliver until cancelled."""
        begun = False
        while True:
            busy = False
            try:
                if not begun:
                    await self.begin()
                    begun = True
                busy = await self.step()
            except StoreUnavailable as error:
                _log.warning(
                    "a webhook waits for the database", webhook=self._hook.name, reason=error.message
                )
            except Exception:  # noqa: BLE001 - nothing would ever be delivered again
                _log.exception("a webhook failed: a defect of this server", webhook=self._hook.name)
            if not busy:
                await asyncio.sleep(self._poll * random.uniform(0.75, 1.0))  # noqa: S311 - no secret

    async def begin(self) -> None:
        """A webhook that is new begins with what happens from now on. Raises: StoreUnavailable."""
        newest = await self._outside.store.changes(None, 0, -1)
        after = newest[-1].id if newest else 0
        await self._outside.webhooks.begin(self._hook.name, after, self._outside.clock.now_ns())

    async def step(self) -> bool:
        """Deliver some events; whether there may be more at once.

        Raises:
            StoreUnavailable: the database cannot answer.
        """
        if not await self._renew_lease():
            self._tell_behind(None)
            return False
        found = [one for one in await self._outside.webhooks.progress() if one.name == self._hook.name]
        if not found or found[0].due_ns > self._outside.clock.now_ns():
            # It grows also while nothing is tried.
            self._tell_behind(self._untaken)
            return False
        changes = await self._outside.store.changes(None, found[0].change_id, PAGE)
        if not changes:
            self._tell_behind(None)
            return await self._endings(found[0])
        progress: Progress | None = found[0]
        for change in changes:
            events = await events_of(change, self._outside.store) if self._concerns(change.gun) else []
            progress = await self._deliver(progress, [one for one in events if self._wants(one)])
            if progress is None:
                self._tell_behind(change)
                return False
            progress = replace(progress, change_id=change.id)
            if events and not await self._outside.webhooks.move(progress, self._holder):
                return False
        return await self._outside.webhooks.move(progress, self._holder) if progress is not None else False

    async def _endings(self, progress: Progress) -> bool:
        """Tell what ends within 30 days and has not been told; whether anything was."""
        now_ns = self._outside.clock.now_ns()
        if "expiring" not in self._hook.events or now_ns < self._endings_due:
            return False
        after: Ending | None = None
        while True:
            page = await self._outside.expiries.ending(progress.warned_ns, now_ns + AHEAD, after, PAGE)
            for ending in page:
                if after is not None and ending.ends_ns > after.ends_ns:
                    # Only now is everything told that ends at that moment.
                    progress = replace(progress, warned_ns=after.ends_ns)
                events = [_expiring(ending, now_ns)] if self._concerns(ending.gun) else []
                delivered = await self._deliver(progress, events)
                if delivered is None:
                    return False
                progress, after = delivered, ending
            if len(page) < PAGE:
                break
        self._endings_due = now_ns + ENDINGS
        await self._outside.webhooks.move(replace(progress, warned_ns=now_ns + AHEAD), self._holder)
        return False

    async def _deliver(self, progress: Progress | None, events: Sequence[Event]) -> Progress | None:
        """How far it is after these; None if one was not taken and is to be tried again."""
        for event in events:
            if progress is None or not await self._renew_lease():
                return None
            body = spelled(event, self._outside.source)
            try:
                await self._outside.sender.send(self._hook, event.id, body)
            except NotDelivered as problem:
                progress = await self._failed(progress, event, body, str(problem))
                if progress.tries:
                    return None
                continue
            self._outside.metrics.webhook_delivery(self._hook.name, "delivered")
            if self._ailing:
                self._ailing = False
                _log.info("a webhook takes events again", webhook=self._hook.name)
            progress = replace(progress, tries=0, due_ns=0)
        return progress

    async def _failed(self, progress: Progress, event: Event, body: bytes, reason: str) -> Progress:
        """Note it: to be tried again, or given up."""
        now_ns = self._outside.clock.now_ns()
        facts = {"webhook": self._hook.name, "event_id": event.id, "reason": reason}
        tries = progress.tries + 1
        if tries < backoff.TRIES:
            seconds = backoff.wait(tries, random.random())  # noqa: S311 - no secret
            progress = replace(progress, tries=tries, due_ns=now_ns + int(seconds * SECOND))
            self._outside.metrics.webhook_delivery(self._hook.name, "failed")
            if not self._ailing:
                self._ailing = True
                _log.warning("a webhook does not take an event; it is tried again", **facts)
            await self._outside.webhooks.move(progress, self._holder)
            return progress
        letter = DeadLetter(0, self._hook.name, event.id, body, reason, now_ns)
        progress = replace(progress, tries=0, due_ns=0)
        await self._outside.webhooks.move(progress, self._holder, letter)
        self._outside.metrics.webhook_delivery(self._hook.name, "dead")
        _log.error("an event is given up; see: notary-server webhooks dead", **facts)
        return progress

    async def _renew_lease(self) -> bool:
        now_ns = self._outside.clock.now_ns()
        if now_ns < self._lease_ns - LEASE // 2:
            return True
        taken = await self._outside.webhooks.take(self._hook.name, self._holder, now_ns, now_ns + LEASE)
        self._lease_ns = now_ns + LEASE if taken else 0
        return taken

    def _tell_behind(self, untaken: Change | None) -> None:
        """Show how old the change is that the receiver does not take; None: there is none, or it is not ours to tell."""
        self._untaken = untaken
        now = self._outside.clock.now_ns() / SECOND
        seconds = 0.0 if untaken is None else max(now - untaken.created_at.timestamp(), 0.0)
        self._outside.metrics.webhook_behind(self._hook.name, seconds)

    def _concerns(self, gun: str) -> bool:
        return not self._hook.gun_prefixes or gun.startswith(self._hook.gun_prefixes)

    def _wants(self, event: Event) -> bool:
        return event.happening in self._hook.events


def _expiring(ending: Ending, now_ns: int) -> Event:
    what = f"{ending.gun}\n{ending.kind}\n{ending.ends_ns}".encode()
    data = {
        "kind": ending.kind,
        "role": ending.role,
        "ends": moment(ending.ends_ns).isoformat().replace("+00:00", "Z"),
    }
    return Event(
        f"ends-{hashlib.sha256(what).hexdigest()[:32]}", "expiring", ending.gun, moment(now_ns), data
    )


@asynccontextmanager
async def delivering(
    notifications: Notifications,
    store: MetadataStore,
    webhooks: SqlWebhooks,
    expiries: SqlExpiries,
    clock: Clock,
    metrics: Metrics,
) -> AsyncIterator[None]:
    """Deliver to all configured receivers while the block runs. What is cut off at the end is delivered again."""
    if not notifications.webhooks:
        yield
        return
    async with open_sender() as sender:
        outside = Outside(notifications.source, store, webhooks, expiries, sender, clock, metrics)
        tasks = [asyncio.create_task(Deliverer(hook, outside).run()) for hook in notifications.webhooks]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            for task in tasks:
                with suppress(asyncio.CancelledError):
                    await task
