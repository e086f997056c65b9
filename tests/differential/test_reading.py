"""Reading: current, by version, by checksum; headers and caching; after updates and deletion."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping

import pytest

from tests.publisher import Reply, ecdsa_key

from .arena import Arena
from .case import NOT_FOUND, OK, Answer, Case, Play, Stage
from .plays import get

A = "targets/a"


def digests(stage: Stage) -> dict[str, str]:
    """Hex SHA-256 of each current file, as the server gives it."""
    roles = ("root", "targets", A, "snapshot", "timestamp")
    return {role: hashlib.sha256(stage.read(f"{role}.json").body).hexdigest() for role in roles}


def published(stage: Stage, updates: int = 1) -> None:
    """A repository with a delegation, updated so often."""
    pub = stage.owner()
    made = {"root": pub.root(), "targets": pub.targets(delegates=[A]), A: pub.delegation(A)}
    stage.good(made)
    for version in range(2, updates + 1):
        stage.good({"targets": pub.targets(version, delegates=[A])})


def address(name: str, *, updates: int = 1) -> Play:
    """GET one address of a repository with a delegation; `{role}` takes that role's checksum."""

    def play(stage: Stage) -> Reply:
        published(stage, updates)
        found = {role.replace("/", "_"): digest for role, digest in digests(stage).items()}
        return stage.read(name.format(**found))

    return play


def former(role: str, *, by: str) -> Play:
    """GET a former version, by number or checksum."""

    def play(stage: Stage) -> Reply:
        published(stage)
        before = digests(stage)[role]
        stage.good({"targets": stage.pub.targets(2, delegates=[A])})
        return stage.read(f"1.{role}.json" if by == "version" else f"{role}.{before}.json")

    return play


def headed(headers: Mapping[str, str], name: str = "root.json") -> Play:
    """GET with request headers."""

    def play(stage: Stage) -> Reply:
        published(stage)
        return stage.client.get(stage.address(f"tuf/{name}"), headers)

    return play


def unpublished(name: str) -> Play:
    """GET of a repository that nobody published."""
    return lambda stage: stage.read(name)


def deleted(then: Callable[[Stage], Reply]) -> Play:
    """Something done after a deletion."""

    def play(stage: Stage) -> Reply:
        stage.established()
        assert stage.delete().status == 200
        return then(stage)

    return play


def again(version: int) -> Callable[[Stage], Reply]:
    """A first publish after a deletion, under new keys."""

    def play(stage: Stage) -> Reply:
        pub = stage.owner()
        return stage.publish({"root": pub.root(version), "targets": pub.targets(3)})

    return play


def delete_twice(stage: Stage) -> Reply:
    """DELETE what is gone already."""
    return stage.delete()


def own_snapshot(name: str) -> Play:
    """GET of a repository whose snapshot the client signs."""

    def play(stage: Stage) -> Reply:
        stage.established(snapshot=ecdsa_key())
        return stage.read(name)

    return play


def foreign(stage: Stage) -> Reply:
    """GET of another repository's address: one that is a prefix of a published one."""
    stage.established()
    return stage.client.role(stage.gun[:-1], "root.json")


def delete_with_prefix(stage: Stage) -> Reply:
    """DELETE of a repository whose name is a prefix of this one."""
    stage.established()
    assert stage.client.delete(stage.gun[:-1]).status == 200
    return stage.read("root.json")


def case_of_gun(stage: Stage) -> Reply:
    """GET under the same name in upper case."""
    stage.established()
    return stage.client.role(stage.gun.upper(), "root.json")


def upper(stage: Stage) -> Reply:
    """GET by a checksum in upper case."""
    published(stage)
    return stage.read(f"root.{digests(stage)['root'].upper()}.json")


ROLES = ("root", "targets", A, "snapshot", "timestamp")

