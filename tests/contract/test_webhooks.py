"""Webhooks over every database, with a receiver that fails, hangs, redirects and comes back: nothing is left out, and in order."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from notary_common.database import Database
from notary_server.config.notifications import HAPPENINGS, Webhook
from notary_server.metrics import Metrics
from notary_server.notify import backoff
from notary_server.notify.deliverer import AHEAD, Deliverer, Outside
from notary_server.notify.sender import open_sender
from notary_server.storage.expiries import Noted, SqlExpiries
from notary_server.storage.sql_store import SqlStore
from notary_server.storage.webhooks import SqlWebhooks
from notary_server.tuf.names import Gun

from .metadata import publish
from .test_expiries import Time

SECRET = b"a secret of twenty-four."
DAY = 86_400 * 10**9


class Receiver:
    """Takes deliveries, answers as it is told to, and verifies what it gets as the documentation says.

    Attributes:
        answers: statuses of the next answers; 200 when there are none left. 0: it hangs.
        got: the events, refused ones too.
    """

    def __init__(self) -> None:
        self.answers: list[int] = []
        self.got: list[dict[str, Any]] = []
        self.taken: list[str] = []
        self.url = ""

    async def take(self, request: web.Request) -> web.Response:
        """One delivery."""
        body = await request.read()
        signed = f"{request.headers['webhook-id']}.{request.headers['webhook-timestamp']}.".encode() + body
        expected = base64.b64encode(hmac.new(SECRET, signed, hashlib.sha256).digest()).decode()
        assert request.headers["webhook-signature"] == f"v1,{expected}"
        assert request.content_type == "application/cloudevents+json"
        event = json.loads(body)
        assert event["id"] == request.headers["webhook-id"]
        self.got.append(event)
        status = self.answers.pop(0) if self.answers else 200
        if status == 0:
            await asyncio.sleep(60)
        if 200 <= status <= 299:
            self.taken.append(f"{event['type'].rpartition('.')[2]} {event['subject']}")
        return web.Response(status=status, headers={"Location": "/elsewhere"} if 300 <= status < 400 else {})

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Listen."""
        app = web.Application()
        app.router.add_post("/hook", self.take)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        server = site._server
        assert isinstance(server, asyncio.Server)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
        try:
            yield
        finally:
            await runner.cleanup()


class House:
    """One installation with one webhook."""

    def __init__(
        self, database: Database, store: SqlStore, receiver: Receiver, folder: Path, sender: Any
    ) -> None:
        secret = folder / "secret"
        secret.write_text("whsec_" + base64.b64encode(SECRET).decode())
        self.secret, self.receiver, self.store, self.time = secret, receiver, store, Time()
        self.webhooks, self.expiries, self.metrics = SqlWebhooks(database), SqlExpiries(database), Metrics()
        self.outside = Outside("test", store, self.webhooks, self.expiries, sender, self.time, self.metrics)

    def deliverer(self, **changes: Any) -> Deliverer:
        """One process's."""
        facts: dict[str, Any] = {"name": "ci", "url": self.receiver.url, "secret_file": self.secret, "timeout": 20,
                                 "events": HAPPENINGS}  # fmt: skip
        return Deliverer(
            Webhook.model_construct(**{"gun_prefixes": (), "ca_file": None, **facts, **changes}), self.outside
        )

    async def publish(self, gun: str, version: int = 1) -> None:
        """As a publisher does."""
        name = Gun(gun)
        await self.store.commit(await self.store.trust_state(name, ()), publish(version, gun))

    async def deliver(self, deliverer: Deliverer, steps: int = 20) -> None:
        """Whatever can be delivered now."""
        for _ in range(steps):
            if not await deliverer.step():
                return

    def behind(self) -> float:
        """Seconds, as shown."""
        found = re.search(r'webhook_behind_seconds{webhook="ci"} (\S+)', self.metrics.exposition().decode())
        assert found is not None
        return float(found[1])

    def counted(self, outcome: str) -> float:
        """Deliveries with that outcome."""
        sample = f'notary_server_webhook_deliveries_total{{outcome="{outcome}",webhook="ci"}} '
        lines = self.metrics.exposition().decode().splitlines()
        return next((float(line[len(sample) :]) for line in lines if line.startswith(sample)), 0.0)


@pytest.fixture
async def house(database: Database, store: SqlStore, tmp_path: Path) -> AsyncIterator[House]:
    """With a receiver that listens."""
    receiver = Receiver()
    async with receiver.running(), open_sender() as sender:
        yield House(database, store, receiver, tmp_path, sender)


async def test_what_happens_from_now_on_is_told_in_order(house: House) -> None:
    """Publishes and deletions; the next process goes on where the last one was."""
    await house.publish("before")
    deliverer = house.deliverer()
    await deliverer.begin()
    for gun in ("a", "b"):
        await house.publish(gun)
    await house.store.delete(Gun("a"))
    await house.deliver(deliverer)
    assert house.receiver.taken == ["published a", "published b", "deleted a"]
    await house.publish("c")
    house.time.now += 3600 * 10**9
    another = house.deliverer()
    await another.begin()
    await house.deliver(another)
    assert house.receiver.taken[3:] == ["published c"]
    assert house.receiver.got[-1]["data"]["version"] == 1
    assert house.counted("delivered") == 4


