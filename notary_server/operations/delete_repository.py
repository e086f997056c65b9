"""Delete a repository: all its metadata; the signer's keys stay (docs/reference/protocol.md, 13)."""

from __future__ import annotations

import asyncio

from notary_server.tuf.names import Gun

from .context import Context


async def delete(context: Context, gun: Gun) -> bool:
    """Remove every file of exactly this GUN; whether there was any.

    Raises:
        StoreUnavailable: the database cannot answer.
    """
    return await asyncio.shield(context.store.delete(gun))
