"""How long reads survive the loss of every signer: as long as the stored timestamps live, and what is served afterwards."""

from __future__ import annotations

import hashlib
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.notary_cli import Person, TrustServer
from tests.publisher import Client
from tests.support.stack import Stack

from .repository import Repository
from .rig import Rig

pytestmark = pytest.mark.faults

GUN = "example.com/signer/away"


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """Signer and server, running."""
    made = Stack(tmp_path / "stack")
    try:
        made.start()
        yield made
    finally:
        made.destroy()


def _end_timestamps(database: Path) -> None:
    """Let every stored timestamp have expired, as if the signer had been away for longer than a timestamp lives."""
    with sqlite3.connect(database, timeout=30) as connection:
        for row, data in connection.execute(
            "SELECT id, data FROM tuf_files WHERE role = 'timestamp'"
        ).fetchall():
            past, count = re.subn(rb'"expires":"[0-9]{4}', b'"expires":"2020', data)
            assert count == 1
            connection.execute(
                "UPDATE tuf_files SET data = ?, sha256 = ? WHERE id = ?",
                (past, hashlib.sha256(past).hexdigest(), row),
            )


def test_reads_last_as_long_as_the_timestamp(stack: Stack, tmp_path: Path) -> None:
    """Reading goes on without a signer until the timestamp has expired; then 503 until a signer is back, nothing stale."""
    server, client = TrustServer(stack.url, stack.ca_file), Client(stack.url, str(stack.ca_file))
    owner = Person(tmp_path / "owner", server)
    owner.notary("init", GUN)
    content = owner.file("v1", "content")
    owner.notary("add", GUN, "v1", content)
    owner.notary("publish", GUN)
    stack.signer.kill()

    cached = Person(tmp_path / "cached", server)
    assert set(cached.listed(GUN)) == {"v1"}
    cached.notary("verify", GUN, "v1", "-i", content)
    owner.notary("add", GUN, "v2", content)
    assert "unable to reach trust server at this time: 503" in owner.refused("publish", GUN)

    _end_timestamps(stack.folder / "server.sqlite3")
    for role in ("timestamp.json", "snapshot.json"):
        reply = client.role(GUN, role)
        assert (reply.status, reply.code, reply.headers.get("retry-after")) == (503, "UNAVAILABLE", "5")
    for role in ("root.json", "targets.json"):
        assert client.role(GUN, role).status == 200
    fresh = Person(tmp_path / "fresh", server)
    assert "unable to reach trust server at this time: 503" in fresh.refused("list", GUN)
    # What this client has cached is a timestamp that still lives.
    assert set(cached.listed(GUN)) == {"v1"}

    stack.signer.start()
    assert set(fresh.listed(GUN)) == {"v1"}
    owner.notary("publish", GUN)
    assert set(cached.listed(GUN)) == {"v1", "v2"}


def test_a_server_on_a_database_that_only_reads(rig: Rig) -> None:
    """As on a standby: what is stored is served, and a publish is 503 and nothing else."""
    stored = rig.repository()
    rig.postgres.sql(
        "CREATE ROLE reading LOGIN; ALTER ROLE reading SET default_transaction_read_only = on;"
        " GRANT SELECT ON ALL TABLES IN SCHEMA public TO reading",
        rig.database,
    )
    only_reads = rig.postgres.url(rig.database).replace("postgres@", "reading@")
    server, client = rig.second_server("reading", storage={"db_url": only_reads})
    try:
        server.start()
        reader = Repository(client)
        assert client.role(stored.gun, "timestamp.json").status == 200
        assert reader.publish(1).status == 503
        assert client.role(stored.gun, "targets.json").status == 200
    finally:
        server.kill()
