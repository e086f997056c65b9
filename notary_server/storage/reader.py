"""Reading single files: what is current or stored is asked of the database on every read, bytes are asked for once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from notary_common.database import Database, Session
from notary_server.ports import StoredFile
from notary_server.tuf.names import TIMESTAMP, Gun, RoleName, Sha256Hex

from . import rows, statements
from .cache import CachedFile, FileCache
from .lane import Lane

HeadKey = tuple[Gun, RoleName, int]
"""Asks for the highest stored version that is not above this one."""
TimestampKey = tuple[Gun, Sha256Hex]
"""Asks for the timestamp of the highest version; its bytes are wanted unless they have this digest."""
FileKey = tuple[Gun, RoleName, Sha256Hex]
Head = tuple[int, Sha256Hex]
"""Version and digest of a stored file."""
FoundTimestamp = tuple[Head, StoredFile | None]
"""A timestamp's head, and the file where it was wanted."""

_SIZES: Final = (1, 4, 16, statements.HEADS_AT_ONCE)
"""For how many questions there is a statement, where each number of them needs its own."""


class Reader:
    """Finds files. Questions of readers at the same time travel together (`lane`).

    Attributes:
        hits, misses: files that were found whose bytes the cache had, and those whose bytes the database was asked for.
    """

    def __init__(self, database: Database, cache: FileCache) -> None:
        """The cache is shared with whoever stores files."""
        self._cache = cache
        self._heads: Lane[HeadKey, Head] = Lane(database, _look_for_heads, statements.HEADS_AT_ONCE)
        self._timestamps: Lane[TimestampKey, FoundTimestamp] = Lane(
            database, _look_for_timestamps, statements.HEADS_AT_ONCE
        )
        self._files: Lane[FileKey, StoredFile] = Lane(database, _look_for_files, statements.FILES_AT_ONCE)
        self._database = database
        self.hits = 0
        self.misses = 0

    async def close(self) -> None:
        """End; reads that are under way fail."""
        await self._heads.close()
        await self._timestamps.close()
        await self._files.close()

    async def timestamp(self, gun: Gun) -> CachedFile | None:
        """The timestamp of the highest version."""
        known = self._cache.timestamp(gun)
        found = await self._timestamps.ask((gun, Sha256Hex("") if known is None else known.file.sha256))
        if found is None:
            return None
        (version, _), file = found
        if file is not None:
            return self._fetched(gun, file)
        if known is not None and known.file.version == version:
            self.hits += 1
            return known
        return await self.of_head(gun, TIMESTAMP, found[0])

    async def listed(self, gun: Gun, lister: CachedFile | None, role: RoleName) -> CachedFile | None:
        """The file of `role` that a timestamp or snapshot lists."""
        digest = None if lister is None else lister.lists.get(role)
        return None if digest is None else await self._by_digest((gun, role, digest))

    async def by_version(self, gun: Gun, role: RoleName, version: int) -> StoredFile | None:
        """The file of exactly that version."""
        head = await self._heads.ask((gun, role, version))
        if head is None or head[0] != version:
            return None
        found = await self.of_head(gun, role, head)
        return None if found is None else found.file

    async def by_checksum(self, gun: Gun, role: RoleName, sha256: Sha256Hex) -> StoredFile | None:
        """The file of exactly that digest, if it is still stored."""
        cached = self._cache.get((gun, role, sha256))
        if cached is not None:
            version = cached.file.version
            if await self._heads.ask((gun, role, version)) == (version, sha256):
                self.hits += 1
                return cached.file
        # Also where the same bytes have come back under another version.
        found = await self._fetch((gun, role, sha256))
        return None if found is None else found.file

    async def of_head(self, gun: Gun, role: RoleName, head: Head) -> CachedFile | None:
        """The file that a look-up has found; None if it has been deleted since."""
        version, sha256 = head
        if sha256:
            found = await self._by_digest((gun, role, sha256))
            if found is None or found.file.version == version:
                return found
        # A row without a digest, or the same bytes in two versions.
        async with self._database.statement() as session:
            some = await session.rows(statements.FILE, gun=gun, role=role, version=version)
        return self._fetched(gun, rows.stored_file(some[0])) if some else None

    async def _by_digest(self, key: FileKey) -> CachedFile | None:
        cached = self._cache.get(key)
        if cached is None:
            return await self._fetch(key)
        self.hits += 1
        return cached

    async def _fetch(self, key: FileKey) -> CachedFile | None:
        file = await self._files.ask(key)
        return None if file is None else self._fetched(key[0], file)

    def _fetched(self, gun: Gun, file: StoredFile) -> CachedFile:
        self.misses += 1
        return self._cache.put(gun, file)


async def _look_for_heads(session: Session, asked: Sequence[HeadKey]) -> Mapping[HeadKey, Head]:
    guns, roles, versions = zip(*asked, strict=True)
    if session.dialect == "postgresql":
        found = await session.rows(statements.HEADS_POSTGRES, guns=guns, roles=roles, versions=versions)
    else:
        size = next(size for size in _SIZES if size >= len(asked))
        values: dict[str, str | int] = {}
        for number in range(size):
            gun, role, version = asked[min(number, len(asked) - 1)]
            values |= {f"gun{number}": gun, f"role{number}": role, f"version{number}": version}
        # What fills the statement up repeats the last question; so do the answers.
        found = [
            (min(number, len(asked) - 1), version, sha256)
            for number, version, sha256 in await session.rows(statements.heads(size), **values)
        ]
    return {asked[number]: (version, rows.digest(sha256)) for number, version, sha256 in found}


async def _look_for_timestamps(
    session: Session, asked: Sequence[TimestampKey]
) -> Mapping[TimestampKey, FoundTimestamp]:
    guns, known = zip(*asked, strict=True)
    if session.dialect == "postgresql":
        found = await session.rows(statements.TIMESTAMPS_POSTGRES, guns=guns, known=known)
    else:
        size = next(size for size in _SIZES if size >= len(asked))
        # What fills the statement up repeats the last question; so do the answers.
        filled = [asked[min(number, len(asked) - 1)] for number in range(size)]
        values: dict[str, str] = {}
        for number, (gun, digest) in enumerate(filled):
            values |= {f"gun{number}": gun, f"known{number}": digest}
        found = await session.rows(statements.timestamps(size), **values)
    answers: dict[TimestampKey, FoundTimestamp] = {}
    for number, *row in found:
        key = asked[min(number, len(asked) - 1)]
        _, version, sha256, data, _, _ = row
        file = None if data is None else rows.stored_file((key[0], *row))
        answers[key] = (version, rows.digest(sha256)), file
    return answers


async def _look_for_files(session: Session, asked: Sequence[FileKey]) -> Mapping[FileKey, StoredFile]:
    guns, roles, digests = (sorted(set(names)) for names in zip(*asked, strict=True))
    found: dict[FileKey, StoredFile] = {}
    for row in await session.rows(statements.FILES, guns=guns, roles=roles, digests=digests):
        file = rows.stored_file(row)
        key = (Gun(row[0]), file.role, file.sha256)
        known = found.get(key)
        if known is None or known.version < file.version:
            found[key] = file
    return found
