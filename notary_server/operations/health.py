"""Whether what the server depends on can be asked: the database and the signer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from notary_server.errors import NotaryError

from .context import Context

DATABASE: Final = "DB operational"
CHECKS: Final = (DATABASE, "Trust operational")
"""The names under which health is reported, as Notary reports it."""
CHECK_TIMEOUT: Final = 5.0
"""Seconds until a check that does not return has failed."""


async def check(context: Context) -> dict[str, str]:
    """What is wrong with each dependency that is; empty if all is well."""
    outcomes = await asyncio.gather(_problem(context.store.ping), _problem(context.signer.ping))
    return {name: problem for name, problem in zip(CHECKS, outcomes, strict=True) if problem is not None}


async def _problem(ping: Callable[[], Awaitable[None]]) -> str | None:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT):
            await ping()
    except NotaryError as error:
        return error.message
    except TimeoutError:
        return f"no answer within {CHECK_TIMEOUT:g} seconds"
    return None
