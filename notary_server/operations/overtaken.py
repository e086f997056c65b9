"""What a refusal of the signer means when another writer was faster.

A signer never goes back to a version below one that it has signed. So it refuses what was planned before another server, or
another process, had the next version signed.
"""

from __future__ import annotations

from notary_server.tuf.model import TrustState
from notary_server.tuf.names import TIMESTAMP

from .context import Context


async def overtaken(context: Context, state: TrustState) -> bool:
    """Whether the repository has another current timestamp than `state`: it is worth planning again.

    Raises:
        StoreUnavailable: the database cannot answer.
    """
    current, seen = await context.store.current(state.gun, TIMESTAMP), state.latest.get(TIMESTAMP)
    return (None if current is None else current.sha256) != (None if seen is None else seen.sha256)
