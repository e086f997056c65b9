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
from concurrent.futures import Future
from typing import Any, Final, TypeVar

from notary_signer.errors import TokenUnavailable

MAX_WAITING: Final = 512
"""Calls that may wait for the thread; at a millisecond each that is half a second."""

Result = TypeVar("Result")
_Job = tuple[Callable[[], Any], "Future[Any]"]


class Worker:
    """Runs calls one after the other on its own thread. Start it once; it ends with `stop`."""

    def __init__(self, max_waiting: int = MAX_WAITING) -> None:
        self._jobs: queue.Queue[_Job | None] = queue.Queue(max_waiting)
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
        future: Future[Result] = Future()
        try:
            self._jobs.put_nowait((call, future))
        except queue.Full:
            raise TokenUnavailable("too many calls wait for the token") from None
        try:
            async with asyncio.timeout(deadline):
                return await asyncio.wrap_future(future)
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
            try:
                self._jobs.put_nowait(None)
            except queue.Full:
                return  # the thread hangs in the module; the process ends without it
        await asyncio.to_thread(self._thread.join, deadline)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            call, future = job
            if not future.set_running_or_notify_cancel():
                continue
            try:
                result = call()
            except BaseException as error:  # noqa: BLE001 - handed to whoever waits
                future.set_exception(_bare(error))
            else:
                future.set_result(result)
            del call, future, job


def _bare(error: BaseException) -> BaseException:
    """The error without its frames and what it came from, which may hold searches and operations of the module.

    They must be dropped here: python-pkcs11 ends them when they are collected, on whatever thread that is.
    """
    places = traceback.extract_tb(error.__traceback__)
    error.add_note("on the token's thread: " + ", ".join(f"{frame.name}:{frame.lineno}" for frame in places))
    error.__traceback__ = error.__context__ = error.__cause__ = None
    return error
