"""The server's configuration and database, for commands that work on what is stored beside running servers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from notary_common.command import database_problems, database_target, inspected, refuse

from . import PROGRAM

if TYPE_CHECKING:
    from notary_common.database import DatabaseTarget

    from ..config import ServerConfig


def stored(config_file: Path, *, whole: bool = False) -> tuple[ServerConfig, DatabaseTarget]:
    """The configuration, and where its database is; stops with all problems if that cannot be used.

    Args:
        whole: problems of other sections than `storage` count, too: the signer is to be asked.
    """
    from ..config import inspect  # noqa: PLC0415 - pydantic would slow --help down

    reading = inspected(PROGRAM, config_file, inspect)
    draft = reading.draft
    counting = [problem for problem in reading.problems if whole or problem.key.split(".")[0] == "storage"]
    problems = [str(problem) for problem in counting]
    problems = problems or database_problems(draft.storage, draft.base_dir, "server", config_file)
    if problems:
        refuse(PROGRAM, config_file, problems)
    target = database_target(draft.storage, draft.base_dir)
    if target.in_memory:
        refuse(PROGRAM, config_file, ["storage: a database in memory can only be seen by the server itself"])
    return draft, target
