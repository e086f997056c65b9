"""Renewal in the background over a real database: several instances, a signer that fails, readers all the while."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from notary_common import migrate
from notary_common.database import Database, DatabaseTarget, open_database, parse_url
from notary_common.database.engine import create_engine
from notary_server import refresher as module
from notary_server.background import running
from notary_server.errors import SignerRefused, SignerUnavailable, StoreUnavailable
from notary_server.metrics import Metrics
from notary_server.operations import read_metadata
from notary_server.operations.context import Context
from notary_server.operations.publish import publish
from notary_server.refresher import Refresher
from notary_server.signing.local_signer import LocalSigner
from notary_server.storage.renewals import SqlRenewals
from notary_server.storage.sql_store import SqlStore
from notary_server.tuf.document import Document
from notary_server.tuf.model import HeldKey, Signature, SigningOrder
from notary_server.tuf.names import SNAPSHOT, TIMESTAMP, Gun, KeyId, RoleName
from tests.publisher import Publisher
from tests.publisher.keys import ecdsa_key, key_object

DAY = 86_400 * 10**9
TARGETS_KEY = ecdsa_key()
DEADLINE = 20.0


class Clock:
    """The time of all instances, moved forward by a test."""

    ahead_ns = 0

    def now_ns(self) -> int:
        """The real time plus what the test wants."""
        return time.time_ns() + self.ahead_ns


class Signer(LocalSigner):
    """A signer that counts what it signs and may be away, forgetful or unwilling."""

    def __init__(self) -> None:
        super().__init__()
        self.signed: Counter[tuple[str, str, int]] = Counter()
        self.asked = 0
        self.away = False
        self.unwilling = ""
        self.holding = asyncio.Event()
        self.holding.set()

    async def describe_keys(self, key_ids: Collection[KeyId]) -> dict[KeyId, HeldKey]:
        """As it is."""
        self.asked += 1
        if self.away:
            raise SignerUnavailable("the signer is away")
        return await super().describe_keys(key_ids)

    async def sign(self, order: SigningOrder) -> tuple[Signature, ...]:
        """As it is."""
        self.signed[order.gun, order.role, order.version] += 1
        await self.holding.wait()
        if order.gun == self.unwilling:
            raise SignerRefused("not this one")
        return await super().sign(order)

    def forget(self) -> None:
        """Lose every key."""
        self._pairs.clear()


class Instance:
    """One server process's part: its own connections and leases; the signer and the clock are everybody's."""

    def __init__(self, database: Database, signer: Signer, clock: Clock) -> None:
        self.database = database
        self.store = SqlStore(database)
        self.context = Context(self.store, signer, clock, "ed25519")
        self.renewals = SqlRenewals(database)
        self.metrics = Metrics()
        self.refresher = Refresher(self.context, self.renewals, self.metrics)

    async def version(self, gun: Gun, role: RoleName = TIMESTAMP) -> int:
        """Of the current file, as a client reads it."""
        found = await read_metadata.current(self.context, gun, role)
        return int(json.loads(found.data)["signed"]["version"])

    def metric(self, line: str) -> float:
        """The value of one sample, spelled with its labels."""
        shown = self.metrics.exposition().decode().splitlines()
        return next((float(one.rpartition(" ")[2]) for one in shown if one.startswith(line + " ")), 0.0)

    def overdue(self, reason: str) -> float:
        """What the last sweep found."""
        return self.metric(f'notary_server_renewals_overdue{{reason="{reason}"}}')


class Region:
    """Instances on one database."""

    def __init__(self, target: DatabaseTarget) -> None:
        self.target = target
        self.signer = Signer()
        self.clock = Clock()
        self._instances: list[Instance] = []

    async def instance(self) -> Instance:
        """Another one."""
        if not self._instances:
            engine = create_engine(self.target)
            await migrate.upgrade_engine(engine, "server", lambda _line: None)
            await engine.dispose()
        database = open_database(self.target)
        made = Instance(database, self.signer, self.clock)
        self._instances.append(made)
        return made

    async def repositories(self, number: int, *, client_snapshot: bool = False) -> list[Gun]:
        """So many new ones, each published once."""
        guns = [Gun(f"reg.example/team/{number:03}") for number in range(number)]
        for gun in guns:
            await self.publish(gun, client_snapshot=client_snapshot)
        self.signer.signed.clear()
        self.signer.asked = 0
        return guns

    async def publish(self, gun: Gun, *, client_snapshot: bool = False) -> Publisher:
        """A first publish; its owner."""
        owner = Publisher(gun, targets=TARGETS_KEY, snapshot=ecdsa_key() if client_snapshot else None)
        for role in (TIMESTAMP,) if client_snapshot else (TIMESTAMP, SNAPSHOT):
            held = await self.signer.create_key(gun, role, "ed25519")
            owner.server_keys[role] = key_object(held.key.keytype, held.key.public)
        await upload(self._instances[0], gun, owner.first())
        return owner

    async def close(self) -> None:
        """Close every connection."""
        for instance in self._instances:
            await instance.store.close()
            await instance.database.close()


async def upload(instance: Instance, gun: Gun, files: Mapping[str, bytes]) -> None:
    """Publish these files."""
    await publish(instance.context, gun, [Document(RoleName(role), data) for role, data in files.items()])


@pytest.fixture(autouse=True)
def unpaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several pages for few repositories, and no waiting."""
    monkeypatch.setattr(module, "PAGE", 7)
    monkeypatch.setattr(module, "PAGE_PAUSE", 0.0)
    monkeypatch.setattr(module, "RENEWAL_PAUSE", 0.0)


