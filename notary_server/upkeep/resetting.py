"""Put a repository away, or bring it back: from opening the database to closing it."""

from __future__ import annotations

from notary_common.database import DatabaseTarget
from notary_server.inspection.whole import opened
from notary_server.repository_report import read_repository
from notary_server.storage import put_away
from notary_server.storage.sql_store import SqlStore
from notary_server.tuf.names import ROOT, Gun
from notary_server.tuf10.names import is_standard

from .reset import Reset


async def reset(target: DatabaseTarget, gun: str, now_ns: int | None) -> Reset | None:
    """Put it away; None if nothing is stored of it.

    Args:
        now_ns: when, in nanoseconds since 1970-01-01T00:00:00Z; None: only look.

    Raises:
        StoreUnavailable: the database cannot do it; nothing has changed.
    """
    name = Gun(gun)
    async with opened(target) as database:
        store = SqlStore(database, 0)
        report = await read_repository(store, name)
        if report is None:
            return None
        standard = is_standard((await store.trust_state(name, ())).files.get(ROOT))
        if now_ns is None:
            rows = await put_away.count(database, name)
        else:
            rows = await put_away.put_away(database, name, now_ns)
    return Reset(gun, now_ns is None, rows, report, standard) if rows else None


async def undo(target: DatabaseTarget, gun: str) -> int:
    """Bring it back; how many files. Raises: see `put_away.bring_back`."""
    async with opened(target) as database:
        return await put_away.bring_back(database, Gun(gun))