async def test_only_what_is_wanted(house: House) -> None:
    """By kind and by the beginning of the name; the rest is passed over for good."""
    deliverer = house.deliverer(events=("deleted",), gun_prefixes=("mine/",))
    await deliverer.begin()
    for gun in ("mine/a", "other/a"):
        await house.publish(gun)
        await house.store.delete(Gun(gun))
    await house.deliver(deliverer)
    assert house.receiver.taken == ["deleted mine/a"]
    (progress,) = await house.webhooks.progress()
    assert progress.change_id == (await house.store.changes(None, 0, -1))[-1].id


@pytest.mark.parametrize("status", [500, 404, 302, 0])
async def test_what_is_not_taken_is_tried_again_later(house: House, status: int) -> None:
    """Nothing passes it meanwhile; a redirection is not followed, and a hanging receiver is left."""
    deliverer = house.deliverer(timeout=20 if status else 1)
    await deliverer.begin()
    await house.publish("a")
    await house.publish("b")
    house.receiver.answers = [status, status]
    await house.deliver(deliverer)
    await house.deliver(deliverer)
    assert [event["subject"] for event in house.receiver.got] == ["a"]
    (progress,) = await house.webhooks.progress()
    assert progress.tries == 1
    real = (await house.store.changes(None, 0, 1))[0].created_at.timestamp()
    house.time.now = int((real + 77) * 1e9)
    deliverer._tell_behind(deliverer._untaken)
    assert 76 <= house.behind() <= 78
    house.time.now = progress.due_ns
    await house.deliver(deliverer)
    (progress,) = await house.webhooks.progress()
    assert (progress.tries, len(house.receiver.got)) == (2, 2)
    house.time.now = progress.due_ns
    await house.deliver(deliverer)
    assert house.receiver.taken == ["published a", "published b"]
    assert house.behind() == 0.0
    assert {event["id"] for event in house.receiver.got[:3]} == {house.receiver.got[0]["id"]}
    assert (house.counted("failed"), house.counted("delivered")) == (2, 2)


async def test_an_event_that_nobody_takes_is_given_up_and_kept(house: House) -> None:
    """After so many tries the next one's turn comes."""
    deliverer = house.deliverer()
    await deliverer.begin()
    await house.publish("a")
    await house.publish("b")
    house.receiver.answers = [500] * backoff.TRIES
    for _ in range(backoff.TRIES):
        await house.deliver(deliverer)
        house.time.now = max(house.time.now, (await house.webhooks.progress())[0].due_ns)
    assert house.receiver.taken == ["published b"]
    (letter,) = await house.webhooks.dead(0, 10)
    assert (letter.webhook, letter.reason, json.loads(letter.body)["subject"]) == (
        "ci",
        "it answered 500",
        "a",
    )
    assert (house.counted("dead"), house.counted("delivered")) == (1, 1)
    await house.webhooks.remove(letter.id)
    assert await house.webhooks.dead(0, 10) == []


async def test_one_process_delivers_and_is_followed(house: House) -> None:
    """Two take turns by the lease; the second goes on when the first has been gone for as long."""
    first, second = house.deliverer(), house.deliverer()
    await first.begin()
    await house.publish("a")
    assert await first._renew_lease()
    await house.deliver(second)
    assert house.receiver.taken == []
    house.time.now += 600 * 10**9
    await house.deliver(second)
    assert house.receiver.taken == ["published a"]
    await house.deliver(first)
    assert house.receiver.taken == ["published a"]


async def test_what_ends_soon_is_told_once(house: House) -> None:
    """Thirty days before; what the server renews by itself is not, and what is taken late is told again until it is."""
    deliverer = house.deliverer()
    await deliverer.begin()
    now = house.time.now
    await house.expiries.note(
        {
            "a": [Noted("root", "root", now + 29 * DAY), Noted("timestamp", "timestamp", now + DAY)],
            "b": [
                Noted("delegation", "targets/x", now + 5 * DAY),
                Noted("targets", "targets", now + 40 * DAY),
            ],
        },
        {"a": 1, "b": 1},
    )
    house.receiver.answers = [200, 500]
    await house.deliver(deliverer)
    assert [(event["subject"], event["data"]["kind"]) for event in house.receiver.got] == [
        ("b", "delegation"),
        ("a", "root"),
    ]
    house.time.now = (await house.webhooks.progress())[0].due_ns
    await house.deliver(deliverer)
    assert [event["data"]["kind"] for event in house.receiver.got][2:] in (["root"], ["delegation", "root"])
    before = len(house.receiver.got)
    house.time.now += 12 * DAY
    await house.deliver(deliverer)
    assert [event["data"] for event in house.receiver.got[before:]] == [
        {"gun": "b", "kind": "targets", "role": "targets", "ends": house.receiver.got[-1]["data"]["ends"]}
    ]
    assert house.time.now + AHEAD > now + 40 * DAY
