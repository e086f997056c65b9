"""Servers over one signer that never goes back: whoever planned below what was signed plans again, above it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from dataclasses import replace
from pathlib import Path

import pytest

from notary_common import migrate
from notary_common.database import open_database, parse_url
from notary_common.database.engine import create_engine
from notary_server.errors import VersionPassed
from notary_server.operations.context import Context
from notary_server.operations.publish import publish
from notary_server.operations.reseal import Outcome, refresh
from notary_server.signing.local_signer import LocalSigner
from notary_server.storage.sql_store import SqlStore
from notary_server.tuf.document import Document
from notary_server.tuf.model import HeldKey, Signature, SigningOrder
from notary_server.tuf.names import SNAPSHOT, TIMESTAMP, Gun, KeyId, RoleName
from tests.publisher import Publisher
from tests.publisher.keys import ecdsa_key, key_object

GUN = Gun("registry.example.org/app")
DAY = 86_400 * 10**9


class Clock:
    """Time as a test wants it."""

    ahead_ns = 0

    def now_ns(self) -> int:
        """The real time plus that."""
        return time.time_ns() + self.ahead_ns


class Signer(LocalSigner):
    """Refuses versions below the highest; before it signs the next order, it lets something else happen.

    Attributes:
        highest: of each role.
        told: what it told of that when it was asked last: a server remembers.
    """

    def __init__(self) -> None:
        super().__init__()
        self.highest: dict[str, int] = {}
        self.told: dict[str, int] = {}
        self.meanwhile: list[Callable[[], Awaitable[object]]] = []

    async def describe_keys(self, key_ids: Collection[KeyId]) -> dict[KeyId, HeldKey]:
        """With the highest versions as they were told last."""
        held = await super().describe_keys(key_ids)
        return {one: replace(key, highest_version=self.told.get(key.role, 0)) for one, key in held.items()}

    async def sign(self, order: SigningOrder) -> tuple[Signature, ...]:
        """As it is."""
        if self.meanwhile:
            await self.meanwhile.pop()()
        if order.version < self.highest.get(order.role, 0):
            self.told = dict(self.highest)
            raise VersionPassed("a key has signed a higher version meanwhile")
        self.highest[order.role] = order.version
        return await super().sign(order)


class Servers:
    """Two of them, with all they share, and an owner who has published once."""

    def __init__(self, store: SqlStore) -> None:
        self.store, self.signer, self.clock = store, Signer(), Clock()
        self.first, self.second = (Context(store, self.signer, self.clock, "ed25519") for _ in range(2))
        self.owner = Publisher(GUN, targets=ecdsa_key())

    async def begin(self) -> None:
        """The first publish."""
        for role in (TIMESTAMP, SNAPSHOT):
            held = await self.signer.create_key(GUN, role, "ed25519")
            self.owner.server_keys[role] = key_object(held.key.keytype, held.key.public)
        files = self.owner.first()
        await publish(self.first, GUN, [Document(RoleName(role), data) for role, data in files.items()])

    async def renew_twice(self) -> None:
        """The second server has two timestamps signed and stored."""
        for _ in range(2):
            self.clock.ahead_ns += 9 * DAY
            assert await refresh(self.second, GUN) is Outcome.DONE

    async def version(self) -> int:
        """Of the current timestamp."""
        current = await self.store.current(GUN, TIMESTAMP)
        assert current is not None
        return current.version


@pytest.fixture
async def servers(tmp_path: Path) -> AsyncIterator[Servers]:
    """On a database of their own."""
    target = parse_url("sqlite3", "server.db", tmp_path)
    engine = create_engine(target)
    await migrate.upgrade_engine(engine, "server", lambda _line: None)
    await engine.dispose()
    database = open_database(target)
    made = Servers(SqlStore(database))
    await made.begin()
    yield made
    await made.store.close()
    await database.close()


async def test_a_publish_that_was_overtaken_is_planned_again(servers: Servers) -> None:
    """Its own version is refused by the signer; the client never learns of it."""
    servers.signer.meanwhile = [servers.renew_twice]
    await publish(servers.first, GUN, [Document(RoleName("targets"), servers.owner.targets(2))])
    assert await servers.version() == 4


async def test_a_renewal_that_was_overtaken_looks_again(servers: Servers) -> None:
    """The second server has renewed already: nothing is left to do, and nothing is impossible."""
    servers.clock.ahead_ns = 9 * DAY
    servers.signer.meanwhile = [servers.renew_twice]
    assert await refresh(servers.first, GUN) is Outcome.NEEDLESS
    assert await servers.version() == 3


@pytest.mark.parametrize("told", [True, False])
async def test_a_restored_database_goes_on_above_what_was_signed(servers: Servers, *, told: bool) -> None:
    """Clients that have seen version 7 see no lower one, whether the server knew of it before it asked or not."""
    servers.signer.highest[TIMESTAMP] = 7
    servers.signer.told = dict(servers.signer.highest) if told else {}
    await publish(servers.first, GUN, [Document(RoleName("targets"), servers.owner.targets(2))])
    assert await servers.version() == 8
    servers.signer.highest[TIMESTAMP] = 20
    servers.clock.ahead_ns = 9 * DAY
    assert await refresh(servers.first, GUN) is Outcome.DONE
    assert await servers.version() == 21


async def test_a_deleted_repository_published_again_goes_on_above(servers: Servers) -> None:
    """Its old root lists the old keys: what they signed is not signed again with another content."""
    servers.signer.highest = {TIMESTAMP: 7, SNAPSHOT: 5}
    await servers.store.delete(GUN)
    again = [Document(RoleName(role), data) for role, data in servers.owner.first().items()]
    await publish(servers.first, GUN, again)
    assert await servers.version() == 8
    snapshot = await servers.store.current(GUN, SNAPSHOT)
    assert snapshot is not None
    assert snapshot.version == 6
