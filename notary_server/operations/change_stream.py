"""The changefeed as it grows: streams of records, told of new ones by one look at the database for all streams of a process."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from typing import Final

from notary_server.errors import StoreUnavailable, TooManyRequests
from notary_server.ports import Change, MetadataStore
from notary_server.tuf.names import Gun

INTERVAL: Final = 1.0
"""Seconds between two looks, while anybody listens."""
PAGE: Final = 100
"""Records that are read for a stream at once: what it does not take yet stays in the database."""
LIFETIME: Final = 600.0
"""Seconds until a stream ends by itself: who goes on asks again, and is asked again who they are."""
RETRY: Final = 5
"""Seconds until somebody asks again for whom there was no room."""


class Streams:
    """All streams of one process; for its event loop."""

    def __init__(
        self, max_streams: int = 256, max_client_streams: int = 16, *, interval: float = INTERVAL
    ) -> None:
        """Nothing happens before the first stream.

        Args:
            max_streams: as many as there may be at once.
            max_client_streams: of one client address.
            interval: seconds between two looks.
        """
        self._max_streams = max_streams
        self._max_client_streams = max_client_streams
        self._interval = interval
        self._clients: Counter[str] = Counter()
        self._grown = asyncio.Event()
        self._watching: asyncio.Task[None] | None = None

    def admit(self, client: str) -> None:
        """Whether there is room for one more.

        Raises:
            TooManyRequests: there is none, for this client or for anybody.
        """
        if self._clients.total() >= self._max_streams:
            raise TooManyRequests("too many streams of changes are open; poll, or try again later", RETRY)
        if self._clients[client] >= self._max_client_streams:
            raise TooManyRequests("you have too many streams of changes open; close one", RETRY)

    async def records(
        self, store: MetadataStore, gun: Gun | None, after: int | None, client: str
    ) -> AsyncGenerator[Sequence[Change]]:
        """Records as they are committed, oldest first, each once; nothing about each second in which there are none.

        Args:
            after: the record to go on after; None: the newest there is.

        Raises:
            StoreUnavailable: the database cannot answer; whoever listens asks again and goes on where it was.
            TooManyRequests: others were admitted at the same moment, and were faster.
        """
        self.admit(client)
        self._clients[client] += 1
        if self._watching is None:
            self._watching = asyncio.create_task(self._watch(store))
        try:
            if after is None:
                newest = await store.changes(None, 0, -1)
                after = newest[-1].id if newest else 0
            end = asyncio.get_running_loop().time() + LIFETIME
            while asyncio.get_running_loop().time() < end:
                grown = self._grown
                found = await store.changes(gun, after, PAGE)
                if found:
                    after = found[-1].id
                else:
                    with suppress(TimeoutError):
                        await asyncio.wait_for(grown.wait(), 1.0)
                yield found
        finally:
            self._clients[client] -= 1
            if not self._clients[client]:
                del self._clients[client]

    async def _watch(self, store: MetadataStore) -> None:
        """Wake all streams whenever there is a newer record; end when nobody listens."""
        newest: int | None = None
        try:
            while self._clients:
                with suppress(StoreUnavailable):
                    found = await store.changes(None, 0, -1)
                    last = found[-1].id if found else 0
                    if last != newest:
                        newest = last
                        self._grown.set()
                        self._grown = asyncio.Event()
                await asyncio.sleep(self._interval)
        finally:
            # Whatever ended it: streams look once a second by themselves, and the next one begins it anew.
            self._watching = None
