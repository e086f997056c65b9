"""What every use case works with: the ports, and the settings that decide how."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Final
from weakref import WeakValueDictionary

from notary_server.errors import Unavailable
from notary_server.ports import Clock, MetadataStore, RemoteSigner
from notary_server.tuf.names import Gun, Sha256Hex
from notary_server.tuf.parse import DEFAULT_LIMITS, Limits
from notary_server.tuf.publish import Lifetimes

from .reading import FileReader

MAX_EXPIRIES: Final = 100_000
"""Timestamps whose expiry is remembered: about 15 MB."""


class Expiries:
    """When the timestamp and snapshot that belong together expire, by the timestamp's digest; bounded.

    Both are immutable and the timestamp names its snapshot by digest, so nothing here can become stale.
    """

    def __init__(self, capacity: int = MAX_EXPIRIES) -> None:
        self._capacity = capacity
        self._known: OrderedDict[Sha256Hex, int] = OrderedDict()

    def get(self, timestamp: Sha256Hex) -> int | None:
        """The earlier of the two expiries in nanoseconds since 1970-01-01T00:00:00Z, None if not known."""
        return self._known.get(timestamp)

    def remember(self, timestamp: Sha256Hex, expires: int) -> None:
        """Keep it; the one that has been known longest goes when there are too many."""
        self._known[timestamp] = expires
        if len(self._known) > self._capacity:
            self._known.popitem(last=False)


@dataclass(frozen=True, slots=True)
class Context:
    """The ports, opened, and what their users share.

    Attributes:
        algorithm: what new snapshot and timestamp keys are: `ecdsa`, `rsa` or `ed25519`.
        reader: reads large files in a process of its own; closed by whoever opened the context.
        limits: bounds on uploaded metadata.
        max_changes: changefeed records in one answer.
        publishing: how many publishes are worked on at the same time; others wait their turn.
        publish_wait: seconds that a publish waits for its turn.
        key_grace: seconds until a key is retired that no root lists any more.
        turns: the lock of each repository that is being published to, by this process.
        expiries: what is known of stored timestamps.
        renewing: the renewals under way in this process, so that a crowd of readers asks for one.
    """

    store: MetadataStore
    signer: RemoteSigner
    clock: Clock
    algorithm: str = "ecdsa"
    lifetimes: Lifetimes = field(default_factory=Lifetimes)
    reader: FileReader = field(default_factory=FileReader)
    limits: Limits = DEFAULT_LIMITS
    max_changes: int = 10_000
    publishing: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(8))
    publish_wait: float = 10.0
    key_grace: int = 86_400
    turns: WeakValueDictionary[Gun, asyncio.Lock] = field(default_factory=WeakValueDictionary)
    expiries: Expiries = field(default_factory=Expiries)
    renewing: dict[Gun, asyncio.Task[object]] = field(default_factory=dict)

    @asynccontextmanager
    async def turn(self, gun: Gun) -> AsyncIterator[None]:
        """Publishes to `gun` take turns here, and only so many repositories are published to at the same time.

        Publishes of one process would only outrun each other; those of other processes are found by the store.

        Raises:
            Unavailable: the turn did not come in time: those before it wait for something that does not answer.
        """
        async with AsyncExitStack() as held:
            try:
                async with asyncio.timeout(self.publish_wait):
                    await held.enter_async_context(self.turns.setdefault(gun, asyncio.Lock()))
                    await held.enter_async_context(self.publishing)
            except TimeoutError as error:
                raise Unavailable(
                    f"other publishes did not end within {self.publish_wait:g} seconds; try again later"
                ) from error
            yield
