"""What the doctor asks of a database, of every kind: it leaves nothing, and its figures are of this world."""

from __future__ import annotations

from notary_common.database import Database
from notary_server.doctor import examination
from notary_server.storage.sql_store import SqlStore


async def test_every_database_is_well(database: Database, store: SqlStore) -> None:
    """Tables, a row that is taken back, the clock, and room for connections where there is a limit."""
    assert (await examination._tables(database)).status == "ok"
    written = await examination._writes(database)
    assert written.status == "ok", written
    assert await store.repositories("") == []
    if database.dialect in examination._CLOCKS:
        assert (await examination._clock(database)).status == "ok"
        room = await examination._room(database, 10)
        assert room.status == "ok", room
        assert (await examination._room(database, 100_000)).status == "warning"