@pytest.fixture
async def region(postgres_url: str, tmp_path: Path) -> AsyncIterator[Region]:
    """One instance on an empty database, and as many more as a test wants."""
    made = Region(parse_url("postgres", postgres_url, tmp_path))
    await made.instance()
    yield made
    await made.close()


@pytest.fixture
def instance(region: Region) -> Instance:
    """The first one."""
    return region._instances[0]


async def test_nothing_is_asked_before_half_of_the_life(region: Region, instance: Instance) -> None:
    """Sweeps over fresh repositories sign nothing, ask nothing, and leave no lease."""
    guns = await region.repositories(9)
    region.clock.ahead_ns = 7 * DAY - 60 * 10**9
    await instance.refresher.sweep()
    assert region.signer.asked == 0
    assert {signed.holder for signed in await instance.renewals.page("", 100)} == {None}
    assert await instance.version(guns[0]) == 1


async def test_timestamps_are_renewed_before_they_expire(region: Region, instance: Instance) -> None:
    """Once each, with a record in the changefeed; snapshots stay; and no reader ever asks the signer."""
    guns = await region.repositories(20)
    region.clock.ahead_ns = 9 * DAY
    await instance.refresher.sweep()
    assert region.signer.signed == {(gun, "timestamp", 2): 1 for gun in guns}
    feed = await instance.store.changes(None, 0, 100)
    assert [(change.gun, change.version) for change in feed[20:]] == [(gun, 2) for gun in sorted(guns)]
    assert instance.metric('notary_server_renewals_total{outcome="renewed"}') == 20
    await instance.refresher.sweep()
    assert region.signer.signed.total() == 20
    region.signer.away, region.clock.ahead_ns = True, 20 * DAY
    asked = region.signer.asked
    assert [await instance.version(gun) for gun in guns] == [2] * 20
    assert [await instance.version(gun, SNAPSHOT) for gun in guns] == [1] * 20
    assert region.signer.asked == asked


async def test_renewals_are_spread(region: Region, instance: Instance) -> None:
    """What was signed at once is not renewed at once."""
    await region.repositories(40)
    done = []
    for hours in (0, 14, 28, 42):
        region.clock.ahead_ns = 7 * DAY + (hours * 3600 + 60) * 10**9
        await instance.refresher.sweep()
        done.append(len({gun for gun, _, _ in region.signer.signed}))
    assert done[0] < done[1] < done[2] < done[3] == 40


