"""The metadata store over SQL, on Notary's own tables."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from notary_common.database import Database, DatabaseConnectionLost, Session
from notary_common.database.postgres import lock_number
from notary_server.errors import HeadMoved, StoreUnavailable
from notary_server.ports import Change, KeyChange, Repository, StoredFile
from notary_server.tuf.model import FileSummary, NewFile, TrustState
from notary_server.tuf.names import BASE_ROLES, MAX_VERSION, SNAPSHOT, TIMESTAMP, Gun, RoleName, Sha256Hex

from . import put_away, retirements, rows, statements
from .announcing import announce
from .cache import DEFAULT_CACHE_BYTES, CacheReads, FileCache
from .errors import store_errors
from .reader import Reader
from .schema import DELETION, MAX_CHANGE_ID, UPDATE
from .statements import is_storable

LOOKS: Final = 4
"""How often a repository is looked at that is deleted while its files are read. Nearly always twice is enough."""


class SqlStore:
    """Implements `ports.MetadataStore`.

    A Notary 0.7.0 server that writes to the same database takes none of the turns. The unique index (gun, role,
    version) still lets only one of two publishes have its timestamp's version, and so only one of them be stored.
    What does not hold against it: a delete there may leave behind what a commit here adds at that moment, and a
    changefeed record of its may become visible after one with a higher ID.
    """

    def __init__(self, database: Database, cache_bytes: int = DEFAULT_CACHE_BYTES) -> None:
        """`cache_bytes` bounds what is kept in memory of files; 0 keeps none."""
        self._database = database
        self._cache = FileCache(cache_bytes)
        self._reader = Reader(database, self._cache)

    @property
    def reads(self) -> CacheReads:
        """What the cache did for reads since the start."""
        return CacheReads(self._reader.hits, self._reader.misses, self._cache.size, self._cache.limit)

    async def close(self) -> None:
        """Close every connection."""
        await self._reader.close()
        await self._database.close()

    async def current(self, gun: Gun, role: RoleName) -> StoredFile | None:
        """See `MetadataStore.current`."""
        if not self._holds(gun, role):
            return None
        with store_errors():
            found = await self._reader.timestamp(gun)
            if role != TIMESTAMP:
                found = await self._reader.listed(gun, found, SNAPSHOT)
                if role != SNAPSHOT:
                    found = await self._reader.listed(gun, found, role)
        return None if found is None else found.file

    async def current_pair(self, gun: Gun) -> tuple[StoredFile | None, StoredFile | None]:
        """See `MetadataStore.current_pair`."""
        if not self._holds(gun):
            return None, None
        with store_errors():
            timestamp = await self._reader.timestamp(gun)
            snapshot = await self._reader.listed(gun, timestamp, SNAPSHOT)
        return (timestamp.file if timestamp else None), (snapshot.file if snapshot else None)

    async def by_checksum(self, gun: Gun, role: RoleName, sha256: Sha256Hex) -> StoredFile | None:
        """See `MetadataStore.by_checksum`."""
        if not self._holds(gun, role) or len(sha256) != 64 or not sha256.isascii() or "\0" in sha256:
            return None
        with store_errors():
            return await self._reader.by_checksum(gun, role, sha256)

    async def by_version(self, gun: Gun, role: RoleName, version: int) -> StoredFile | None:
        """See `MetadataStore.by_version`. Versions outside 1 to 2^31 - 1 are never stored."""
        if not self._holds(gun, role) or not 1 <= version <= MAX_VERSION:
            return None
        with store_errors():
            return await self._reader.by_version(gun, role, version)

    async def trust_state(self, gun: Gun, roles: Collection[RoleName]) -> TrustState:
        """See `MetadataStore.trust_state`. One statement finds all versions; what it found never changes."""
        if not self._holds(gun):
            return TrustState(gun=gun, latest={}, files={})
        wanted = {*BASE_ROLES, *roles}
        with store_errors():
            for _ in range(LOOKS):
                found = await self._latest(gun)
                latest = {RoleName(row[0]): rows.summary(row[1:]) for row in found}
                files = await self._bodies(gun, {role: latest[role] for role in latest if role in wanted})
                if files is not None:
                    return TrustState(gun=gun, latest=latest, files=files)
        raise StoreUnavailable("this repository is being deleted again and again")

    async def _latest(self, gun: Gun) -> Sequence[Sequence[Any]]:
        try:
            return await self._latest_once(gun)
        except DatabaseConnectionLost:
            # It may have died while it rested; the next one is new.
            return await self._latest_once(gun)

    async def _latest_once(self, gun: Gun) -> Sequence[Sequence[Any]]:
        async with self._database.statement() as session:
            return await session.rows(statements.LATEST, gun=gun)

    async def _bodies(self, gun: Gun, latest: dict[RoleName, FileSummary]) -> dict[RoleName, bytes] | None:
        """The files that were found; None if one of them is there no more."""
        found = await asyncio.gather(
            *(self._reader.of_head(gun, role, (file.version, file.sha256)) for role, file in latest.items())
        )
        files = {role: one.file.data for role, one in zip(latest, found, strict=True) if one is not None}
        return files if len(files) == len(latest) else None

    async def commit(
        self, state: TrustState, files: Sequence[NewFile], keys: KeyChange | None = None
    ) -> None:
        """See `MetadataStore.commit`."""
        if not self._holds(state.gun) or not all(self._holds("", file.role) for file in files):
            raise StoreUnavailable("the database cannot hold this repository's name")
        now = self._now()
        with store_errors():
            async with self._database.transaction(turn=statements.gun_turn(state.gun)) as session:
                store = _store_at_once if session.dialect == "postgresql" else _store
                await store(session, state, files, now)
                if keys is not None:
                    await retirements.keep(session, state.gun, keys)
        for file in files:
            self._cache.put(
                state.gun,
                StoredFile(file.role, file.version, file.sha256, file.data, rows.aware(now), rows.aware(now)),
            )

    async def delete(self, gun: Gun, *, keys_due_ns: int = 0) -> bool:
        """See `MetadataStore.delete`."""
        if not self._holds(gun):
            return False
        with store_errors():
            async with self._database.transaction(turn=statements.gun_turn(gun)) as session:
                roots = await retirements.stored_roots(session, gun)
                if await session.run(statements.DELETE, gun=gun) == 0:
                    return False
                keys = await asyncio.to_thread(retirements.listed_keys, roots)
                await retirements.note(session, gun, keys, keys_due_ns)
                await announce(session, gun, 0, "", DELETION, self._now())
        return True

    async def put_away_root(self, gun: Gun) -> bytes | None:
        """See `MetadataStore.put_away_root`."""
        if not self._holds(gun):
            return None
        with store_errors():
            async with self._database.statement() as session:
                found = await session.rows(put_away.LATEST_ROOT, gun=gun)
        return bytes(found[0][0]) if found else None

    async def root_is_put_away(self, gun: Gun, sha256: Sha256Hex) -> bool:
        """See `MetadataStore.root_is_put_away`."""
        if not self._holds(gun):
            return False
        with store_errors():
            async with self._database.statement() as session:
                return bool((await session.rows(put_away.HAS_ROOT, gun=gun, sha256=sha256))[0][0])

    async def changes(self, gun: Gun | None, change_id: int, records: int) -> list[Change]:
        """See `MetadataStore.changes`."""
        if gun is not None and not self._holds(gun):
            return []
        after = min(max(change_id, 0), MAX_CHANGE_ID)
        order = "after" if records > 0 else "before" if after > 0 else "last"
        query = statements.changes("all" if gun is None else "one", order)
        values = {"gun": gun, "change_id": after, "records": abs(records)}
        with store_errors():
            async with self._database.statement() as session:
                found = [rows.change(row) for row in await session.rows(query, **values)]
        return found if records > 0 else found[::-1]

    async def repositories(self, prefix: str = "") -> list[Repository]:
        """See `MetadataStore.repositories`. Reads every row below `prefix`: for operators, not for requests."""
        if not self._holds(prefix):
            return []
        below = {"prefix": prefix, "length": len(prefix)}
        with store_errors():
            async with self._database.snapshot() as session:
                totals = await session.rows(statements.TOTALS, **below)
                latest: dict[str, dict[RoleName, FileSummary]] = {gun: {} for gun, _, _ in totals}
                for gun, role, *file in await session.rows(statements.LATEST_BELOW, **below):
                    latest[gun][RoleName(role)] = rows.summary(file)
        listed = [
            Repository(gun=Gun(gun), latest=latest[gun], rows=number, size=int(size))
            for gun, number, size in totals
        ]
        return sorted(listed, key=lambda repository: repository.gun)

    async def ping(self) -> None:
        """See `MetadataStore.ping`."""
        with store_errors():
            async with self._database.statement() as session:
                await session.rows(statements.PING)

    def _holds(self, gun: str, role: str = "") -> bool:
        return is_storable(self._database.dialect, gun, role)

    def _now(self) -> datetime:
        """The time as the columns hold it: UTC without saying so. MySQL's would round fractions up and down."""
        now = datetime.now(UTC).replace(tzinfo=None)
        return now.replace(microsecond=0) if self._database.dialect == "mysql" else now


