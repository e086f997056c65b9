"""Two server processes share one PostgreSQL and one signer, and people race through both."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from tests.publisher import Client, Reply, Verifier
from tests.support.stack import Daemon

from .rig import Rig

pytestmark = pytest.mark.faults

PUBLISHERS = 8
ROUNDS = 20
DELETIONS = 10


@pytest.fixture
def servers(rig: Rig, second_server: tuple[Daemon, Client]) -> list[Client]:
    """One client of each server."""
    return [rig.client, second_server[1]]


class _Reader(threading.Thread):
    """Follows a repository's changefeed as consumers do: each page begins after the last ID it has seen."""

    def __init__(self, client: Client, gun: str) -> None:
        super().__init__(daemon=True)
        self.client = client
        self.gun = gun
        self.seen: list[tuple[int, int]] = []
        self.bad: list[str] = []
        self.stop = threading.Event()

    def run(self) -> None:
        last = False
        while not last:
            last = self.stop.is_set()
            after = self.seen[-1][0] if self.seen else 0
            reply = self.client.changes(self.gun, f"change_id={after}&records=100")
            if reply.status != 200:
                self.bad.append(str(reply))
                return
            self.seen += [(int(record["ID"]), record["Version"]) for record in reply.json["records"]]


def _at_once(people: ThreadPoolExecutor, requests: Sequence[Callable[[], Reply]]) -> list[Reply]:
    """The answers to requests that are all sent at the same moment."""
    barrier = threading.Barrier(len(requests))

    def send(request: Callable[[], Reply]) -> Reply:
        barrier.wait(30)
        return request()

    return [done.result(60) for done in [people.submit(send, request) for request in requests]]


def test_of_eight_racing_publishers_one_wins_and_the_others_read_why(rig: Rig, servers: list[Client]) -> None:
    """In every round exactly one is accepted; the losers read VERSION and what to do; the changefeed has no gap."""
    repository = rig.repository(publishes=1)
    reader = _Reader(servers[1], repository.gun)
    reader.start()
    with ThreadPoolExecutor(PUBLISHERS) as people:
        for number in range(2, ROUNDS + 2):
            uploads = [repository.files(number, f" by {one}") for one in range(PUBLISHERS)]
            replies = _at_once(
                people,
                [
                    partial(servers[one % 2].publish, repository.gun, files)
                    for one, files in enumerate(uploads)
                ],
            )
            assert sorted(reply.status for reply in replies) == [200] + [400] * (PUBLISHERS - 1)
            for reply in replies:
                if reply.status == 400:
                    assert (reply.code, reply.name) == ("VERSION", "ErrValidation")
                    assert "run publish again" in reply.error["detail"]["Error"]["Msg"]
    reader.stop.set()
    reader.join(30)
    assert rig.tables.publishes(repository.gun) == ROUNDS + 1
    assert repository.problems(ROUNDS + 1) == []
    feed = rig.tables.feed(repository.gun)
    versions = [change.version for change in feed]
    assert len(versions) == ROUNDS + 1
    assert versions == sorted(set(versions))
    assert reader.bad == []
    assert reader.seen == [(change.id, change.version) for change in feed]


def test_a_deletion_that_races_publishes_leaves_no_orphan(rig: Rig, servers: list[Client]) -> None:
    """Whoever comes first: the repository is whole or gone, and the changefeed tells the same story as the files."""
    repository = rig.repository(publishes=1)
    gun = repository.gun
    with ThreadPoolExecutor(4) as people:
        for _ in range(DELETIONS):
            uploads = [repository.files(1), repository.files(2), repository.files(2, " again")]
            publishes = [partial(servers[one % 2].publish, gun, files) for one, files in enumerate(uploads)]
            deleted, *replies = _at_once(people, [partial(servers[0].delete, gun), *publishes])
            assert deleted.status == 200
            assert all(reply.status in {200, 400} for reply in replies), [str(reply) for reply in replies]
            files, feed = rig.tables.look(gun)
            assert rig.tables.torn(files, feed) == []
            if files:
                assert Verifier(servers[1], gun).problems() == []
            else:
                assert repository.problems(0) == []
                # The same root again: its keys go on above what they have signed.
                assert repository.publish(1).status == 200