@pytest.mark.parametrize("client_snapshot", [True, False])
async def test_snapshots_are_renewed_by_who_signs_them(
    region: Region, instance: Instance, client_snapshot: bool
) -> None:
    """The server's after half of its life, together with the timestamp; the owner's stays."""
    (gun,) = await region.repositories(1, client_snapshot=client_snapshot)
    region.clock.ahead_ns = 700 * DAY
    await instance.refresher.sweep()
    wanted = {(gun, "timestamp", 2): 1}
    if not client_snapshot:
        wanted |= {(gun, "snapshot", 2): 1}
    assert region.signer.signed == wanted
    await instance.refresher.sweep()
    assert region.signer.signed == wanted
    assert instance.overdue("impossible") == 0


async def test_two_instances_sign_each_once(region: Region, instance: Instance) -> None:
    """They sweep at the same time over what is all due."""
    second = await region.instance()
    guns = await region.repositories(200)
    region.clock.ahead_ns = 10 * DAY
    await asyncio.gather(instance.refresher.sweep(), second.refresher.sweep())
    assert region.signer.signed == {(gun, "timestamp", 2): 1 for gun in guns}
    assert {signed.holder for signed in await second.renewals.page("", 500)} == {None}
    shares = [one.metric('notary_server_renewals_total{outcome="renewed"}') for one in (instance, second)]
    assert sum(shares) == 200


async def test_a_dead_holders_repository_is_taken_over(region: Region, instance: Instance) -> None:
    """Not before its lease has ended."""
    (gun,) = await region.repositories(1)
    region.clock.ahead_ns = 10 * DAY
    assert await instance.renewals.take(gun, "died", region.clock.now_ns() + module.LEASE)
    await instance.refresher.sweep()
    assert region.signer.asked == 0
    region.clock.ahead_ns += module.LEASE
    await instance.refresher.sweep()
    assert region.signer.signed == {(gun, "timestamp", 2): 1}


async def test_a_signer_that_is_away_is_caught_up_with(region: Region, instance: Instance) -> None:
    """It is asked a few times per sweep, all that waits is counted, reads go on, and later everything is renewed."""
    guns = await region.repositories(12)
    region.clock.ahead_ns, region.signer.away = 10 * DAY, True
    await instance.refresher.sweep()
    assert region.signer.asked == module.STRIKES
    assert instance.overdue("signer") == 12
    assert [await instance.version(gun) for gun in guns] == [1] * 12
    assert region.signer.asked == module.STRIKES
    region.clock.ahead_ns = 15 * DAY
    with pytest.raises(SignerUnavailable):
        await instance.version(guns[0])
    region.signer.away = False
    await instance.refresher.sweep()
    assert region.signer.signed == {(gun, "timestamp", 2): 1 for gun in guns}
    assert (instance.overdue("signer"), instance.overdue("impossible")) == (0, 0)


async def test_what_cannot_be_renewed_rests(region: Region, instance: Instance) -> None:
    """A signer without its keys is asked once a day, by whichever instance; then it is tried again."""
    second = await region.instance()
    await region.repositories(3)
    region.signer.forget()
    region.clock.ahead_ns = 10 * DAY
    for one in (instance, second, instance):
        await one.refresher.sweep()
        assert one.overdue("impossible") == 3
    assert region.signer.asked == 3
    region.clock.ahead_ns += DAY + DAY // 24
    await second.refresher.sweep()
    assert region.signer.asked == 6


async def test_one_refused_repository_does_not_hold_up_the_others(region: Region, instance: Instance) -> None:
    """The rest of the sweep goes on."""
    guns = await region.repositories(5)
    region.signer.unwilling = guns[1]
    region.clock.ahead_ns = 10 * DAY
    await instance.refresher.sweep()
    assert [await instance.version(gun) for gun in guns] == [2, 1, 2, 2, 2]
    assert instance.overdue("impossible") == 1


