"""Checks passwords beside the event loop, a few at a time: each costs a twentieth of a second of a processor."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from .errors import BadCredentials, Busy, TooManyFailures
from .failures import Failures
from .htpasswd import Users

MAX_WAITING: Final = 100
"""Checks that wait for their turn; at 20 a second the last of them waits for as long as docker does."""


class PasswordCheck:
    """The only way to a user's password."""

    def __init__(self, failures: Failures, at_once: int) -> None:
        """So many passwords are checked at the same time."""
        self._failures = failures
        self._turns = asyncio.Semaphore(at_once)
        self._threads = ThreadPoolExecutor(at_once, "password")
        self._waiting = 0

    def close(self) -> None:
        """Let the checks end that run."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    async def check(self, users: Users, name: str, password: str, address: str) -> None:
        """Return if it is that user's password.

        Raises:
            BadCredentials: it is not, or nobody has that name.
            TooManyFailures: nobody looked.
            Busy: too many wait already.
        """
        if self._waiting >= MAX_WAITING:
            raise Busy("too many passwords are being checked; try again in a moment")
        self._waiting += 1
        try:
            async with self._turns:
                self.admit(name, address)
                loop = asyncio.get_running_loop()
                same = await loop.run_in_executor(self._threads, users.check, name, password)
                if not same:
                    self._failures.count(name, address)
        finally:
            self._waiting -= 1
        if not same:
            raise BadCredentials("wrong password" if name in users.names else "no such user")

    def failed(self, address: str) -> None:
        """An attempt without a user's password has failed."""
        self._failures.count(None, address)

    def admit(self, name: str | None, address: str) -> None:
        """Return if an attempt may be made.

        Raises:
            TooManyFailures: not now.
        """
        wait = self._failures.wait(name, address)
        if wait is not None:
            raise TooManyFailures(wait, "too many failed attempts")
