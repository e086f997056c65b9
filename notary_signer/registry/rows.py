"""Rows of the table as records, and errors of the database as the signer's own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Final

import sqlalchemy as sa

from notary_common.database import DatabaseError
from notary_signer.errors import RegistryUnavailable
from notary_signer.ports import KeyRecord, PrivatePart

from .schema import KEEPING, OURS, private_keys

KEYS: Final = private_keys.c
HELD: Final = sa.and_(OURS, KEYS.deleted_at.is_(None))
"""Keys that may sign."""
COLUMNS: Final = (
    KEYS.key_id,
    KEYS.algorithm,
    KEYS.public,
    KEYS.encryption_alg,
    KEYS.passphrase_alias,
    KEYS.private,
    KEYS.keywrap_alg,
    KEYS.gun,
    KEYS.role,
    KEYS.last_used,
    KEYS.deleted_at,
    KEYS.destroyed_at,
    KEYS.highest_version,
    KEYS.dialect,
)
"""What `record` takes apart, in this order."""


def now() -> datetime:
    """This moment, as the table has it."""
    return datetime.now(UTC).replace(tzinfo=None)


def aware(moment: datetime | None) -> datetime | None:
    """A time of the table for the rest of the program."""
    return None if moment is None else moment.replace(tzinfo=UTC)


def record(row: Sequence[Any]) -> KeyRecord:
    """A row of `COLUMNS`."""
    key_id, algorithm, public, encryption, kek_label, blob, keywrap, gun, role, *rest = row
    last_used, deleted_at, destroyed_at, highest_version, dialect = rest
    keeping = KEEPING[encryption]
    wrapped = PrivatePart(keeping, kek_label, bytes(blob), keywrap)
    return KeyRecord(
        key_id=key_id,
        algorithm=algorithm,
        public=bytes(public),
        private=wrapped if keeping == "wrapped" else PrivatePart(keeping, "", b""),
        gun=gun,
        role=role,
        last_used=aware(last_used),
        deleted_at=aware(deleted_at),
        destroyed_at=aware(destroyed_at),
        highest_version=highest_version,
        # Before dialects were noted there was one.
        dialect=dialect if dialect is not None or last_used is None else "notary",
    )


@asynccontextmanager
async def translated() -> AsyncIterator[None]:
    """Every error of the database inside leaves as the signer's own."""
    try:
        yield
    except DatabaseError as error:
        raise RegistryUnavailable("the key registry cannot be used right now") from error
