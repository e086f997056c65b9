"""The public halves of the keys that the server signs with (docs/reference/protocol.md, 15)."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from notary_server.tuf.model import HeldKey
from notary_server.tuf.names import ROOT, Gun, KeyId, RoleName
from notary_server.tuf.online import listed
from notary_server.tuf.parse import ParseError, parse_root
from notary_server.tuf10 import online as standard
from notary_server.tuf10.file import BadFileError, StandardFile
from notary_server.tuf10.names import is_standard
from notary_server.tuf10.online import in_standard_form

from .context import Context
from .off_loop import off_loop

__all__ = ["HeldKey", "get", "get_standard", "in_standard_form", "rotate"]


async def get(context: Context, gun: Gun, role: RoleName) -> HeldKey:
    """The key in use for `role` of `gun`; for a repository that uses none of ours, one that is ready to be used.

    Raises:
        StoreUnavailable, SignerUnavailable, SignerRefused: one of the two cannot answer.
    """
    return await _used(context, gun, role, await _listed_in_root(context, gun, role))


async def get_standard(context: Context, gun: Gun, role: RoleName) -> HeldKey:
    """The same for a repository of TUF 1.0 metadata, or one that is to be.

    Raises:
        StoreUnavailable, SignerUnavailable, SignerRefused: one of the two cannot answer.
    """
    # No snapshot of TUF 1.0 lists the root: the latest one is the current one.
    data = (await context.store.trust_state(gun, ())).files.get(ROOT)
    if data is None:
        data = await context.store.put_away_root(gun)
    wanted: list[KeyId] = []
    if data is not None and is_standard(data):
        with suppress(BadFileError):
            wanted = [computed for _, computed in standard.listed(StandardFile(ROOT, data).root(), role)]
    return await _used(context, gun, role, wanted)


async def _used(context: Context, gun: Gun, role: RoleName, wanted: Sequence[KeyId]) -> HeldKey:
    held = await context.signer.describe_keys(wanted) if wanted else {}
    for candidate in wanted:
        key = held.get(candidate)
        # A root may list another repository's key; that one never signs here.
        if key is not None and key.gun == gun and key.role == role:
            return key
    return await rotate(context, gun, role)


async def rotate(context: Context, gun: Gun, role: RoleName) -> HeldKey:
    """A key that has never signed; nothing else changes until a root that lists it is published.

    Raises:
        SignerUnavailable, SignerRefused: the signer cannot make one.
    """
    return await context.signer.create_key(gun, role, context.algorithm)


async def _listed_in_root(context: Context, gun: Gun, role: RoleName) -> list[KeyId]:
    stored = await context.store.current(gun, ROOT)
    # Whoever publishes a repository anew that was put away is given the same keys: versions go on above what they signed,
    # and nobody who has seen it before is told of a rollback (docs/adr/0050).
    data = await context.store.put_away_root(gun) if stored is None else stored.data
    if data is None:
        return []
    try:
        root = (await off_loop(len(data), parse_root, data)).body
    except ParseError:
        return []
    return [computed for _, computed, _ in listed(root, role)]
