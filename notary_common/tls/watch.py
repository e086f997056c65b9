"""Notices that files have changed, has them taken anew, and says what could not be taken and what will expire."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from watchfiles import awatch

from ..log import get_logger
from .material import TlsError, Validity
from .reloading import Watched

PERIOD: Final = 10.0
"""Seconds between two looks at the files where no change was noticed: network file systems tell of none."""
QUIET_MS: Final = 100
"""Milliseconds without a further change after which files are looked at."""
SETTLING: Final = (0.1, 0.4, 1.5)
"""Seconds between the looks at what cannot be used: the rest of it may be on its way."""
DAY: Final = 86_400.0
WARNINGS: Final = (1, 7, 30)
"""Days ahead of an expiry when it is said. What would be said in the first two thirds of a certificate's life is not:
what lives for hours is renewed within hours."""
URGENT: Final = 7
"""Days from which on it is an error: daemons that log nothing less must say it, too."""
_BROKEN: Final = "it could not be looked at; the log says why"

_log = get_logger()


class Watcher:
    """Watches in the running event loop, from `watch` until `stop`."""

    def __init__(self, told: Callable[[Watcher], None] = lambda _: None) -> None:
        """`told` is called after every look, e.g. to show `validities` and `failed` as metrics."""
        self._told = told
        self._watched: list[Watched] = []
        self._refused: dict[str, str] = {}
        self._warned: dict[str, tuple[float, int]] = {}
        self._stopping = asyncio.Event()
        self._woken = asyncio.Event()

    def add(self, watched: Watched) -> None:
        """Watch this, too; before `watch` begins."""
        self._watched.append(watched)

    def failed(self) -> dict[str, bool]:
        """By use, whether what is there now was refused at the last look."""
        return {watched.use: watched.use in self._refused for watched in self._watched}

    def validities(self) -> dict[str, Validity]:
        """By use, from when until when everything in use counts."""
        return {use: some for watched in self._watched for use, some in watched.validities().items()}

    def expiries(self) -> dict[str, float]:
        """By use, when what is in use expires, in seconds since 1970; for metrics."""
        return {use: some.not_after for use, some in self.validities().items()}

    def wake(self) -> None:
        """Look now. From another thread: through the loop's `call_soon_threadsafe`."""
        self._woken.set()

    def stop(self) -> None:
        """End `watch`."""
        self._stopping.set()
        self._woken.set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Watch for as long as the block lasts."""
        task = asyncio.create_task(self.watch())
        try:
            yield
        finally:
            self.stop()
            await task

    async def watch(self) -> None:
        """Look whenever something changes, and now and then, until `stop` is called."""
        listening = asyncio.create_task(self._listen())
        while not self._stopping.is_set():
            self._woken.clear()
            await self._look()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), PERIOD)
        await listening

    async def _look(self) -> None:
        refused = self._reload()
        for seconds in SETTLING:
            if refused.items() <= self._refused.items():
                break  # nothing that was not said before
            await self._pause(seconds)
            refused = self._reload()
        for use, reason in refused.items():
            if self._refused.get(use) != reason:
                _log.error("new certificates are refused, the old ones stay in use", use=use, reason=reason)
        for use in self._refused.keys() - refused.keys():
            _log.info("certificates can be used again", use=use)
        self._refused = refused
        self._warn()
        self._told(self)

    def _reload(self) -> dict[str, str]:
        """Have everything taken anew; by use, why something cannot be."""
        refused: dict[str, str] = {}
        for watched in self._watched:
            try:
                if watched.reload():
                    until = {use: _date(some) for use, some in watched.validities().items()}
                    _log.info("new certificates are in use", use=watched.use, valid_until=until)
            except TlsError as error:
                refused[watched.use] = str(error)
            except Exception:  # noqa: BLE001 - a watcher that died would let every certificate expire
                refused[watched.use] = _BROKEN
                if self._refused.get(watched.use) != _BROKEN:
                    _log.exception("looking at certificate files failed", use=watched.use)
        return refused

    def _warn(self) -> None:
        now = time.time()
        for use, some in self.validities().items():
            life = some.not_after - some.not_before
            days = next((days for days in (0, *WARNINGS) if some.not_after - now <= days * DAY), None)
            if days is None or days * DAY * 3 > life or self._warned.get(use) == (some.not_after, days):
                continue
            self._warned[use] = some.not_after, days
            if not days:
                _log.error("a certificate has expired; renew it", use=use, expired=_date(some))
            elif days <= URGENT:
                _log.error("a certificate expires soon; renew it", use=use, expires=_date(some))
            else:
                _log.warning("a certificate expires soon; renew it", use=use, expires=_date(some))

    async def _listen(self) -> None:
        """Wake up when something changes in the directories of the files."""
        told = False
        while self._paths() and not self._stopping.is_set():
            try:
                await self._listen_in(self._directories())
            except (OSError, RuntimeError) as error:
                # The second is how watchfiles tells of what its library for the system did not expect.
                if not told:
                    said = f"files cannot be watched and are looked at every {PERIOD:g} seconds"
                    _log.warning(said, reason=str(error))
                told = True
                await self._pause(PERIOD)

    async def _listen_in(self, directories: dict[Path, int]) -> None:
        """Until these are no longer the directories to watch.

        Raises:
            OSError, RuntimeError: nothing can be watched.
        """
        if not directories:
            raise FileNotFoundError("none of the directories is there")
        seen = self._state()
        # When that is called, the system watches: what happened until now is looked at, the rest is told.
        asyncio.get_running_loop().call_soon(self.wake)
        changes = awatch(
            *directories,
            watch_filter=None,
            step=QUIET_MS,
            recursive=False,
            stop_event=self._stopping,
            rust_timeout=int(PERIOD * 1000),
            yield_on_timeout=True,
            force_polling=False,
        )
        async with aclosing(changes):
            async for change in changes:
                # A directory may have other files in it, which are written all the time.
                if change and (state := self._state()) != seen:
                    seen = state
                    self.wake()
                if self._directories() != directories:
                    self.wake()
                    return

    def _directories(self) -> dict[Path, int]:
        """Where to watch, each with what tells it from another one of the same name.

        Directories, since files are replaced by others: Kubernetes swaps a symbolic link beside the one that is
        named, and what is behind links may be rewritten in its own place.
        """
        paths = self._paths()
        found: dict[Path, int] = {}
        for directory in {path.parent for path in paths} | {path.resolve().parent for path in paths}:
            with suppress(OSError):
                found[directory] = directory.stat().st_ino
        return found

    def _paths(self) -> list[Path]:
        return [path for watched in self._watched for path in watched.paths]

    def _state(self) -> list[tuple[int, ...]]:
        """What tells the files from what they were; nothing of those that are missing."""
        found: list[tuple[int, ...]] = []
        for path in self._paths():
            try:
                status = path.stat()
            except OSError:
                found.append(())
            else:
                found.append(
                    (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
                )
        return found

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)


def _date(some: Validity) -> str:
    return f"{datetime.fromtimestamp(some.not_after, UTC):%Y-%m-%dT%H:%M:%SZ}"
