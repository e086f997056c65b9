"""The old signer goes on working with tables that this version has upgraded: that is the way back."""

from __future__ import annotations

from pathlib import Path

from notary_common import migrate
from notary_common.database import parse_url
from tests.publisher import Publisher
from tests.support.reference import Reference

from .servers import OldServers


def test_the_old_signer_works_with_upgraded_tables(
    reference: Reference, old: OldServers, tmp_path: Path
) -> None:
    """It uses the keys that it made before and makes new ones."""
    client = old.client("plain")
    before, after = Publisher("way-back/before").learn(client), Publisher("way-back/after")
    assert client.publish(before.gun, before.first()).status == 200
    target = parse_url("postgres", reference.postgres.url("notarysigner"), tmp_path)
    migrate.upgrade(target, "signer", lambda _line: None)
    assert client.publish(before.gun, {"targets": before.targets(2)}).status == 200
    after.learn(client)
    assert client.publish(after.gun, after.first()).status == 200
    columns = "count(*), count(highest_version), count(activated_at), count(destroyed_at)"
    rows = reference.postgres.sql(
        f"SELECT {columns} FROM private_keys WHERE gun LIKE 'way-back/%'", "notarysigner"
    )
    assert rows.strip() == "4|0|0|0"
