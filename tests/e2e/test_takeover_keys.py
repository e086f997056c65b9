"""An installation of Notary 0.7.0 is taken over with every key, and given back: nobody rotates, nobody is warned.

`python -m bench.takeover_proof` does the same with a thousand repositories.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.reference import Reference
from tests.support.reference_mysql import MysqlReference
from tests.support.stack import Stack

from .takeover import PREPARATIONS, Takeover

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]


@pytest.fixture(params=[Reference, MysqlReference], ids=["postgres", "mysql"])
def takeover(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Takeover]:
    """Notary 0.7.0, and ours over its server's database, with a registry of its own."""
    with tempfile.TemporaryDirectory(prefix="notary-takeover-", ignore_cleanup_errors=True) as folder:
        old: Reference = request.param(Path(folder))
        old.start()
        urls = (old.storage("notaryserver")["db_url"], old.create_database("ours"))
        new = Stack(Path(tempfile.mkdtemp(prefix="notary-e2e-")), databases=urls)
        try:
            yield Takeover(old, new, tmp_path)
        finally:
            new.destroy()
            old.stop()


def test_there_and_back_again(takeover: Takeover) -> None:
    """Every key comes over; the same trust directories go on at the new server, and back at the old one with the keys
    that were made meanwhile. A copy in a database of another kind holds the same."""
    takeover.begin(notary=len(PREPARATIONS), scripted=6)
    for step in takeover.there_and_back():
        if step == "keys export":
            assert takeover.copied_to_sqlite()["problems"] == []