async def test_a_deleted_repository_is_no_trouble(region: Region, instance: Instance) -> None:
    """Whether it goes before the sweep or while the signer works."""
    guns = await region.repositories(3)
    await instance.store.delete(guns[0])
    region.clock.ahead_ns = 10 * DAY
    region.signer.holding.clear()
    sweeping = asyncio.create_task(instance.refresher.sweep())
    await until(lambda: bool(region.signer.signed))
    await instance.store.delete(guns[1])
    region.signer.holding.set()
    await sweeping
    assert region.signer.signed == {(guns[1], "timestamp", 2): 1, (guns[2], "timestamp", 2): 1}
    assert instance.overdue("impossible") == 0
    assert [signed.gun for signed in await instance.renewals.page("", 10)] == [guns[2]]


async def test_a_publish_and_a_renewal_at_once_are_both_in_order(region: Region, instance: Instance) -> None:
    """Whichever is first: the publish is stored, no version is stored twice, and a second sweep finds the lease taken."""
    gun, second = Gun("reg.example/busy"), await region.instance()
    owner = await region.publish(gun)
    region.signer.signed.clear()
    region.clock.ahead_ns = 10 * DAY
    region.signer.holding.clear()
    sweeping = asyncio.create_task(instance.refresher.sweep())
    await until(lambda: bool(region.signer.signed))
    await second.refresher.sweep()
    assert region.signer.signed.total() == 1
    publishing = asyncio.create_task(upload(second, gun, {"targets": owner.targets(2)}))
    await until(lambda: region.signer.signed.total() > 1)
    region.signer.holding.set()
    await asyncio.gather(sweeping, publishing)
    assert await second.version(gun, RoleName("targets")) == 2
    feed = await second.store.changes(gun, 0, 10)
    assert [change.version for change in feed] == list(range(1, len(feed) + 1))
    assert await second.version(gun) == len(feed)


async def test_the_end_waits_for_the_renewal_under_way(region: Region, instance: Instance) -> None:
    """What is being signed is stored, its lease given back, and nothing more is begun."""
    await region.repositories(3)
    region.clock.ahead_ns = 10 * DAY
    region.signer.holding.clear()
    with first_at_once():
        async with running(Refresher(instance.context, instance.renewals, instance.metrics)) as worker:
            await until(lambda: bool(region.signer.signed))
            worker.stop()
            region.signer.holding.set()
    assert region.signer.signed.total() == 1
    page = await instance.renewals.page("", 10)
    assert {signed.holder for signed in page} == {None}
    assert await instance.version(page[0].gun) == 2


async def test_the_refresher_outlives_a_database_that_fails(region: Region, instance: Instance) -> None:
    """A sweep that goes wrong is followed by another."""
    (gun,) = await region.repositories(1)
    region.clock.ahead_ns = 10 * DAY
    renewals = Failing(instance.renewals, failures=2)
    with first_at_once():
        async with running(Refresher(instance.context, renewals, instance.metrics)):
            await until(lambda: bool(region.signer.signed))
    assert await instance.version(gun) == 2


class Failing:
    """Leases whose first pages fail, in turn as a database that is away and as a mistake would."""

    def __init__(self, real: SqlRenewals, failures: int) -> None:
        self._real = real
        self._failures = failures

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    async def page(self, after: str, size: int) -> Any:
        """Fail, then pass on."""
        self._failures -= 1
        if self._failures >= 0:
            raise [StoreUnavailable("away"), ValueError("a mistake")][self._failures]
        return await self._real.page(after, size)


@contextlib.contextmanager
def first_at_once() -> Iterator[None]:
    """Sweeps without waiting for them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "INTERVAL", 0.0)
        yield


async def until(holds: Any) -> None:
    """Return as soon as `holds`."""
    async with asyncio.timeout(DEADLINE):
        while not holds():  # noqa: ASYNC110 - what it waits for has no event
            await asyncio.sleep(0.005)
