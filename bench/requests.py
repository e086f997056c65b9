"""What readers ask for: addresses of seeded repositories and the answers that are right."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

from tests.publisher import Client

from . import seeding
from .seeding import Gun

CURRENT = ("timestamp", "root", "targets", "snapshot")


@dataclass(frozen=True)
class Request:
    """A GET, and what must come back. `sha256` is None for an answer whose bytes are nobody's business."""

    path: str
    status: int = 200
    sha256: str | None = None
    length: int = 0


PING = Request("/v2/", sha256=hashlib.sha256(b"{}").hexdigest(), length=2)


def current(gun: Gun, role: str) -> Request:
    """The current file of a role."""
    return _file(gun, role, f"{role}.json")


def by_checksum(gun: Gun, role: str) -> Request:
    """The file of a role, by its checksum."""
    return _file(gun, role, f"{role}.{gun.digest(role)}.json")


def by_version(gun: Gun, role: str) -> Request:
    """Version 1 of a role."""
    return _file(gun, role, f"1.{role}.json")


def missing(number: int) -> Request:
    """The timestamp of a repository that there is none of."""
    return Request(Client.path(f"{seeding.PREFIX}nobody/{number}", "tuf/timestamp.json"), status=404)


def first_pull(gun: Gun) -> list[Request]:
    """What docker asks for when it knows nothing of a repository: six requests."""
    listed = [by_checksum(gun, role) for role in ("snapshot", "targets", "targets/releases")]
    return [PING, current(gun, "root"), current(gun, "timestamp"), *listed]


def next_pull(gun: Gun) -> list[Request]:
    """What docker asks for when nothing has changed: two requests."""
    return [PING, current(gun, "timestamp")]


@cache
def guns(count: int) -> list[Gun]:
    """The first `count` seeded repositories."""
    return [seeding.gun(number) for number in range(count)]


def all_timestamps(count: int) -> list[Request]:
    """The current timestamps of `count` seeded repositories; what is right is known of one in a thousand."""
    return [
        Request(Client.path(seeding.name_of(number), "tuf/timestamp.json"))
        if number % 1000
        else current(seeding.gun(number), "timestamp")
        for number in range(count)
    ]


def flat(pulls: Iterable[Sequence[Request]]) -> list[Request]:
    """All requests of some pulls, in order."""
    return [request for pull in pulls for request in pull]


def _file(gun: Gun, role: str, address: str) -> Request:
    data = gun.files[role]
    return Request(Client.path(gun.name, f"tuf/{address}"), 200, gun.digest(role), len(data))
