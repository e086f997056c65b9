"""Acts of the commands on the token, each with its record in the audit log before and after it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from notary_common.command import stop

from . import PROGRAM

if TYPE_CHECKING:
    from ..config import SignerConfig

Result = TypeVar("Result")


def recorded(config: SignerConfig, action: str, act: Callable[[], Result]) -> Result:
    """What `act` gives, done only if it could be recorded that it is begun; stops with a sentence if it fails otherwise
    than below.

    The registry's database is opened only where the log is in it: a token can be made before there are any tables.

    Args:
        config: its sections `pkcs11` and `audit` are sound.
        action: its name in the log, e.g. `init_token`.
        act: uses the token; raises `TokenProblem` if it cannot be done.

    Raises:
        TokenExists: from `act`.
    """
    from ..errors import AuditUnavailable, StartRefused  # noqa: PLC0415
    from ..token.problems import TokenExists, TokenProblem  # noqa: PLC0415

    try:
        return asyncio.run(_recorded(config, action, act))
    except TokenExists:
        raise
    except (TokenProblem, StartRefused) as problem:
        stop(PROGRAM, str(problem))
    except AuditUnavailable as problem:
        stop(PROGRAM, f"{problem.message}; see the configuration's section audit")


async def _recorded(config: SignerConfig, action: str, act: Callable[[], Result]) -> Result:
    from contextlib import AsyncExitStack  # noqa: PLC0415

    from notary_common.command import database_target  # noqa: PLC0415
    from notary_common.database import DatabaseError, open_database  # noqa: PLC0415

    from ..auditing import operator_log  # noqa: PLC0415
    from ..errors import StartRefused  # noqa: PLC0415
    from ..token.problems import TokenProblem  # noqa: PLC0415

    async with AsyncExitStack() as stack:
        database = None
        if config.audit.destination == "database":
            try:
                database = open_database(database_target(config.storage, config.base_dir))
            except DatabaseError as error:
                raise StartRefused(f"audit: {error}") from None
            stack.push_async_callback(database.close)
        log = await stack.enter_async_context(operator_log(config, database))
        await log.append(action, "begun")
        try:
            # In a thread of its own: SoftHSM leaves errors in OpenSSL's queue, which each thread has for itself, and
            # where both use the same OpenSSL the connection to the database would take them for its own.
            result = await asyncio.to_thread(act)
        except TokenProblem as problem:
            await log.append(action, "failed", reason=str(problem))
            raise
        await log.append(action, "done")
        return result
