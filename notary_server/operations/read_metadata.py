"""Read stored metadata; what the server itself signs is renewed first where it has expired (docs/reference/protocol.md, 11 and 12)."""

from __future__ import annotations

from notary_server.errors import MetadataNotFound
from notary_server.ports import StoredFile
from notary_server.tuf.names import MAX_VERSION, SNAPSHOT, TIMESTAMP, Gun, RoleName, Sha256Hex

from . import reseal
from .context import Context

__all__ = ["StoredFile", "by_checksum", "by_version", "current"]


async def current(context: Context, gun: Gun, role: RoleName) -> StoredFile:
    """The current file of a role.

    Raises:
        MetadataNotFound: there is none.
        StoreUnavailable: the database cannot answer.
        SignerUnavailable: the timestamp or snapshot has expired and the signer cannot be asked for a new one.
    """
    if role not in {SNAPSHOT, TIMESTAMP}:
        return _found(await context.store.current(gun, role))
    timestamp, wanted = await _online(context, gun, role)
    if await reseal.is_due(context, gun, _found(timestamp)):
        await reseal.reseal(context, gun)
        _, wanted = await _online(context, gun, role)
    return _found(wanted)


async def _online(context: Context, gun: Gun, role: RoleName) -> tuple[StoredFile | None, StoredFile | None]:
    """The current timestamp and, of the same look, the file of `role`: that timestamp or its snapshot."""
    if role == SNAPSHOT:
        return await context.store.current_pair(gun)
    timestamp = await context.store.current(gun, TIMESTAMP)
    return timestamp, timestamp


async def by_checksum(context: Context, gun: Gun, role: RoleName, digest: str) -> StoredFile:
    """The file of that digest in lower-case hexadecimal; only SHA-256 is ever found.

    Raises:
        MetadataNotFound: there is none.
        StoreUnavailable: the database cannot answer.
    """
    if len(digest) != 64 or digest != digest.lower():
        raise _not_found()
    return _found(await context.store.by_checksum(gun, role, Sha256Hex(digest)))


async def by_version(context: Context, gun: Gun, role: RoleName, digits: str) -> StoredFile:
    """The file of that version, given in decimal digits; leading zeros are allowed.

    Raises:
        MetadataNotFound: there is none.
        StoreUnavailable: the database cannot answer.
    """
    significant = digits.lstrip("0")
    if not significant or len(significant) > len(str(MAX_VERSION)) or int(significant) > MAX_VERSION:
        raise _not_found()
    return _found(await context.store.by_version(gun, role, int(significant)))


def _found(stored: StoredFile | None) -> StoredFile:
    if stored is None:
        raise _not_found()
    return stored


def _not_found() -> MetadataNotFound:
    return MetadataNotFound("You have requested metadata that does not exist.", {})
