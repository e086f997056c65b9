"""The steps of a publish (docs/design/publish-cycle.md), each with a way to stop there from outside.

Nothing in the product takes part: calls of the signer are held by a gateway, statements by a lock that another session
holds on the table, the end of the commit by PostgreSQL, which waits for a replica that does not exist.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress

from tests.support.postgres import PostgresCluster

from .gateway import When
from .repository import Repository
from .rig import Rig, eventually
from .sending import Sending


class Stop:
    """A publish that comes to a stop: `send` it, `wait` until it is there, `release` what is left of it.

    This one does not stop it; each kind overrides what it needs.
    """

    def send(self, sending: Sending) -> None:
        """Send as much of the upload as belongs before the stop."""
        sending.finish()

    def wait(self) -> None:
        """Return when the publish has stopped."""

    def release(self, sending: Sending, victim: str) -> None:
        """Let it go on; `victim` is dead."""


Obstacle = Callable[[Rig, Repository], AbstractContextManager[Stop]]


class _HalfBody(Stop):
    def send(self, sending: Sending) -> None:
        sending.half()

    def release(self, sending: Sending, victim: str) -> None:
        if victim != "client":
            sending.finish()


@contextmanager
def half_body(_rig: Rig, _repository: Repository) -> Iterator[Stop]:
    """The client has sent half of the body."""
    yield _HalfBody()


def signer_call(call: str, when: When) -> Obstacle:
    """A call of the signer: `describe`, or the signing of `snapshot` or `timestamp`."""

    @contextmanager
    def obstacle(rig: Rig, _repository: Repository) -> Iterator[Stop]:
        with rig.gateway.hold(call, when) as hold:

            class Held(Stop):
                def wait(self) -> None:
                    hold.wait()

                def release(self, sending: Sending, victim: str) -> None:
                    hold.lost = victim == "signer"
                    hold.released.set()

            yield Held()

    return obstacle


def insert_into(table: str) -> Obstacle:
    """Inside the transaction, at the insertion into `table`, which somebody else has locked."""

    @contextmanager
    def obstacle(rig: Rig, _repository: Repository) -> Iterator[Stop]:
        waiting = f"SELECT count(*) FROM pg_locks WHERE relation = '{table}'::regclass AND NOT granted"
        with _session(rig.postgres, rig.database) as session:
            session.ask(f"BEGIN; LOCK TABLE {table} IN EXCLUSIVE MODE;")

            class Locked(Stop):
                def wait(self) -> None:
                    eventually(
                        lambda: rig.tables.query(waiting) == [["1"]], f"an insertion into {table} waits"
                    )

                def release(self, sending: Sending, victim: str) -> None:
                    session.close()

            yield Locked()

    return obstacle


@contextmanager
def commit(rig: Rig, _repository: Repository) -> Iterator[Stop]:
    """The commit is on disk, and PostgreSQL has not told so yet: it waits for a replica.

    The timestamp's signing is held until PostgreSQL is known to wait, since what the signer itself commits must not.
    """
    cluster = rig.postgres
    with rig.gateway.hold("timestamp", "after") as hold:

        class Waiting(Stop):
            def wait(self) -> None:
                hold.wait()
                cluster.sql("ALTER SYSTEM SET synchronous_standby_names = 'nobody'; SELECT pg_reload_conf()")
                # The setting counts from the moment when any commit waits.
                with _session(cluster, "postgres") as probe:
                    probe.tell("SELECT pg_logical_emit_message(true, '', '');")
                    eventually(lambda: _waiting(cluster, "postgres") > 0, "PostgreSQL waits for a replica")
                    cluster.sql(f"SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE {_WAITING}")
                hold.released.set()
                eventually(lambda: _waiting(cluster, rig.database) == 1, "the publish waits for a replica")

            def release(self, sending: Sending, victim: str) -> None:
                _end_waiting(cluster)

        try:
            yield Waiting()
        finally:
            cluster.start()
            _end_waiting(cluster)


@contextmanager
def answer(rig: Rig, repository: Repository) -> Iterator[Stop]:
    """It is committed; its answer may have been sent or not, and the client has not read it."""
    before = rig.tables.publishes(repository.gun)

    class Visible(Stop):
        def wait(self) -> None:
            feed = rig.tables.feed
            eventually(lambda: len(feed(repository.gun)) > before, "the publish is committed")

    yield Visible()


_WAITING = "wait_event = 'SyncRep'"


def _waiting(cluster: PostgresCluster, database: str) -> int:
    where = f"{_WAITING} AND datname = '{database}'"
    return int(cluster.sql(f"SELECT count(*) FROM pg_stat_activity WHERE {where}"))


def _end_waiting(cluster: PostgresCluster) -> None:
    if cluster.pid is not None:
        cluster.sql("ALTER SYSTEM RESET synchronous_standby_names; SELECT pg_reload_conf()")


class _Session:
    """psql that keeps its session open."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def tell(self, text: str) -> None:
        """Have it run; whatever comes of it."""
        assert self._process.stdin is not None
        self._process.stdin.write(text + "\n")
        self._process.stdin.flush()

    def ask(self, text: str) -> None:
        """Have it run and wait until it has."""
        assert self._process.stdout is not None
        self.tell(text)
        self.tell("\\echo done")
        assert self._process.stdout.readline().strip() == "done", "psql ended"

    def close(self) -> None:
        """End the session; what it has not committed is undone."""
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.close()
        self._process.wait(20)


@contextmanager
def _session(cluster: PostgresCluster, database: str) -> Iterator[_Session]:
    command = [str(cluster.programs / "psql"), "-X", "-q", "-At", "-v", "ON_ERROR_STOP=1"]
    with subprocess.Popen(
        [*command, cluster.url(database)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        session = _Session(process)
        try:
            yield session
        finally:
            session.close()
