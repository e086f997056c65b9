"""A repository that an operator has put away begins with another root, or not at all."""

from __future__ import annotations

import hashlib

from notary_server.tuf.model import TrustState
from notary_server.tuf.names import ROOT, Gun, Sha256Hex
from notary_server.tuf.refusal import invalid

from .context import Context


async def refuse_old_root(context: Context, gun: Gun, state: TrustState, root: bytes | None) -> None:
    """Whoever still has the old trust data cached would bring the old root back with the next thing they sign, and shut out
    the owner for whom it was put away.

    Args:
        root: the one that is uploaded.

    Raises:
        InvalidUpdate: it was put away.
        StoreUnavailable: the database cannot answer.
    """
    if root is None or ROOT in state.latest:
        return
    if await context.store.root_is_put_away(gun, Sha256Hex(hashlib.sha256(root).hexdigest())):
        raise invalid(
            "ErrBadRoot",
            "this repository was reset, and the old root is no longer taken: remove what you have cached of it (tuf/GUN in your "
            "trust directory) and run it again; if that was a mistake, the operator can undo the reset",
        )
