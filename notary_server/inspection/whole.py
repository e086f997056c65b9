"""A database opened to be looked at as a whole."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from notary_common.database import Database, DatabaseTarget, open_database

STATEMENT_TIMEOUT: Final = 600.0
"""Seconds: a sum over every row, or a page of repositories with long histories, takes its time."""


@asynccontextmanager
async def opened(target: DatabaseTarget) -> AsyncIterator[Database]:
    """Open it for the block. Raises: DatabaseError: in the block, when it is first asked."""
    database = open_database(target, statement_timeout=STATEMENT_TIMEOUT)
    try:
        yield database
    finally:
        await database.close()
