"""Keys that no root lists any more, over every database: what is noted, what is spared, and who has them retired."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from notary_common.database import Database
from notary_server import retirer as module
from notary_server.background import running
from notary_server.errors import HeadMoved, SignerRefused, SignerUnavailable, StoreUnavailable
from notary_server.metrics import Metrics
from notary_server.operations import delete_repository
from notary_server.operations.context import Context
from notary_server.operations.publish import publish
from notary_server.ports import KeyChange, Retirement
from notary_server.retirer import Retirer
from notary_server.signing.local_signer import LocalSigner
from notary_server.storage.retirements import SqlRetirements
from notary_server.storage.sql_store import SqlStore
from notary_server.tuf.document import Document
from notary_server.tuf.names import ROOT, SNAPSHOT, TIMESTAMP, Gun, KeyId, RoleName
from tests.publisher import Publisher
from tests.publisher.keys import key_id, key_object

from . import metadata

SECOND = 10**9
GUN, OTHER = Gun("reg.example/team/app"), Gun("reg.example/team/App")
GRACE = 3600


class Clock:
    """The time, moved forward by a test."""

    ahead_ns = 0

    def now_ns(self) -> int:
        """The real time plus what the test wants."""
        return time.time_ns() + self.ahead_ns


class Signer(LocalSigner):
    """A signer that may be away, or not let this server retire keys."""

    def __init__(self) -> None:
        super().__init__()
        self.away = False
        self.unwilling = False
        self.asked: list[KeyId] = []

    async def retire_key(self, gun: Gun, key_id: KeyId) -> bool:
        """As it is."""
        self.asked.append(key_id)
        if self.away:
            raise SignerUnavailable("the signer is away")
        if self.unwilling:
            raise SignerRefused("this client may not do that")
        return await super().retire_key(gun, key_id)

    async def holds(self, owner: Publisher) -> set[str]:
        """The roles whose keys of `owner` it holds."""
        keys = {role: KeyId(key_id_of(owner, role)) for role in owner.server_keys}
        held = await self.describe_keys(list(keys.values()))
        return {role for role, key in keys.items() if key in held}


@dataclass
class House:
    """One server process's part, over a real database."""

    database: Database
    store: SqlStore

    def __post_init__(self) -> None:
        self.clock = Clock()
        self.signer = Signer()
        self.context = Context(self.store, self.signer, self.clock, "ed25519", key_grace=GRACE)
        self.retirements = SqlRetirements(self.database)
        self.metrics = Metrics()
        self.retirer = Retirer(self.context, self.retirements, self.metrics)

    async def learn(self, owner: Publisher) -> None:
        """Ask for keys that were never used, as a rotation does."""
        for role in (TIMESTAMP, SNAPSHOT):
            held = await self.signer.create_key(Gun(owner.gun), role, "ed25519")
            owner.server_keys[role] = key_object(held.key.keytype, held.key.public)

    async def publish(self, owner: Publisher, files: dict[str, bytes]) -> None:
        """Publish these files."""
        uploads = [Document(RoleName(role), data) for role, data in files.items()]
        await publish(self.context, Gun(owner.gun), uploads)

    async def repository(self, gun: Gun = GUN) -> Publisher:
        """A new one, published once; its owner."""
        owner = Publisher(gun)
        await self.learn(owner)
        await self.publish(owner, owner.first())
        return owner

    async def due(self) -> list[Retirement]:
        """What is due now."""
        return list(await self.retirements.due(self.clock.now_ns(), 100))

    def later(self, seconds: float = GRACE + 1) -> None:
        """Let time go by."""
        self.clock.ahead_ns += int(seconds * SECOND)

    def counted(self, outcome: str) -> float:
        """The metric."""
        line = f'notary_server_keys_retired_total{{outcome="{outcome}"}} '
        shown = self.metrics.exposition().decode().splitlines()
        return next((float(one.removeprefix(line)) for one in shown if one.startswith(line)), 0.0)


def key_id_of(owner: Publisher, role: str) -> str:
    """The ID of the server's key for a role."""
    return key_id(owner.server_keys[role])


@pytest.fixture
async def house(database: Database, store: SqlStore) -> AsyncIterator[House]:
    """A process over an empty database."""
    yield House(database, store)
    await store.close()


async def test_a_deleted_repository_loses_its_keys_after_the_grace(house: House) -> None:
    """Those of every root that was stored, and no other repository's, though its name differs in case alone."""
    owner, neighbour = await house.repository(), await house.repository(OTHER)
    first = dict(owner.server_keys)
    await house.learn(owner)
    await house.publish(owner, {"root": owner.root(2), "targets": owner.targets(2)})
    assert await delete_repository.delete(house.context, GUN)
    assert await house.due() == []
    assert await house.retirer.look()
    assert await house.signer.holds(owner) == {"timestamp", "snapshot"}
    house.later()
    assert await house.retirer.look()
    assert await house.signer.holds(owner) == set()
    owner.server_keys = first
    assert await house.signer.holds(owner) == set()
    assert await house.signer.holds(neighbour) == {"timestamp", "snapshot"}
    assert (house.counted("retired"), await house.due()) == (4, [])


async def test_keys_that_a_new_root_drops_are_retired_after_the_grace(house: House) -> None:
    """The new ones sign on."""
    owner = await house.repository()
    old = Publisher(GUN)
    old.server_keys = dict(owner.server_keys)
    await house.learn(owner)
    await house.publish(owner, {"root": owner.root(2), "targets": owner.targets(2)})
    await house.retirer.look()
    assert await house.signer.holds(old) == {"timestamp", "snapshot"}
    house.later()
    await house.retirer.look()
    assert await house.signer.holds(old) == set()
    assert await house.signer.holds(owner) == {"timestamp", "snapshot"}
    await house.publish(owner, {"targets": owner.targets(3)})


