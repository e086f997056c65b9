"""From the values of Notary's columns to the values of the port."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from notary_server.ports import Change, StoredFile
from notary_server.tuf.model import FileSummary
from notary_server.tuf.names import RoleName, Sha256Hex

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""For rows whose nullable time columns hold nothing."""


def stored_file(row: Sequence[Any]) -> StoredFile:
    """From gun, role, version, sha256, data, created_at, updated_at."""
    _, role, version, sha256, data, created_at, updated_at = row
    return StoredFile(
        role=RoleName(role),
        version=version,
        sha256=digest(sha256),
        data=bytes(data),
        created_at=aware(created_at),
        updated_at=aware(updated_at),
    )


def summary(row: Sequence[Any]) -> FileSummary:
    """From version, sha256, length."""
    version, sha256, length = row
    return FileSummary(version=version, sha256=digest(sha256), length=length)


def change(row: Sequence[Any]) -> Change:
    """From id, created_at, gun, version, sha256, category."""
    number, created_at, gun, version, sha256, category = row
    return Change(
        id=number,
        created_at=aware(created_at),
        gun=gun,
        version=version,
        sha256=digest(sha256),
        category=category,
    )


def digest(value: str | None) -> Sha256Hex:
    """An absent digest is NULL, empty, or, in PostgreSQL's CHAR(64), all spaces: always empty here."""
    return Sha256Hex((value or "").strip())


def aware(value: datetime | None) -> datetime:
    """Columns hold UTC without saying so (a Go program on SQLite says so)."""
    if value is None:
        return _EPOCH
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
