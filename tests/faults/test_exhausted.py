"""A database that hangs: whoever asks is told to wait within a bounded time, and nobody has to restart anything."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.publisher import Client, Reply

from .repository import Repository
from .rig import Rig, eventually

pytestmark = pytest.mark.faults

CONNECTIONS = 2
CROWD = 24


@pytest.fixture
def narrow(rig: Rig) -> Iterator[Client]:
    """A server with two database connections."""
    server, client = rig.second_server("narrow", storage={"pool_size": CONNECTIONS, "pool_timeout": 0.5})
    server.start()
    try:
        yield client
    finally:
        server.kill()


def test_a_crowd_before_a_hung_database_is_told_to_wait(rig: Rig, narrow: Client) -> None:
    """All connections are taken: reads, publishes and deletions get 503 with Retry-After; afterwards all is as before."""
    repository = Repository(narrow)
    assert repository.publish(1).status == 200
    upload = repository.files(2)

    def ask(number: int) -> Reply:
        if number % 3 == 0:
            return narrow.publish(repository.gun, upload)
        return narrow.role(repository.gun, "targets.json" if number % 3 == 1 else "1.root.json")

    rig.postgres.pause()
    try:
        with ThreadPoolExecutor(CROWD) as people:
            replies = list(people.map(ask, range(CROWD), timeout=60))
    finally:
        rig.postgres.resume()
    assert {(reply.status, reply.code, reply.headers.get("retry-after")) for reply in replies} == {
        (503, "UNAVAILABLE", "5")
    }
    assert narrow.get("/v2/").status == 200
    eventually(lambda: narrow.role(repository.gun, "targets.json").status == 200, "reads are answered again")
    # A publish that was under way when the database stopped may have been stored when it went on.
    assert repository.publish(2).status in {200, 400}
    assert repository.problems(2) == []