async def test_the_same_root_published_again_keeps_its_keys(house: House) -> None:
    """A deletion by mistake is undone within the grace, and nothing is left that could hit the keys afterwards."""
    owner = await house.repository()
    await delete_repository.delete(house.context, GUN)
    await house.publish(owner, owner.first())
    house.later()
    assert await house.due() == []
    await house.retirer.look()
    assert await house.signer.holds(owner) == {"timestamp", "snapshot"}
    await house.publish(owner, {"targets": owner.targets(2)})


async def test_a_key_that_the_current_root_lists_is_never_taken(house: House) -> None:
    """Also if whoever stored the root said nothing of it, as Notary 0.7.0 on the same database does."""
    owner = await house.repository()
    await house.store.delete(GUN)
    state = await house.store.trust_state(GUN, ())
    files = metadata.publish(1, with_root=False)
    await house.store.commit(state, [metadata.new_file(ROOT, 1, owner.root()), *files])
    noted = await house.due()
    assert len(noted) == 2
    assert await house.retirer.look()
    assert (await house.due(), house.signer.asked) == ([], [])


async def test_one_process_has_a_key_and_no_root_may_list_it_meanwhile(house: House) -> None:
    """Until it is given back, settled, or its holder is taken for dead."""
    owner = await house.repository()
    await house.store.delete(GUN)
    key, other = await house.due()
    now = house.clock.now_ns()
    until = now + 60 * SECOND
    assert await house.retirements.take(key, "a", now, until)
    assert not await house.retirements.take(key, "b", now, until)
    assert await house.due() == [other]
    await house.retirements.give_back(key, "b")
    await house.retirements.settle(key, "b")
    await house.retirements.postpone(key, "b", 0)
    state = await house.store.trust_state(GUN, ())
    files = [metadata.new_file(ROOT, 1, owner.root()), *metadata.publish(1, with_root=False)]
    listed = frozenset({key.key_id, other.key_id})
    for moment, moved in ((now, True), (until + SECOND, False)):
        change = KeyChange(listed, frozenset(), moment, moment)
        if moved:
            with pytest.raises(HeadMoved):
                await house.store.commit(state, files, change)
            assert await house.store.current(GUN, TIMESTAMP) is None
        else:
            await house.store.commit(state, files, change)
    house.later(120)
    assert await house.due() == []


async def test_what_the_dead_had_taken_is_taken_again(house: House) -> None:
    """And what is given back is free at once."""
    await house.repository()
    await house.store.delete(GUN)
    key, _ = await house.due()
    now = house.clock.now_ns()
    assert await house.retirements.take(key, "a", now, now + SECOND)
    assert await house.retirements.take(key, "b", now + 2 * SECOND, now + 3 * SECOND)
    await house.retirements.settle(key, "a")
    await house.retirements.give_back(key, "b")
    assert key in await house.due()


async def test_a_signer_that_is_away_delays_and_nothing_is_lost(house: House) -> None:
    """The first key that cannot be retired ends the look; all are retired when the signer is back."""
    owner = await house.repository()
    house.signer.away = True
    await house.store.delete(GUN)
    assert not await house.retirer.look()
    assert len(house.signer.asked) == 1
    assert len(await house.due()) == 2
    house.signer.away = False
    assert await house.retirer.look()
    assert await house.signer.holds(owner) == set()
    assert (house.counted("failed"), house.counted("retired")) == (1, 2)


async def test_a_refusal_puts_one_key_off_and_not_the_others(house: House) -> None:
    """Each further refusal for longer; in the end it is retired."""
    owner = await house.repository()
    house.signer.unwilling = True
    await house.store.delete(GUN)
    for seconds in (module.FIRST_DELAY, module.FIRST_DELAY * 2):
        house.signer.asked.clear()
        assert await house.retirer.look()
        assert len(house.signer.asked) == 2
        house.later(seconds - 5)
        assert await house.due() == []
        house.later(10)
        assert len(await house.due()) == 2
    house.signer.unwilling = False
    await house.retirer.look()
    assert await house.signer.holds(owner) == set()


async def test_keys_that_the_signer_does_not_hold_are_settled(house: House) -> None:
    """A client's own snapshot key stands in the same place of a root as a server's."""
    owner = await house.repository()
    house.signer._pairs.clear()
    await house.store.delete(GUN)
    assert await house.retirer.look()
    assert await house.due() == []
    assert (house.counted("unknown"), house.counted("retired")) == (2, 0)
    assert owner.server_keys


async def test_the_background_task_outlives_what_goes_wrong(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database that is away and a mistake are followed by another look."""
    owner = await house.repository()
    await house.store.delete(GUN)
    errors = [StoreUnavailable("away"), ValueError("a mistake")]
    real = house.retirements.due

    async def due(now_ns: int, size: int) -> object:
        if errors:
            raise errors.pop()
        return await real(now_ns, size)

    monkeypatch.setattr(module, "INTERVAL", 0.01)
    monkeypatch.setattr(house.retirements, "due", due)
    async with running(Retirer(house.context, house.retirements, house.metrics)):
        for _ in range(2000):
            if not await house.signer.holds(owner):
                break
            await asyncio.sleep(0.01)
    assert await house.signer.holds(owner) == set()
