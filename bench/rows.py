"""Every row of the bench: what is played, against whom, and what has to be reached."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.publisher import Client

from . import requests
from .figures import Figures
from .goals import MARIADB, NOTARY, OURS, AtMost, Flat, Goal, OnlyStatuses, Times
from .publishing import Contest, FirstPublishes, Pushes, repository
from .reading import Reads
from .requests import CURRENT, PING, Request
from .sides import Side
from .special import FullHandshakes, added_latency, memory_of_reads, time_to_ready

ALL = (OURS, NOTARY, MARIADB)
STORED = 1000
"""Seeded repositories on the three usual sides while a row is measured."""
GROWN = {"ours-10k": 10_000, "ours-100k": 100_000}
"""Sides of ours with more of them."""
DEEP = "ours-deep"
"""A side of ours where the repository `DEEP_NAME` has `DEEP_VERSIONS` versions."""
DEEP_NAME = "deep"
DEEP_VERSIONS = 10_000


@dataclass(frozen=True)
class Row:
    """One row.

    Attributes:
        name: for `--only`.
        title: what is measured, in words.
        unit: of the value.
        work: measures one side for so many seconds.
        goals: what has to be reached.
        sides: who is measured, in turns.
        warm_up: whether it is played for a moment before it counts.
    """

    name: str
    title: str
    unit: str
    work: Callable[[Side, int], Figures]
    goals: tuple[Goal, ...]
    sides: tuple[str, ...] = ALL
    warm_up: bool = True


def _current(_: Side) -> list[Request]:
    gun = requests.guns(1)[0]
    return [requests.current(gun, role) for role in CURRENT]


def _timestamps(_: Side) -> list[Request]:
    return [requests.current(gun, "timestamp") for gun in requests.guns(STORED)]


def _checksums(_: Side) -> list[Request]:
    return [requests.by_checksum(gun, "targets") for gun in requests.guns(STORED)]


def _versions(_: Side) -> list[Request]:
    return [requests.by_version(gun, "targets") for gun in requests.guns(STORED)]


def _missing(_: Side) -> list[Request]:
    return [requests.missing(number) for number in range(STORED)]


def _ping(_: Side) -> list[Request]:
    return [PING]


def _first_pulls(_: Side) -> list[Request]:
    return requests.flat(requests.first_pull(gun) for gun in requests.guns(STORED))


def _next_pulls(_: Side) -> list[Request]:
    return requests.flat(requests.next_pull(gun) for gun in requests.guns(STORED))


def _mix(_: Side) -> list[Request]:
    guns = requests.guns(STORED)
    pulls = zip(guns, guns[::-1], strict=True)
    return requests.flat([*requests.first_pull(one), *requests.next_pull(other)] for one, other in pulls)


def _everything(side: Side) -> list[Request]:
    return requests.all_timestamps(side.seeded)


def _deep(side: Side) -> list[Request]:
    gun = repository(side, DEEP_NAME).gun
    return [Request(Client.path(gun, f"tuf/{role}.json")) for role in CURRENT]


def _both(over_postgres: float, over_mariadb: float) -> tuple[Goal, ...]:
    return Times(over_postgres), Times(over_mariadb, MARIADB)


_GROWN: tuple[Goal, ...] = tuple(Flat(name) for name in GROWN)

ROWS = (
    Row("current-1", "timestamp, root, targets, snapshot (current), 1 connection", "requests/s",
        Reads(_current, 1), (Times(2),)),
    Row("current-16", "the same, 16 connections", "requests/s", Reads(_current, 16), _both(12, 5)),
    Row("current-64", "the same, 64 connections", "requests/s", Reads(_current, 64), _both(20, 7)),
    Row("random", "1,000 GUNs at random, timestamp, 16 connections", "requests/s",
        Reads(_timestamps, 16, "random"), _both(12, 5)),
    Row("checksum", "by checksum, 1,000 files at random, 16 connections", "requests/s",
        Reads(_checksums, 16, "random"), (Times(1.2),)),
    Row("version", "by version, 1,000 files at random, 16 connections", "requests/s",
        Reads(_versions, 16, "random"), (Times(8),)),
    Row("missing", "404, 16 connections", "requests/s", Reads(_missing, 16, "random"), (Times(8),)),
    Row("ping", "GET /v2/, 16 connections", "requests/s", Reads(_ping, 16), (Times(0.9),)),
    Row("mix", "mix of pulls over 1,000 GUNs (a first one, then one of another GUN again), 16 connections", "requests/s",
        Reads(_mix, 16), _both(6, 2)),
    Row("new-ping", "a new TLS connection for each request: GET /v2/, 16 at once", "requests/s",
        Reads(_ping, 16, close=True), (Times(1.3),)),
    Row("new-checksum", "a new TLS connection for each request: by checksum, 16 at once", "requests/s",
        Reads(_checksums, 16, "random", close=True), (Times(1.3),)),
    Row("pull-first", "docker pull, first time (6 requests on new connections), 16 at once", "pulls/s",
        Reads(_first_pulls, 16, close=True, unit=6), (Times(2.5),)),
    Row("pull-again", "docker pull, again (2 requests on new connections), 16 at once", "pulls/s",
        Reads(_next_pulls, 16, close=True, unit=2), (Times(3),)),
    Row("full-ping", "a whole TLS handshake for each request: GET /v2/, 1 at once", "requests per CPU second",
        FullHandshakes(_ping), (Times(1.3),), (OURS, NOTARY)),
    Row("full-pull", "docker pull, first time, with whole TLS handshakes, 1 at once", "pulls per CPU second",
        FullHandshakes(_first_pulls, unit=6), (Times(2.5),), (OURS, NOTARY)),
    Row("stored-read", "timestamps at random of 1,000 (ours), 10,000 and 100,000 GUNs stored, 16 connections",
        "requests/s", Reads(_everything, 16, "random"), _GROWN, (OURS, *GROWN)),
    Row("stored-push", "push with 1 tag, 8 publishers, with as many GUNs stored", "publishes/s",
        Pushes(8, 1, "few"), _GROWN, (OURS, *GROWN)),
    Row("deep-read", "current files of a GUN with few (ours) and with 10,000 versions, 16 connections", "requests/s",
        Reads(_deep, 16), (Flat(DEEP),), (OURS, DEEP)),
    Row("deep-push", "push with 1 tag, 1 publisher, to a GUN with as many versions", "publishes/s",
        Pushes(1, 1, DEEP_NAME), (Flat(DEEP),), (OURS, DEEP)),
    Row("first-publish-1", "first publish of a GUN (both keys made, root + targets), 1 at once", "publishes/s",
        FirstPublishes(1), (Times(8),)),
    Row("first-publish-8", "the same, 8 at once", "publishes/s", FirstPublishes(8), (Times(8),)),
    Row("push-1-1", "push of a new targets version with 1 tag, 1 publisher", "publishes/s", Pushes(1, 1), (Times(4),)),
    Row("push-100-1", "the same with 100 tags", "publishes/s", Pushes(1, 100), (Times(4),)),
    Row("push-1-8", "push with 1 tag, 8 publishers on different GUNs", "publishes/s", Pushes(8, 1), _both(6, 3)),
    Row("push-1-32", "the same, 32 publishers", "publishes/s", Pushes(32, 1), _both(8, 3)),
    Row("push-1000-1", "push with 1,000 tags, 1 publisher", "publishes/s", Pushes(1, 1000), (Times(4),)),
    Row("push-10000-1", "push with 10,000 tags, 1 publisher", "publishes/s", Pushes(1, 10_000), (Times(6),)),
    Row("push-10000-8", "the same, 8 publishers", "publishes/s", Pushes(8, 10_000), (Times(6),)),
    Row("contest", "16 publishers on one GUN, accepted", "publishes/s",
        Contest(16), (Times(1), OnlyStatuses(("200", "400")))),
    Row("added-p99", "reads while 10,000-tag publishes are verified: added p99", "ms",
        added_latency, (AtMost(10, "ms"),), (OURS, NOTARY)),
    Row("memory", "memory of a process after reading 10,000 different files, 100 of them 2 MB long", "MiB",
        memory_of_reads, (AtMost(256, "MiB"),), (OURS, NOTARY), warm_up=False),
    Row("ready", "start to ready, signer and server together", "s", time_to_ready, (AtMost(2, "s"),), (OURS, NOTARY), warm_up=False),
)  # fmt: skip
