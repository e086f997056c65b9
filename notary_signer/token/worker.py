"""The one thread that owns the PKCS#11 module, and the queue in front of it.

python-pkcs11 initialises the module without locking and releases the interpreter lock: two threads in it
crash the process. So all calls go through here; more throughput comes from more processes.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, TypeVar

from notary_signer.errors import TokenUnavailable

MAX_WAITING: Final = 512
"""Calls that may wait for the thread; at a millisecond each that is half a second."""

Result = TypeVar("Result")
_Job = tuple[Callable[[], Any], "asyncio.Future[Any]"]


class Worker:
    """Runs calls one after the other on its own thread. Start it once; it ends with `stop`."""

    def __init__(self, max_waiting: int = MAX_WAITING) -> None:
        self._max_waiting = max_waiting
        # Bounded by `submit`, which only the event loop's thread calls: `queue.Queue` takes several times as long.
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        # A daemon thread: a call that hangs inside the module must not keep the process alive.
        self._thread = threading.Thread(target=self._run, name="pkcs11", daemon=True)
        self._stopped = False

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    async def submit(self, call: Callable[[], Result], deadline: float) -> Result:
        """The result of `call`, or what it raised.

        Args:
            call: runs on the owning thread.
            deadline: seconds to wait; a call that has not begun by then never will.

        Raises:
            TokenUnavailable: too many calls wait, the deadline passed, or the worker has stopped.
        """
        if self._stopped:
            raise TokenUnavailable("the signer is shutting down")
        if self._jobs.qsize() >= self._max_waiting:
            raise TokenUnavailable("too many calls wait for the token")
        answer: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._jobs.put((call, answer))
        try:
            async with asyncio.timeout(deadline):
                return await answer
        except TimeoutError:
            raise TokenUnavailable(f"the token did not answer within {deadline:g} seconds") from None

    async def stop(self, last: Callable[[], None], deadline: float) -> None:
        """Run `last` on the thread after all that waits, then end it; give up after `deadline` seconds."""
        if self._stopped:
            return
        try:
            await self.submit(last, deadline)
        finally:
            self._stopped = True
            self._jobs.put(None)
        await asyncio.to_thread(self._thread.join, deadline)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            call, answer = job
            if answer.cancelled():
                continue
            result: Any = None
            failure: BaseException | None = None
            try:
                result = call()
            except BaseException as error:  # noqa: BLE001 - handed to whoever waits
                failure = _bare(error)
            with suppress(RuntimeError):  # the loop has ended: nobody waits any more
                answer.get_loop().call_soon_threadsafe(_settle, answer, result, failure)
            del call, answer, job, result, failure


def _settle(answer: asyncio.Future[Any], result: Any, failure: BaseException | None) -> None:
    """Give the answer, on the event loop's thread, to whoever still waits for it."""
    if answer.done():
        return
    if failure is None:
        answer.set_result(result)
    else:
        answer.set_exception(failure)


def _bare(error: BaseException) -> BaseException:
    """The error without its frames and what it came from, which may hold searches and operations of the module.

    They must be dropped here: python-pkcs11 ends them when they are collected, on whatever thread that is.
    """
    places = traceback.extract_tb(error.__traceback__)
    error.add_note("on the token's thread: " + ", ".join(f"{frame.name}:{frame.lineno}" for frame in places))
    error.__traceback__ = error.__context__ = error.__cause__ = None
    return error
