"""Publishes under load: first ones, new versions by many publishers, many publishers of one repository."""

from __future__ import annotations

import asyncio
import itertools
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import cache

import msgspec
import uvloop

from tests.publisher import Client, Key, Publisher, RootKey, ecdsa_key, form, root_key

from . import seeding
from .connection import Answer, Connection
from .figures import Figures, percentile
from .observing import Observation
from .sides import Ours, Repository, Side
from .uploads import targets

SIGNED_PER_SECOND = 1500
"""Uploads signed ahead for each second of a run, all publishers together: more than any server here takes."""
_OUT_OF_UPLOADS = "ran out of signed uploads"


class PublishError(Exception):
    """A repository could not be prepared."""


@dataclass
class Tally:
    """What publishers count together."""

    statuses: Counter[str] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)
    done: int = 0
    problems: set[str] = field(default_factory=set)

    def add(self, answer: Answer, begun: float) -> None:
        """Count an upload that was sent at `begun` (`time.perf_counter`)."""
        self.statuses[answer.kind] += 1
        self.latencies.append((time.perf_counter() - begun) * 1000)
        self.done += answer.status == 200


Work = Callable[[Connection, int, float], Awaitable[None]]
"""One publisher's work: its connection, its number, and when to stop (`time.perf_counter`)."""


@cache
def _keys() -> tuple[RootKey, Key]:
    """One root and one targets key for all repositories: nothing depends on their being different."""
    return root_key(seeding.PREFIX + "*"), ecdsa_key()


def repository(side: Side, name: str) -> Repository:
    """The repository of that name, published for the first time if need be.

    Raises:
        PublishError: the server refused it.
    """
    known = side.published.get(name)
    if known is None:
        gun = f"{seeding.PREFIX}{name}"
        root, key = _keys()
        client = side.client()
        publisher = Publisher(gun, root=root, targets=key).learn(client)
        reply = client.publish(gun, publisher.first())
        client.close()
        if reply.status != 200:
            raise PublishError(f"{side.name}: {gun}: {reply}")
        known = side.published[name] = Repository(gun, key)
    return known


def deepen(side: Ours, one: Repository, versions: int) -> None:
    """Let `one`, published once, look as if published `versions` times; the last time is a real one.

    Raises:
        PublishError: the server refused that last one.
    """
    side.sql(
        "INSERT INTO tuf_files (created_at, updated_at, gun, role, version, data, sha256)"
        " SELECT now(), now(), gun, role, n, filling, encode(sha256(filling), 'hex')"
        f" FROM tuf_files, generate_series(2, {versions - 2}) AS n,"
        " convert_to(repeat(md5(role || n), 30), 'UTF8') AS filling"
        f" WHERE gun = '{one.gun}' AND role <> 'root';"
        # What the server builds upon is the latest version: that has to be a true one.
        "INSERT INTO tuf_files (created_at, updated_at, gun, role, version, data, sha256)"
        f" SELECT now(), now(), gun, role, {versions - 1}, data, sha256 FROM tuf_files"
        f" WHERE gun = '{one.gun}' AND role <> 'root' AND version = 1;"
    )
    side.sql("VACUUM ANALYZE tuf_files")
    one.version = versions
    reply = side.client().publish(one.gun, {"targets": targets(1).file(one.key, versions)})
    if reply.status != 200:
        raise PublishError(f"{side.name}: {one.gun}: {reply}")


@dataclass(frozen=True)
class Pushes:
    """New targets versions of existing repositories, one repository for each publisher.

    Attributes:
        name: of the repository, or what the repositories' names begin with.
    """

    publishers: int
    tags: int
    name: str = "fleet"

    def __call__(self, side: Side, seconds: int) -> Figures:
        """Run it; the value is accepted publishes per second."""
        return self.prepare(side, seconds)()

    def prepare(self, side: Side, seconds: int) -> Callable[[], Figures]:
        """Publish and sign all that has to be there before; what is left to do is to run it."""
        names = [self.name] if self.publishers == 1 else [f"{self.name}/{n}" for n in range(self.publishers)]
        fleet = [repository(side, name) for name in names]
        file = targets(self.tags)
        # Half as many again as an equal share: publishers are not equally fast.
        share = SIGNED_PER_SECOND * seconds * (3 if self.publishers > 1 else 2) // (2 * self.publishers)
        signed = [list(file.endings(one.key, one.version + 1, share)) for one in fleet]
        tally = Tally()

        async def publish(connection: Connection, number: int, end: float) -> None:
            one = fleet[number]
            for version, ending in signed[number]:
                if time.perf_counter() >= end:
                    return
                begun = time.perf_counter()
                one.version = version
                tally.add(await connection.post(one.path, file.content_type, file.before, ending), begun)
            tally.problems.add(_OUT_OF_UPLOADS)

        return lambda: _run(side, publish, self.publishers, seconds, tally)


