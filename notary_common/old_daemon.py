"""Where the database of Notary's own server or signer is: from its configuration file, or from an address."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pydantic import Field

from .command import database_target
from .config import ConfigError, Document, read
from .database import DatabaseTarget, DatabaseUrlError, PostgresTarget, SqliteTarget, parse_url
from .sections import Storage, common_problems
from .values import Text

_EXAMPLES: Final = (
    "write postgres://user@host:5432/notarysigner?sslmode=verify-full, user@tcp(host:3306)/notarysigner?parseTime=True, "
    "or the path of a SQLite file"
)


class OldStorage(Storage):
    """The section `storage` of Notary's server or signer."""

    default_alias: Text | None = Field(default=None, description="Of the signer's pass phrase.")


class OldDaemon(Document):
    """All that matters here of either file."""

    storage: OldStorage = OldStorage()


def old_database(path: Path) -> DatabaseTarget:
    """The database that Notary's server or signer uses with this file. Its other sections are not looked at, and no
    variable of the environment is laid over it: those are the new daemons'.

    Raises:
        ConfigError: the file cannot be read, or its storage section cannot be used.
    """
    reading = read(OldDaemon, path, {}, "", common_problems)
    problems = [f"{path}: {problem}" for problem in reading.problems if problem.key.startswith("storage")]
    if problems:
        raise ConfigError(problems)
    try:
        return database_target(reading.draft.storage, reading.draft.base_dir)
    except DatabaseUrlError as error:
        raise ConfigError([f"{path}: storage.db_url: {error}"]) from None


def database_at(url: str) -> DatabaseTarget:
    """The database at an address, spelled as in `storage.db_url`.

    Raises:
        DatabaseUrlError: it cannot be understood; the text does not repeat it.
    """
    if url.startswith(("postgres://", "postgresql://")):
        return parse_url("postgres", url, Path())
    if "tcp(" in url or "unix(" in url:
        return parse_url("mysql", url, Path())
    if Path(url).is_file():
        return parse_url("sqlite3", url, Path.cwd())
    raise DatabaseUrlError(f"the address is of no kind that Notary used: {_EXAMPLES}")


def same_database(one: DatabaseTarget, other: DatabaseTarget) -> bool:
    """Whether both are one database, whoever logs in and how; one with two host names is not recognised."""
    return _place(one) == _place(other)


def _place(target: DatabaseTarget) -> tuple[object, ...]:
    if isinstance(target, SqliteTarget):
        return ("sqlite", target.path)
    if isinstance(target, PostgresTarget):
        return ("postgres", target.host, target.port, target.database)
    return ("mysql", target.socket or (target.host, target.port), target.database)
