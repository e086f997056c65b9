"""kill -9 over SQLite, where the database dies with the server: nothing acknowledged is lost, nothing is half there."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator

import pytest

from .gateway import When
from .repository import Repository
from .rig import Rig
from .sending import Sending
from .steps import signer_call

pytestmark = pytest.mark.faults

ROUNDS = 16
SEED = 20160705


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    """One rig for all cases; each leaves everything running."""
    with Rig("sqlite") as made:
        yield made


@pytest.mark.parametrize(
    ("call", "when", "victim"),
    [
        ("describe", "before", "server"),
        ("snapshot", "after", "server"),
        ("timestamp", "after", "server"),
        ("timestamp", "after", "signer"),
    ],
)
def test_a_publish_killed_before_its_commit_leaves_nothing(
    rig: Rig, call: str, when: When, victim: str
) -> None:
    """Either daemon dies while the signer is asked: the repository is as before, and the same upload is taken later."""
    repository = rig.repository(publishes=1)
    files = repository.files(2)
    if call == "describe":
        # A server asks about a key once; one that has just begun knows none.
        rig.kill("server")
        rig.revive()
    obstacle = signer_call(call, when)
    try:
        with obstacle(rig, repository) as stop, Sending(rig.stack, repository.gun, files) as sending:
            stop.send(sending)
            stop.wait()
            rig.kill(victim)
            stop.release(sending, victim)
            reply = sending.reply()
    finally:
        rig.revive()
    assert reply.status == (0 if victim == "server" else 503)
    assert rig.tables.publishes(repository.gun) == 1
    assert repository.problems(1) == []
    assert rig.client.publish(repository.gun, files).status == 200
    assert rig.tables.publishes(repository.gun) == 2
    assert repository.problems(2) == []


class _Writer(threading.Thread):
    """Publishes to one repository, one version after the other, until the server is gone.

    Attributes:
        acknowledged: the last publish that was answered 200.
        seconds: how long that took.
        working: set with the first 200.
    """

    def __init__(self, repository: Repository, stored: int) -> None:
        super().__init__(daemon=True)
        self.repository = repository
        self.acknowledged = stored
        self.seconds = 0.0
        self.working = threading.Event()
        self.unexpected: list[str] = []

    def run(self) -> None:
        while True:
            started = time.monotonic()
            reply = self.repository.publish(self.acknowledged + 1)
            if reply.status != 200:
                if reply.status != 0:
                    self.unexpected.append(str(reply))
                return
            self.acknowledged += 1
            self.seconds = time.monotonic() - started
            self.working.set()


@pytest.mark.timeout(300)  # so many starts take their time on a busy machine
def test_a_server_killed_at_any_moment_keeps_what_it_acknowledged(rig: Rig) -> None:
    """Two people publish without a pause and the server is killed, again and again.

    After each kill every acknowledged publish is stored, at most one more, and all of it verifies.
    """
    moments = random.Random(SEED)
    repositories = [rig.repository(publishes=1) for _ in range(2)]
    stored = [1, 1]
    for _ in range(ROUNDS):
        writers = [_Writer(one, count) for one, count in zip(repositories, stored, strict=True)]
        for writer in writers:
            writer.start()
        assert all(writer.working.wait(30) for writer in writers), [one.unexpected for one in writers]
        # Anywhere in the publishes that follow: the moment is the point of this test, so it is left to chance.
        threading.Event().wait(moments.uniform(0, 2) * writers[0].seconds)
        rig.kill("server")
        for writer in writers:
            writer.join(30)
        rig.revive()
        for at, writer in enumerate(writers):
            assert writer.unexpected == []
            count = rig.tables.publishes(writer.repository.gun)
            assert count in {writer.acknowledged, writer.acknowledged + 1}
            stored[at] = count
    for repository, count in zip(repositories, stored, strict=True):
        assert repository.problems(count) == []
        assert repository.publish(count + 1).status == 200
    assert rig.tables.query("PRAGMA integrity_check") == [["ok"]]
