"""Work that only computes, kept from holding up other requests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, ParamSpec, TypeVar

THREAD_BYTES: Final = 64 * 1024
"""Metadata beyond this takes a millisecond or more to read, so that is done in a thread."""

_P = ParamSpec("_P")
_T = TypeVar("_T")


async def off_loop(size: int, work: Callable[_P, _T], *arguments: _P.args, **keywords: _P.kwargs) -> _T:
    """Do `work` here if it is over at once, else in a thread; `size` is what it has to read, in bytes."""
    if size <= THREAD_BYTES:
        return work(*arguments, **keywords)
    return await asyncio.to_thread(work, *arguments, **keywords)
