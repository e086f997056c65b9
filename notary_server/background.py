"""Work that one process does beside its requests, again and again until it is told to stop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TypeVar


class Background:
    """What all such workers have in common; `run` is their own."""

    def __init__(self) -> None:
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Work until `stop` is called."""
        raise NotImplementedError

    def stop(self) -> None:
        """End `run` after the piece of work that is under way."""
        self._stopping.set()

    async def _pause(self, seconds: float) -> None:
        """Wait; not longer than until `stop`."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)


Worker = TypeVar("Worker", bound=Background)


@asynccontextmanager
async def running(worker: Worker) -> AsyncIterator[Worker]:
    """Let it run while the block runs; at its end, wait for the piece of work under way."""
    task = asyncio.create_task(worker.run())
    try:
        yield worker
    finally:
        worker.stop()
        await task
