"""What the database rooms of both daemons raise. Texts never hold passwords, statements or stored values."""

from __future__ import annotations

import asyncpg


class DatabaseError(Exception):
    """Base of them all."""


class DatabaseUrlError(DatabaseError):
    """`storage.backend` or `storage.db_url` cannot be used; the text says what is wrong with which part."""


class DatabaseUnavailable(DatabaseError):
    """The database cannot be reached, is out of connections, or refuses to work."""


class DatabaseConnectionLost(DatabaseUnavailable):
    """The connection ended while it was used. What was asked on it may have been done or not."""


class DatabaseConflict(DatabaseError):
    """Another transaction was first: a unique value is taken, or the two cannot be put in an order."""


def reason(error: BaseException) -> str:
    """What went wrong in one line, without statements, parameters or details that hold stored values."""
    cause = error.__cause__ if isinstance(error.__cause__, asyncpg.PostgresError) else error
    text = str(cause.args[0]) if isinstance(cause, asyncpg.PostgresError) and cause.args else str(cause)
    return (text.splitlines() or [""])[0] or type(cause).__name__
