"""What the database really holds for a repository, read past our server: whole publishes or torn ones."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.support.postgres import PostgresCluster

Query = Callable[[str], list[list[str]]]
"""Runs a SELECT; its rows as texts."""


@dataclass(frozen=True)
class File:
    """A row of tuf_files; `hashed` is the SHA-256 of the bytes in it."""

    role: str
    version: int
    sha256: str
    hashed: str


@dataclass(frozen=True)
class Change:
    """A row of changefeed."""

    id: int
    category: str
    version: int
    sha256: str


class Tables:
    """Looks into the server's database."""

    def __init__(self, query: Query, hashed: str) -> None:
        """`hashed`: an SQL expression for the hexadecimal SHA-256 of the column `data`."""
        self.query = query
        self._hashed = hashed

    @classmethod
    def of_postgres(cls, cluster: PostgresCluster, database: str) -> Tables:
        """The tables of a PostgreSQL database."""

        def query(text: str) -> list[list[str]]:
            return [line.split("|") for line in cluster.sql(text, database).splitlines()]

        return cls(query, "encode(sha256(data), 'hex')")

    @classmethod
    def of_sqlite(cls, path: Path) -> Tables:
        """The tables of a SQLite file."""

        def query(text: str) -> list[list[str]]:
            with closing(sqlite3.connect(path, timeout=20)) as connection:
                connection.create_function("hashed", 1, lambda data: hashlib.sha256(data).hexdigest())
                return [[str(value) for value in row] for row in connection.execute(text)]

        return cls(query, "hashed(data)")

    def look(self, gun: str) -> tuple[list[File], list[Change]]:
        """All files of a repository by role and version, and its changes by ID, in one consistent look."""
        rows = self.query(
            f"SELECT 'file', role, version, sha256, {self._hashed} FROM tuf_files WHERE gun = '{gun}' "
            f"UNION ALL SELECT CAST(id AS VARCHAR), category, version, trim(sha256), '' FROM changefeed WHERE gun = '{gun}'"
        )
        files = [File(role, int(version), *hashes) for kind, role, version, *hashes in rows if kind == "file"]
        feed = [
            Change(int(kind), category, int(version), sha256)
            for kind, category, version, sha256, _ in rows
            if kind != "file"
        ]
        return (
            sorted(files, key=lambda file: (file.role, file.version)),
            sorted(feed, key=lambda change: change.id),
        )

    def feed(self, gun: str) -> list[Change]:
        """The changes of a repository in the order of their IDs."""
        return self.look(gun)[1]

    @staticmethod
    def torn(files: Sequence[File], feed: Sequence[Change]) -> list[str]:
        """What cannot be if every publish and every deletion was stored whole; empty if nothing."""
        problems = [
            f"{file.role} {file.version} is not what its hash says"
            for file in files
            if file.sha256 != file.hashed
        ]
        deletions = [at for at, change in enumerate(feed) if change.category == "deletion"]
        since = feed[deletions[-1] + 1 :] if deletions else feed
        announced: list[Any] = [(change.version, change.sha256) for change in since]
        stored = [(file.version, file.sha256) for file in files if file.role == "timestamp"]
        if announced != stored:
            problems.append(f"announced {announced}, stored timestamps {stored}")
        # Gaps are fine: a version that was signed and lost its race is not signed again.
        if any(later <= earlier for (earlier, _), (later, _) in pairwise(stored)):
            problems.append(f"timestamps do not rise: {stored}")
        if files and {"root", "targets", "snapshot", "timestamp"} - {file.role for file in files}:
            problems.append(f"only {sorted({file.role for file in files})} are stored")
        return problems

    def publishes(self, gun: str) -> int:
        """How many publishes of a `Repository` (see repository.py) are stored.

        Raises:
            AssertionError: a part of one is stored.
        """
        files, feed = self.look(gun)
        problems = self.torn(files, feed)
        assert not problems, problems
        found = {(file.role, file.version) for file in files}
        count = sum(role == "timestamp" for role, _ in found)
        whole = {(role, version) for role in ("targets", "targets/a") for version in range(1, count + 1)}
        whole |= {("root", 1)} if count else set()
        online = {"snapshot", "timestamp"}
        assert {file for file in found if file[0] not in online} == whole, f"stored {sorted(found)}"
        # Their versions may have gaps, as those of the timestamps above.
        assert sum(role == "snapshot" for role, _ in found) == count, f"stored {sorted(found)}"
        return count
