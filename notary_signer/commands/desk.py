"""What the commands that work on keys have before them: the registry, the token if they ask for it, the audit log."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from notary_common.command import database_problems, inspected, refuse, stop

from . import PROGRAM

if TYPE_CHECKING:
    from notary_common.database import Database

    from ..config import SignerConfig
    from ..ports import Journal
    from ..registry.catalogue import SqlCatalogue
    from ..registry.sql_registry import SqlRegistry
    from ..token.hardware import HardwareToken

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Desk:
    """All of it, closed when the command's work has ended."""

    config: SignerConfig
    database: Database
    registry: SqlRegistry
    catalogue: SqlCatalogue
    journal: Journal
    _stack: AsyncExitStack

    async def token(self) -> HardwareToken:
        """The token, logged in and proved; running signers go on with theirs.

        Raises:
            StartRefused: it cannot be used.
        """
        from ..app import open_token  # noqa: PLC0415

        token, _ = await open_token(self.config, self._stack)
        return token


def at_desk(config_file: Path, work: Callable[[Desk], Awaitable[Result]]) -> Result:
    """Do `work`; stops with a sentence if the configuration, the database or the token cannot be used."""
    import asyncio  # noqa: PLC0415

    from ..config import inspect, require_pin_file  # noqa: PLC0415
    from ..errors import SignerError, StartRefused  # noqa: PLC0415

    reading = inspected(PROGRAM, config_file, inspect)
    require_pin_file(reading)
    problems = [str(problem) for problem in reading.problems]
    if reading.sound("storage.backend", "storage.db_url"):
        problems += database_problems(reading.draft.storage, reading.draft.base_dir, "signer", config_file)
    if problems:
        refuse(PROGRAM, config_file, problems)
    config = reading.accepted()
    if (config.storage.backend or "").strip().lower() == "memory":
        refuse(PROGRAM, config_file, ["storage: a database in memory can only be seen by the signer itself"])
    try:
        return asyncio.run(_opened(config, work))
    except (SignerError, StartRefused) as problem:
        stop(PROGRAM, str(problem))


async def _opened(config: SignerConfig, work: Callable[[Desk], Awaitable[Result]]) -> Result:
    from ..app import open_registry_database  # noqa: PLC0415
    from ..auditing import operator_log  # noqa: PLC0415
    from ..registry.catalogue import SqlCatalogue  # noqa: PLC0415
    from ..registry.sql_registry import SqlRegistry  # noqa: PLC0415

    async with AsyncExitStack() as stack:
        database = await open_registry_database(config, stack)
        journal = await stack.enter_async_context(operator_log(config, database))
        registry = SqlRegistry(database, lambda key_id: None)
        return await work(Desk(config, database, registry, SqlCatalogue(database), journal, stack))
