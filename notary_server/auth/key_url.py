"""Keys from an address: a JSON Web Key Set that its issuer changes when it likes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final

import aiohttp

from notary_common.log import get_logger
from notary_common.tls import TlsError, client_context

from .token.keys import KeyRing, KeysError, read_jwks

MAX_BYTES: Final = 512 << 10
"""Of an answer. Key sets have a few kilobytes, more where certificates come with the keys."""
TIMEOUT: Final = 5.0
"""Seconds for one answer; requests with a token wait for the very first one."""
EARLY_INTERVAL: Final = 10.0
"""Seconds between two looks that tokens with unknown keys cause: anybody can make such a token."""
FIRST_RETRY: Final = 1.0
"""Seconds after a failure until the next look, doubled with each further failure up to the usual interval."""

_log = get_logger()


class KeyUrl:
    """The latest good answer of one address. For one event loop.

    Attributes:
        ring: its keys; None until there was one.
    """

    def __init__(self, url: str, ca_file: Path | None, interval: float) -> None:
        """Nothing is asked before `run` or `look_early`.

        Args:
            url: the address.
            ca_file: the authorities of an `https` address, read at each look; None: those that the system trusts.
            interval: seconds between two looks while all is well.
        """
        self.url = url
        self.ring: KeyRing | None = None
        self._ca_file = ca_file
        self._interval = interval
        self._seen = b""
        self._failures = 0
        self._next_early = 0.0
        self._looking: asyncio.Task[None] | None = None
        self._changed: list[Callable[[], None]] = []

    def on_change(self, tell: Callable[[], None]) -> None:
        """Have `tell` called whenever there are other keys."""
        self._changed.append(tell)

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await self._look()
            retry = FIRST_RETRY * 2.0 ** min(self._failures - 1, 16)
            await asyncio.sleep(min(retry, self._interval) if self._failures else self._interval)

    async def look_early(self) -> bool:
        """Look now, because a token names a key that is not known; not more often than is good for its issuer.

        Returns:
            Whether the keys have changed.
        """
        before = self.ring
        now = asyncio.get_running_loop().time()
        if self._looking is None:
            if now < self._next_early:
                return False
            self._next_early = now + EARLY_INTERVAL
        await self._look()
        return self.ring is not before

    async def settle(self) -> None:
        """Wait for the look under way, if there is one."""
        if self._looking is not None:
            await self._look()

    async def close(self) -> None:
        """Give up what is being asked."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)

    async def _look(self) -> None:
        """Look once; whoever comes meanwhile shares the answer, and a client that leaves does not end it."""
        if self._looking is None:
            self._looking = asyncio.get_running_loop().create_task(self._take())
            self._looking.add_done_callback(self._looked)
        await asyncio.shield(self._looking)

    def _looked(self, _: asyncio.Task[None]) -> None:
        self._looking = None

    async def _take(self) -> None:
        try:
            data = await self._get()
            if self.ring is None or data != self._seen:
                self.ring = read_jwks(data)
                for tell in self._changed:
                    tell()
            self._seen = data
        except KeysError as error:
            self._failed(f"the answer {error}")
        except TimeoutError:
            self._failed(f"no answer within {TIMEOUT:g} seconds")
        except (TlsError, aiohttp.ClientError, OSError, ValueError) as error:
            self._failed(str(error) or type(error).__name__)
        except Exception:  # noqa: BLE001 - a watcher that died would keep today's keys for ever
            _log.exception("fetching the keys of tokens failed: a defect of this server", url=self.url)
            self._failures += 1
        else:
            if self._failures:
                _log.warning("the keys of tokens can be fetched again", url=self.url)
            self._failures = 0

    def _failed(self, reason: str) -> None:
        self._failures += 1
        kept = "the last good keys stay in force" if self.ring is not None else "there are none yet"
        _log.error("the keys of tokens cannot be fetched", url=self.url, reason=reason, kept=kept)

    async def _get(self) -> bytes:
        timeout = aiohttp.ClientTimeout(total=TIMEOUT)
        secure = self.url.startswith("https:")
        tls = await asyncio.to_thread(client_context, self._ca_file, None, None) if secure else True
        connector = aiohttp.TCPConnector(ssl=tls)
        # A session for each look: between two of them a kept connection would only grow stale.
        async with (
            aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
            session.get(self.url, allow_redirects=False, headers={"Accept-Encoding": "identity"}) as answer,
        ):
            if answer.status != 200:
                raise KeysError(f"has the status {answer.status} instead of 200")
            data = bytearray()
            async for chunk in answer.content.iter_any():
                data += chunk
                if len(data) > MAX_BYTES:
                    raise KeysError(f"is longer than {MAX_BYTES} bytes")
            return bytes(data)
