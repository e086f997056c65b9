"""The key registry as an import from an old signer needs it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import sqlalchemy as sa

from notary_common.database import Database, Query, among
from notary_common.wire import OnlineRole
from notary_signer.ports import KeyRecord, NewKey

from .rows import COLUMNS, KEYS, now, record, translated
from .schema import ENCRYPTION_ALG, KEEPING, UNWRAPPED, private_keys

_IMPORTED: Final = (
    KEYS.created_at,
    KEYS.updated_at,
    KEYS.key_id,
    KEYS.encryption_alg,
    KEYS.keywrap_alg,
    KEYS.algorithm,
    KEYS.passphrase_alias,
    KEYS.public,
    KEYS.private,
    KEYS.gun,
    KEYS.role,
    KEYS.last_used,
)
_KNOWN: Final = Query(lambda kind: sa.select(*COLUMNS).where(among(KEYS.key_id, "key_ids", kind)))
_ADD: Final = Query(
    lambda _: private_keys.insert().values(
        {column.name: sa.bindparam(column.name, type_=column.type) for column in _IMPORTED}
    )
)


@dataclass(frozen=True, slots=True)
class ImportedKey:
    """A key that is in the token now, and what its old row said; times in UTC (aware)."""

    key: NewKey
    gun: str
    role: OnlineRole
    created_at: datetime | None
    last_used: datetime | None


class SqlImports:
    """Implements `takeover.import_keys.ImportingRegistry`. Whoever opened the database closes it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def known(self, key_ids: Sequence[str]) -> dict[str, KeyRecord | None]:
        """See `ImportingRegistry.known`."""
        async with translated(), self._database.statement() as session:
            found = await session.rows(_KNOWN, key_ids=list(key_ids))
        return {str(row[0]): record(row) if row[3] in KEEPING else None for row in found}

    async def add_imported(self, keys: Sequence[ImportedKey]) -> None:
        """See `ImportingRegistry.add_imported`."""
        if keys:
            async with translated(), self._database.transaction() as session:
                await session.run_each(_ADD, [_values(key) for key in keys])


def _values(imported: ImportedKey) -> dict[str, object]:
    key, private = imported.key, imported.key.private
    return {
        "created_at": _naive(imported.created_at) or now(),
        # A key that never signed counts as just heard of, or it would soon be collected as abandoned.
        "updated_at": now(),
        "key_id": key.key_id,
        "encryption_alg": ENCRYPTION_ALG[private.keeping],
        "keywrap_alg": private.keywrap if private.keeping == "wrapped" else UNWRAPPED,
        "algorithm": key.algorithm,
        "passphrase_alias": private.kek_label,
        "public": key.public,
        "private": private.blob,
        "gun": imported.gun,
        "role": imported.role,
        "last_used": _naive(imported.last_used),
    }


def _naive(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.astimezone(UTC).replace(tzinfo=None)
