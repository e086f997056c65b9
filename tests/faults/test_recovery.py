"""The signer or PostgreSQL is gone for a while: publishers are told to wait, readers go on, and the server recovers by itself."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from tests.publisher import Client, Reply
from tests.support.stack import Daemon

from .repository import DELEGATION, Repository
from .rig import Rig, eventually

pytestmark = pytest.mark.faults

KILLS = 3


@pytest.fixture(scope="module")
def direct(second_server: tuple[Daemon, Client]) -> Iterator[Client]:
    """A server that talks to the signer without the gateway, as people run it; never restarted here."""
    server, client = second_server
    pid = server.pid
    yield client
    assert server.pid == pid


def _told_to_wait(reply: Reply) -> bool:
    return (reply.status, reply.code, reply.headers.get("retry-after")) == (503, "UNAVAILABLE", "5")


def test_without_a_signer_readers_go_on_and_publishers_wait(rig: Rig, direct: Client) -> None:
    """The signer is killed: publishes and keys are 503 with Retry-After, unexpired files are served, nothing is stored.

    As soon as it runs again the same server publishes, over connections that died meanwhile.
    """
    repository = Repository(direct)
    assert repository.publish(1).status == 200
    rig.kill("signer")
    try:
        assert _told_to_wait(repository.publish(2))
        assert _told_to_wait(direct.role("example.com/new/app", "timestamp.key"))
        assert repository.problems(1) == []
        for name in ("root.json", "timestamp.json", "1.snapshot.json", f"{DELEGATION}.json"):
            assert direct.role(repository.gun, name).status == 200
        assert rig.tables.publishes(repository.gun) == 1
    finally:
        rig.revive()
    assert repository.publish(2).status == 200
    assert repository.problems(2) == []


class _Publisher(threading.Thread):
    """Publishes version after version; told to wait, it tries again. `acknowledged` holds each 200."""

    def __init__(self, repository: Repository) -> None:
        super().__init__(daemon=True)
        self.repository = repository
        self.acknowledged = 1
        self.waits = 0
        self.unexpected: list[str] = []
        self.stop = threading.Event()

    def run(self) -> None:
        unsure = False
        while not self.stop.is_set():
            reply = self.repository.publish(self.acknowledged + 1)
            if _told_to_wait(reply):
                self.waits += 1
                unsure = True
                self.stop.wait(0.05)
            elif reply.status == 200 or (unsure and reply.code == "VERSION"):
                # After a 503 it may turn out that the publish had been stored after all.
                self.acknowledged += 1
                unsure = False
            else:
                self.unexpected.append(str(reply))
                return


def test_a_database_that_comes_and_goes_loses_nothing(rig: Rig, direct: Client) -> None:
    """PostgreSQL is killed under publishers, again and again: they read 200 or 503, and every 200 is stored.

    Neither of our daemons is restarted.
    """
    publishers = [_Publisher(Repository(direct)) for _ in range(2)]
    for one in publishers:
        assert one.repository.publish(1).status == 200
    for one in publishers:
        one.start()
    for _ in range(KILLS):
        progress = [one.acknowledged for one in publishers]
        told = [one.waits for one in publishers]
        eventually(
            lambda: (
                all(one.acknowledged > count + 1 for one, count in zip(publishers, progress, strict=True))  # noqa: B023
                or any(one.unexpected for one in publishers)
            ),
            "everybody publishes",
        )
        rig.kill("postgres")
        eventually(
            lambda: (
                all(one.waits > count for one, count in zip(publishers, told, strict=True))  # noqa: B023
                or any(one.unexpected for one in publishers)
            ),
            "everybody is told to wait",
        )
        rig.revive()
    for one in publishers:
        eventually(lambda: _told_to_wait(one.repository.publish(1)) is False, "the server recovers")  # noqa: B023
        one.stop.set()
        one.join(30)
        assert one.unexpected == []
        # Counted by the publisher: what it was told, or found stored when it tried again.
        stored = rig.tables.publishes(one.repository.gun)
        assert stored in {one.acknowledged, one.acknowledged + 1}
        assert one.repository.problems(stored) == []
        assert one.repository.publish(stored + 1).status == 200
