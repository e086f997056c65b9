"""Delete a repository: all its metadata, and in time the keys that signed it (docs/reference/protocol.md, 13)."""

from __future__ import annotations

import asyncio

from notary_server.tuf.instant import SECOND
from notary_server.tuf.names import Gun

from .context import Context


async def delete(context: Context, gun: Gun) -> bool:
    """Remove every file of exactly this GUN; whether there was any. The signer is not needed for it.

    Raises:
        StoreUnavailable: the database cannot answer.
    """
    keys_due_ns = context.clock.now_ns() + context.key_grace * SECOND
    return await asyncio.shield(context.store.delete(gun, keys_due_ns=keys_due_ns))
