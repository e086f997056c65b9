"""A publish from end to end that leaves nothing stored: real signer and rules, a database in memory, an owner of the moment."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from securesystemslib.signer import CryptoSigner, Key
from tuf.api.metadata import Metadata, Root, Targets

from notary_common.database import open_database, parse_url
from notary_common.migrate import upgrade_open
from notary_server.errors import NotaryError
from notary_server.operations.context import Context
from notary_server.operations.keys import get_standard, in_standard_form
from notary_server.operations.publish import publish
from notary_server.storage.sql_store import SqlStore
from notary_server.tuf.names import ROOT, SNAPSHOT, TARGETS, TIMESTAMP, Gun
from notary_server.tuf10.file import StandardFile

GUN: Final = Gun("notary-doctor")
"""Under which the signer makes two keys, unless another name is given."""


async def rehearse(context: Context, gun: Gun) -> None:
    """Publish root and targets of TUF 1.0, and have snapshot and timestamp signed; then have the two keys retired.

    Raises:
        NotaryError: as for a publisher.
    """
    async with _in_memory() as store:
        here = replace(context, store=store)
        held = [await get_standard(here, gun, role) for role in (SNAPSHOT, TIMESTAMP)]
        try:
            owner = CryptoSigner.generate_ecdsa()
            expires = (datetime.now(UTC) + timedelta(days=1)).replace(microsecond=0)
            root, targets = Root(expires=expires), Targets(expires=expires)
            for role in (ROOT, TARGETS):
                root.add_key(owner.public_key, role)
            for key in held:
                form = in_standard_form(key)
                root.add_key(Key.from_dict(form.keyid, dict(form.document)), key.role)
            files = [
                StandardFile(ROOT, _signed(Metadata(root), owner)),
                StandardFile(TARGETS, _signed(Metadata(targets), owner)),
            ]
            await publish(here, gun, files)
        finally:
            # Who may not retire keys has been told so by the check of the signer, or loses nothing but two rows.
            with suppress(NotaryError):
                for key in held:
                    await context.signer.retire_key(gun, key.key_id)


def _signed(metadata: Metadata[Any], owner: CryptoSigner) -> bytes:
    metadata.sign(owner)
    return metadata.to_bytes()


@asynccontextmanager
async def _in_memory() -> AsyncIterator[SqlStore]:
    database = open_database(parse_url("memory", "", Path()))
    store = SqlStore(database)
    try:
        await upgrade_open(database, "server", lambda _: None)
        yield store
    finally:
        await store.close()
