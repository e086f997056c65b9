"""The processes that these tests kill. Making them takes longer than killing them, so they are made once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.publisher import Client
from tests.support.postgres_fixtures import postgres_cluster
from tests.support.stack import Daemon

from .rig import Rig

__all__ = ["postgres_cluster", "rig", "second_server"]


@pytest.fixture(scope="package")
def rig() -> Iterator[Rig]:
    """A rig over PostgreSQL; each test leaves everything running."""
    with Rig("postgres") as made:
        yield made


@pytest.fixture(scope="package")
def second_server(rig: Rig) -> Iterator[tuple[Daemon, Client]]:
    """Another server process on the same database and signer, without the gateway, and who asks it."""
    server, client = rig.second_server()
    server.start()
    try:
        yield server, client
    finally:
        server.kill()
