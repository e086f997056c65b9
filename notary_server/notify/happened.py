"""From a changefeed record to the events that it stands for."""

from __future__ import annotations

from notary_server.ports import Change, MetadataStore
from notary_server.storage.chain import listed_digests
from notary_server.storage.schema import DELETION
from notary_server.tuf.names import ROOT, SNAPSHOT, TIMESTAMP, Gun, Sha256Hex

from .cloud_events import Event
from .rotation import rotated


async def events_of(change: Change, store: MetadataStore) -> list[Event]:
    """What to tell of the record, in this order.

    Raises:
        StoreUnavailable: the database cannot answer.
    """
    if change.category == DELETION:
        return [Event(str(change.id), "deleted", change.gun, change.created_at)]
    data = {"version": change.version, "sha256": change.sha256}
    found = [Event(str(change.id), "published", change.gun, change.created_at, data)]
    roles = await _rotated(change, store)
    if roles:
        found.append(
            Event(f"{change.id}-keys", "keys-rotated", change.gun, change.created_at, {"roles": roles})
        )
    return found


async def _rotated(change: Change, store: MetadataStore) -> dict[str, object]:
    """What became of the keys with this publish, as far as the files are still there. Not known of TUF 1.0, whose snapshots
    do not list the root."""
    gun = Gun(change.gun)
    before = await store.changes(gun, change.id, -1)
    if not before or before[-1].category == DELETION:
        return {}
    old, new = [await _root_digest(gun, one.sha256, store) for one in (before[-1], change)]
    if old is None or new is None or old == new:
        return {}
    files = [await store.by_checksum(gun, ROOT, digest) for digest in (old, new)]
    if files[0] is None or files[1] is None:
        return {}
    return dict(rotated(files[0].data, files[1].data))


async def _root_digest(gun: Gun, timestamp: str, store: MetadataStore) -> Sha256Hex | None:
    role, digest = TIMESTAMP, Sha256Hex(timestamp)
    for wanted in (SNAPSHOT, ROOT):
        file = await store.by_checksum(gun, role, digest)
        listed = listed_digests(file.data).get(wanted) if file is not None else None
        if listed is None:
            return None
        role, digest = wanted, listed
    return digest