async def _store_at_once(
    session: Session, state: TrustState, files: Sequence[NewFile], now: datetime
) -> None:
    """What `_store` does, in one round trip to PostgreSQL. Raises: HeadMoved."""
    head = state.latest.get(TIMESTAMP)
    stored = await session.run(
        statements.COMMIT_POSTGRES,
        gun=state.gun,
        now=now,
        head=0 if head is None else head.version,
        head_sha256="" if head is None else head.sha256,
        feed=lock_number(statements.FEED_TURN),
        roles=[file.role for file in files],
        versions=[file.version for file in files],
        bodies=[file.data for file in files],
        digests=[file.sha256 for file in files],
    )
    if stored == 0:
        raise HeadMoved("another publish of this repository was first")


async def _store(session: Session, state: TrustState, files: Sequence[NewFile], now: datetime) -> None:
    """Compare with the head, check the versions, insert the files, announce. Raises: HeadMoved."""
    found = await session.rows(statements.HEAD, gun=state.gun, role=TIMESTAMP)
    head = (found[0][0], rows.digest(found[0][1])) if found else None
    seen = state.latest.get(TIMESTAMP)
    if head != (None if seen is None else (seen.version, seen.sha256)):
        raise HeadMoved("another publish of this repository was first")
    for start in range(0, len(files), statements.CHECKS_AT_ONCE):
        some = files[start : start + statements.CHECKS_AT_ONCE]
        values: dict[str, str | int] = {"gun": state.gun}
        for number, file in enumerate(some):
            values |= {f"role{number}": file.role, f"version{number}": file.version}
        if await session.rows(statements.taken(len(some)), **values):
            raise HeadMoved("a file of this or a higher version is stored already")
    await session.run_each(
        statements.INSERT,
        [
            {
                "now": now,
                "gun": state.gun,
                "role": file.role,
                "version": file.version,
                "data": file.data,
                "sha256": file.sha256,
            }
            for file in files
        ],
    )
    timestamp = next(file for file in files if file.role == TIMESTAMP)
    await announce(session, state.gun, timestamp.version, timestamp.sha256, UPDATE, now)