@dataclass(frozen=True)
class Contest:
    """Many publishers of one repository: each tries the version after the latest that was accepted."""

    publishers: int

    def __call__(self, side: Side, seconds: int) -> Figures:
        """Run it; the value is accepted publishes per second."""
        one = repository(side, "contest")
        file = targets(1)
        signed = dict(file.endings(one.key, one.version + 1, SIGNED_PER_SECOND * seconds))
        tally = Tally()

        async def publish(connection: Connection, _: int, end: float) -> None:
            while time.perf_counter() < end:
                begun, version = time.perf_counter(), one.version + 1
                if version not in signed:
                    tally.problems.add(_OUT_OF_UPLOADS)
                    return
                answer = await connection.post(one.path, file.content_type, file.before, signed[version])
                tally.add(answer, begun)
                if answer.status == 200:
                    one.version = max(one.version, version)

        return _run(side, publish, self.publishers, seconds, tally, refusals=True)


@dataclass(frozen=True)
class FirstPublishes:
    """Repositories that nobody has published before, with the five requests that docker sends for one.

    The server's keys are in root, so root is signed while the clock runs: 0.3 ms of the publisher's CPU.
    """

    publishers: int

    def __call__(self, side: Side, seconds: int) -> Figures:
        """Run it; the value is first publishes per second, and the latency is that of all five requests."""
        root, key = _keys()
        # As docker: its first targets are version 2.
        file = targets(1).file(key, 2)
        run, numbers, tally = uuid.uuid4().hex[:12], itertools.count(), Tally()

        async def publish(connection: Connection, _: int, end: float) -> None:
            while time.perf_counter() < end:
                publisher = Publisher(f"{seeding.PREFIX}first/{run}/{next(numbers)}", root=root, targets=key)
                begun = time.perf_counter()
                tally.add(await _first(connection, publisher, file), begun)

        return _run(side, publish, self.publishers, seconds, tally)


async def _first(connection: Connection, publisher: Publisher, file: bytes) -> Answer:
    """The answer to the upload, or the first answer before it that is not as it should be."""

    def address(rest: str) -> str:
        return Client.path(publisher.gun, f"tuf/{rest}")

    for rest, status in (
        ("root.json", 404),
        ("timestamp.key", 200),
        ("snapshot.key", 200),
        ("root.json", 404),
    ):
        answer = await connection.get(address(rest))
        if answer.status != status:
            return answer
        if rest.endswith(".key"):
            publisher.server_keys[rest.removesuffix(".key")] = msgspec.json.decode(answer.body)
    content_type, body = form({"root": publisher.root(), "targets": file})
    return await connection.post(address(""), content_type, body)


def _run(
    side: Side, publish: Work, publishers: int, seconds: int, tally: Tally, *, refusals: bool = False
) -> Figures:
    """Let `publishers` work side by side for `seconds`; `refusals`: answers other than 200 are no problem."""

    async def together() -> float:
        connections = [Connection(side) for _ in range(publishers)]
        try:
            for connection in connections:
                await connection.open()
            begun = time.perf_counter()
            work = (publish(one, number, begun + seconds) for number, one in enumerate(connections))
            await asyncio.gather(*work)
            return time.perf_counter() - begun
        finally:
            for connection in connections:
                connection.close()

    with Observation(side) as seen:
        elapsed = uvloop.run(together())
    if not refusals:
        tally.problems |= {f"{count} x {kind}" for kind, count in tally.statuses.items() if kind != "200"}
    if not tally.done:
        tally.problems.add("nothing was accepted")
    return seen.figures(
        value=tally.done / elapsed,
        units=tally.done,
        p50=percentile(tally.latencies, 0.5),
        p99=percentile(tally.latencies, 0.99),
        statuses=tally.statuses,
        problems=tuple(sorted(tally.problems)),
    )
