"""The metadata store over SQLite and PostgreSQL, on Notary's own tables."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from notary_common.database import is_postgres, snapshot, statement, transaction
from notary_server.errors import HeadMoved, StoreUnavailable
from notary_server.ports import Change, Repository, StoredFile
from notary_server.tuf.model import FileSummary, NewFile, TrustState
from notary_server.tuf.names import BASE_ROLES, MAX_VERSION, SNAPSHOT, TIMESTAMP, Gun, RoleName, Sha256Hex

from . import statements
from .chain import listed_digest
from .errors import store_errors
from .schema import CHANGEFEED, DELETION, MAX_ID, TUF_FILES, UPDATE
from .statements import is_storable

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""For rows whose nullable time columns hold nothing."""


class SqlStore:
    """Implements `ports.MetadataStore`.

    Attributes:
        engine: what it was made with; closed by `close`.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        """`engine` comes from `notary_common.database.create_engine`."""
        self.engine = engine

    async def close(self) -> None:
        """Close every connection."""
        await self.engine.dispose()

    async def current(self, gun: Gun, role: RoleName) -> StoredFile | None:
        """See `MetadataStore.current`.

        The highest versions of timestamp, snapshot and role come in one statement. Nearly always they are the
        listed ones; where they are not, the chain is followed within one snapshot of the database.
        """
        if not is_storable(gun, role):
            return None
        with store_errors():
            if role == TIMESTAMP:
                return await self._one(statements.LATEST_ONE, gun=gun, role=role)
            found = await self._latest_chain(gun, role)
            if TIMESTAMP not in found:
                return None
            file, settled = _follow(found, role)
            return file if settled else await self._listed(gun, role)

    async def by_checksum(self, gun: Gun, role: RoleName, sha256: Sha256Hex) -> StoredFile | None:
        """See `MetadataStore.by_checksum`."""
        if not is_storable(gun, role) or len(sha256) != 64 or not sha256.isascii() or "\0" in sha256:
            return None
        with store_errors():
            return await self._one(statements.BY_CHECKSUM, gun=gun, role=role, sha256=sha256)

    async def by_version(self, gun: Gun, role: RoleName, version: int) -> StoredFile | None:
        """See `MetadataStore.by_version`. Versions outside 1 to 2^31 - 1 are never stored."""
        if not is_storable(gun, role) or not 1 <= version <= MAX_VERSION:
            return None
        with store_errors():
            return await self._one(statements.BY_VERSION, gun=gun, role=role, version=version)

    async def trust_state(self, gun: Gun, roles: Collection[RoleName]) -> TrustState:
        """See `MetadataStore.trust_state`. One statement, so one consistent look."""
        latest: dict[RoleName, FileSummary] = {}
        files: dict[RoleName, bytes] = {}
        wanted = {*BASE_ROLES, *(role for role in roles if is_storable("", role))}
        if is_storable(gun):
            with store_errors():
                async with statement(self.engine) as connection:
                    rows = await connection.execute(
                        statements.TRUST_STATE, {"gun": gun, "wanted": sorted(wanted)}
                    )
                    for row in rows:
                        role = RoleName(row.role)
                        latest[role] = _summary(row)
                        if row.data is not None:
                            files[role] = bytes(row.data)
        return TrustState(gun=gun, latest=latest, files=files)

    async def commit(self, state: TrustState, files: Sequence[NewFile]) -> None:
        """See `MetadataStore.commit`."""
        if not is_storable(state.gun) or not all(is_storable("", file.role) for file in files):
            raise StoreUnavailable("the database cannot hold this repository's name")
        with store_errors():
            async with transaction(self.engine) as connection:
                await self._lock(connection, statements.gun_lock(state.gun))
                await _compare(connection, state, files)
                now = _utc_now()
                await connection.execute(
                    TUF_FILES.insert(), [_file_row(state.gun, file, now) for file in files]
                )
                for file in files:
                    if file.role == TIMESTAMP:
                        await self._announce(connection, state.gun, file.version, file.sha256, UPDATE, now)

    async def delete(self, gun: Gun) -> bool:
        """See `MetadataStore.delete`."""
        if not is_storable(gun):
            return False
        with store_errors():
            async with transaction(self.engine) as connection:
                await self._lock(connection, statements.gun_lock(gun))
                removed = await connection.execute(TUF_FILES.delete().where(TUF_FILES.c.gun == gun))
                if removed.rowcount == 0:
                    return False
                await self._announce(connection, gun, 0, "", DELETION, _utc_now())
        return True

    async def changes(self, gun: Gun | None, change_id: int, records: int) -> list[Change]:
        """See `MetadataStore.changes`."""
        if gun is not None and not is_storable(gun):
            return []
        bounded = min(max(change_id, 0), MAX_ID)
        with store_errors():
            async with statement(self.engine) as connection:
                rows = (await connection.execute(statements.changes(gun, bounded, records))).all()
        found = [
            Change(
                id=row.id,
                created_at=_aware(row.created_at),
                gun=row.gun,
                version=row.version,
                sha256=_digest(row.sha256),
                category=row.category,
            )
            for row in rows
        ]
        return found if records > 0 else found[::-1]

    async def repositories(self, prefix: str = "") -> list[Repository]:
        """See `MetadataStore.repositories`. Reads every row below `prefix`: for operators, not for requests."""
        if not is_storable(prefix):
            return []
        with store_errors():
            async with snapshot(self.engine) as connection:
                totals = (await connection.execute(statements.repository_totals(prefix))).all()
                latest: dict[str, dict[RoleName, FileSummary]] = {row.gun: {} for row in totals}
                for row in await connection.execute(statements.repository_files(prefix)):
                    latest[row.gun][RoleName(row.role)] = _summary(row)
        listed = [
            Repository(gun=Gun(row.gun), latest=latest[row.gun], rows=row.rows, size=int(row.size))
            for row in totals
        ]
        return sorted(listed, key=lambda repository: repository.gun)

    async def ping(self) -> None:
        """See `MetadataStore.ping`."""
        with store_errors():
            async with statement(self.engine) as connection:
                await connection.execute(sa.select(TUF_FILES.c.id).limit(1))

    async def _one(self, query: sa.Select[Any], **values: str | int) -> StoredFile | None:
        async with statement(self.engine) as connection:
            row = (await connection.execute(query, values)).first()
        return None if row is None else _stored(row)

    async def _latest_chain(self, gun: Gun, role: RoleName) -> dict[RoleName, StoredFile]:
        names = {"timestamp": TIMESTAMP, "snapshot": SNAPSHOT, "role": role}
        query = statements.LATEST_THREE
        if role == SNAPSHOT:
            query = statements.LATEST_TWO
            del names["snapshot"]
        async with statement(self.engine) as connection:
            rows = await connection.execute(query, {"gun": gun, **names})
            return {RoleName(row.role): _stored(row) for row in rows}

    async def _listed(self, gun: Gun, role: RoleName) -> StoredFile | None:
        """Follow the listed digests from the timestamp, all in one snapshot of the database."""
        steps = (SNAPSHOT,) if role == SNAPSHOT else (SNAPSHOT, role)
        async with snapshot(self.engine) as connection:
            row = (await connection.execute(statements.LATEST_ONE, {"gun": gun, "role": TIMESTAMP})).first()
            for step in steps:
                digest = None if row is None else listed_digest(bytes(row.data), step)
                if digest is None:
                    return None
                row = (
                    await connection.execute(
                        statements.BY_CHECKSUM, {"gun": gun, "role": step, "sha256": digest}
                    )
                ).first()
        return None if row is None else _stored(row)

    async def _lock(self, connection: AsyncConnection, key: int) -> None:
        """Wait for an advisory lock. SQLite needs none: its writing transactions exclude each other."""
        if is_postgres(self.engine):
            await connection.execute(statements.LOCK, {"key": key})

    async def _announce(
        self, connection: AsyncConnection, gun: Gun, version: int, sha256: str, category: str, now: datetime
    ) -> None:
        """Write a changefeed record as the transaction's last step.

        The lock is held from before the ID is drawn until the commit, so IDs become visible in their order and
        a consumer never passes one that is still to come.
        """
        await self._lock(connection, statements.FEED_LOCK)
        await connection.execute(
            CHANGEFEED.insert(),
            {"created_at": now, "gun": gun, "version": version, "sha256": sha256, "category": category},
        )


async def _compare(connection: AsyncConnection, state: TrustState, files: Sequence[NewFile]) -> None:
    """Raises: HeadMoved."""
    row = (await connection.execute(statements.HEAD, {"gun": state.gun, "role": TIMESTAMP})).first()
    head = None if row is None else (row.version, _digest(row.sha256))
    seen = state.latest.get(TIMESTAMP)
    if head != (None if seen is None else (seen.version, seen.sha256)):
        raise HeadMoved("another publish of this repository was first")
    versions = [(file.role, file.version) for file in files]
    for start in range(0, len(versions), statements.CHECKS_AT_ONCE):
        some = versions[start : start + statements.CHECKS_AT_ONCE]
        if (await connection.execute(statements.conflicts(state.gun, some))).first() is not None:
            raise HeadMoved("a file of this or a higher version is stored already")


def _follow(found: Mapping[RoleName, StoredFile], role: RoleName) -> tuple[StoredFile | None, bool]:
    """Whether the latest files answer the question, and the answer: (file or None, settled)."""
    digest = listed_digest(found[TIMESTAMP].data, SNAPSHOT)
    if digest is None:
        return None, True
    listed = found.get(SNAPSHOT)
    if listed is None or listed.sha256 != digest:
        return None, False
    if role == SNAPSHOT:
        return listed, True
    digest = listed_digest(listed.data, role)
    if digest is None:
        return None, True
    file = found.get(role)
    return file, file is not None and file.sha256 == digest


def _file_row(gun: Gun, file: NewFile, now: datetime) -> dict[str, object]:
    return {
        "created_at": now,
        "updated_at": now,
        "gun": gun,
        "role": file.role,
        "version": file.version,
        "data": file.data,
        "sha256": file.sha256,
    }


def _stored(row: Row[Any]) -> StoredFile:
    return StoredFile(
        role=RoleName(row.role),
        version=row.version,
        sha256=_digest(row.sha256),
        data=bytes(row.data),
        created_at=_aware(row.created_at),
        updated_at=_aware(row.updated_at),
    )


def _summary(row: Row[Any]) -> FileSummary:
    return FileSummary(version=row.version, sha256=_digest(row.sha256), length=row.length)


def _digest(value: str | None) -> Sha256Hex:
    """An absent digest is NULL, empty, or, in PostgreSQL's CHAR(64), all spaces: always empty here."""
    return Sha256Hex((value or "").strip())


def _aware(value: datetime | None) -> datetime:
    """Columns hold UTC without saying so (a Go program on SQLite says so)."""
    if value is None:
        return _EPOCH
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _utc_now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)
