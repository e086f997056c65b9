"""Files that were read or written lately, bounded in bytes.

A file is found by repository, role and digest, and what has that digest never changes, so nothing here can be stale.
Whether a file is still stored, and which one is current, is no question for the cache: the database is asked.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from notary_server.ports import StoredFile
from notary_server.tuf.names import SNAPSHOT, TIMESTAMP, Gun, RoleName, Sha256Hex

from .chain import listed_digests

DEFAULT_CACHE_BYTES: Final = 64 * 1024 * 1024
"""Per process: about 20,000 files of the usual size, or thirty of ten thousand tags."""
FILE_OVERHEAD: Final = 1024
"""Bytes that a kept file costs besides its content: objects, names, the dictionary's slot."""
LISTED_OVERHEAD: Final = 320
"""Bytes that one listed role costs: name, digest, the dictionary's slot."""

Key = tuple[Gun, RoleName, Sha256Hex]


@dataclass(frozen=True, slots=True)
class CacheReads:
    """What a cache did for reads since the start.

    Attributes:
        hits, misses: files that were found whose bytes it had, and those whose bytes the database was asked for.
        size, limit: what the kept files cost, and may cost, in bytes.
    """

    hits: int
    misses: int
    size: int
    limit: int


@dataclass(frozen=True, slots=True)
class CachedFile:
    """A stored file, and what it lists if it is a timestamp or snapshot."""

    file: StoredFile
    lists: Mapping[RoleName, Sha256Hex]


class FileCache:
    """Keeps what was used last. Not for several threads.

    Attributes:
        size, limit: what the kept files cost, and may cost, in bytes.
    """

    def __init__(self, limit: int = DEFAULT_CACHE_BYTES) -> None:
        """`limit` in bytes; 0 keeps nothing."""
        self.limit = limit
        self._files: OrderedDict[Key, tuple[CachedFile, int]] = OrderedDict()
        self._timestamps: dict[Gun, Sha256Hex] = {}
        self.size = 0

    def get(self, key: Key) -> CachedFile | None:
        """The file, if it is kept."""
        found = self._files.get(key)
        if found is None:
            return None
        self._files.move_to_end(key)
        return found[0]

    def timestamp(self, gun: Gun) -> CachedFile | None:
        """The timestamp of `gun` that was kept last. A newer one may be stored."""
        digest = self._timestamps.get(gun)
        return None if digest is None else self.get((gun, TIMESTAMP, digest))

    def put(self, gun: Gun, file: StoredFile) -> CachedFile:
        """Keep a file of `gun`, unless it is too large for that or is not what its digest says."""
        lists = listed_digests(file.data) if file.role in {TIMESTAMP, SNAPSHOT} else {}
        made = CachedFile(file, lists)
        cost = FILE_OVERHEAD + len(file.data) + LISTED_OVERHEAD * len(lists)
        if cost > self.limit or hashlib.sha256(file.data).hexdigest() != file.sha256:
            return made
        key = (gun, file.role, file.sha256)
        known = self._files.pop(key, None)
        if known is not None:
            self.size -= known[1]
        self._files[key] = (made, cost)
        self.size += cost
        if file.role == TIMESTAMP:
            self._timestamps[gun] = file.sha256
        while self.size > self.limit:
            (of, _, digest), (_, freed) = self._files.popitem(last=False)
            self.size -= freed
            if self._timestamps.get(of) == digest:
                del self._timestamps[of]
        return made