CASES = [
    *(Case(f"current-{r.replace('/', '-')}", address(f"{r}.json"), OK) for r in ROLES),
    *(Case(f"version-{r.replace('/', '-')}", address(f"1.{r}.json"), OK) for r in ROLES),
    *(
        Case(f"checksum-{r.replace('/', '-')}", address(f"{r}.{{{r.replace('/', '_')}}}.json"), OK)
        for r in ROLES
    ),
    *(Case(f"after-updates-{r.replace('/', '-')}", address(f"{r}.json", updates=3), OK) for r in ROLES),
    *(Case(f"version-9-{r.replace('/', '-')}", address(f"9.{r}.json"), NOT_FOUND) for r in ROLES),
    *(
        Case(f"nothing-stored-{r}", unpublished(f"{r}.json"), NOT_FOUND)
        for r in ("root", "targets", "snapshot", "timestamp")
    ),
    Case("nothing-stored-version", lambda s: s.read("1.root.json"), NOT_FOUND),
    Case("nothing-stored-checksum", lambda s: s.read(f"root.{'0' * 64}.json"), NOT_FOUND),
    *(Case(f"former-by-{by}", former("targets", by=by), OK) for by in ("version", "checksum")),
    Case("former-timestamp-by-version", former("timestamp", by="version"), OK),
    Case("former-snapshot-by-checksum", former("snapshot", by="checksum"), OK),
    Case("checksum-of-another-role", address("targets.{root}.json"), NOT_FOUND, flaw=32, old=OK),
    Case("checksum-unknown", get(f"root.{'0' * 64}.json"), NOT_FOUND),
    Case("checksum-upper-case", upper, NOT_FOUND),
    Case("checksum-sha512-form", get(f"root.{'0' * 128}.json"), NOT_FOUND),
    Case("checksum-sha384-form", get(f"root.{'0' * 96}.json"), NOT_FOUND),
    Case("checksum-65-digits", get(f"root.{'0' * 65}.json"), NOT_FOUND),
    Case("checksum-short", get("root.abcd.json"), NOT_FOUND),
    Case("version-with-zeros", get("0001.root.json"), OK),
    Case("version-plus", get("+1.root.json"), NOT_FOUND),
    Case("version-minus", get("-1.root.json"), NOT_FOUND),
    Case("version-hexadecimal", get("0x1.root.json"), NOT_FOUND),
    Case("version-beyond-64-bits", get("18446744073709551617.root.json"), NOT_FOUND),
    Case("version-as-word", get("one.root.json"), NOT_FOUND),
    Case("if-none-match", headed({"If-None-Match": "*"}), OK, freedom="conditional"),
    Case(
        "if-modified-since",
        headed({"If-Modified-Since": "Fri, 01 Jan 2100 00:00:00 GMT"}),
        OK,
        freedom="conditional",
    ),
    Case("range", headed({"Range": "bytes=0-9"}), OK, freedom="conditional"),
    Case("accept-gzip", headed({"Accept-Encoding": "gzip, deflate, br"}), OK),
    Case("accept-nothing", headed({"Accept": "image/png"}), OK),
    Case(
        "query-ignored",
        lambda s: (s.established(), s.client.get(s.address("tuf/root.json?version=7")))[1],
        OK,
    ),
    Case("own-snapshot", own_snapshot("snapshot.json"), OK),
    Case("own-snapshot-timestamp", own_snapshot("timestamp.json"), OK),
    Case("role-unknown", get("mirrors.json"), NOT_FOUND),
    Case("prefix-of-a-gun", foreign, NOT_FOUND),
    Case("gun-in-upper-case", case_of_gun, NOT_FOUND),
    Case("delete", lambda s: (s.established(), s.delete())[1], Answer(200, body=b"")),
    Case("delete-nothing", lambda s: s.delete(), Answer(200, body=b"")),
    Case("delete-prefix", delete_with_prefix, OK),
    Case("deleted-root", deleted(lambda s: s.read("root.json")), NOT_FOUND),
    Case("deleted-timestamp", deleted(lambda s: s.read("timestamp.json")), NOT_FOUND),
    Case("deleted-version", deleted(lambda s: s.read("1.root.json")), NOT_FOUND),
    Case("deleted-and-deleted", deleted(delete_twice), Answer(200, body=b"")),
    Case("deleted-and-published", deleted(again(1)), OK),
    Case("deleted-and-published-at-2", deleted(again(2)), OK),
    *(
        Case(f"{variant}-{name.partition('.')[0]}", address(name), OK, variant=variant)
        for variant in ("uncached", "cached")
        for name in ("timestamp.json", "root.json", "1.root.json", "targets.{targets}.json")
    ),
    *(
        Case(f"{variant}-missing", lambda s: s.read("root.json"), NOT_FOUND, variant=variant)
        for variant in ("uncached", "cached")
    ),
]


@pytest.mark.differential
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_reading(case: Case, arena: Arena) -> None:
    """Both servers serve the same bytes and headers."""
    arena.judge(case)
