"""The server's keys: asking, rotating, both algorithms, and what roots make of them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.publisher import Reply, ecdsa_key, key_id

from .arena import Arena
from .case import BAD_ROOT, BAD_VALIDATION, NOT_FOUND, OK, Answer, Case, Play, Stage
from .plays import request


def asked(role: str, *, established: bool) -> Play:
    """GET a key."""

    def play(stage: Stage) -> Reply:
        if established:
            stage.established()
        return stage.read(f"{role}.key")

    return play


def same(
    *requests: Callable[[Stage, str], Reply], established: bool = False, role: str = "timestamp"
) -> Play:
    """Several requests for a key; whether they all give the same one is noted."""

    def play(stage: Stage) -> Reply:
        if established:
            stage.established()
        replies = [one(stage, role) for one in requests]
        ids = [key_id(reply.json) for reply in replies]
        stage.notes["same"] = [ids.index(one) for one in ids]
        if established:
            stage.notes["listed"] = [one in stage.keys for one in ids]
        return replies[-1]

    return play


def ask(stage: Stage, role: str) -> Reply:
    """GET."""
    return stage.read(f"{role}.key")


def rotate(stage: Stage, role: str) -> Reply:
    """POST."""
    return stage.client.rotate(stage.gun, role)


def posted(role: str) -> Play:
    """POST for a key of a repository that nobody published."""
    return lambda stage: rotate(stage, role)


def rotated(*roles: str, keep: bool = False, twice: bool = False) -> Play:
    """New server keys, put into a new root."""

    def play(stage: Stage) -> Reply:
        pub = stage.established()
        for role in roles:
            before = pub.server_keys[role]
            pub.server_keys[role] = stage.client.rotate(stage.gun, role).json
            stage.notes[role] = key_id(before) == key_id(pub.server_keys[role])
        stage.name_keys(pub)
        reply = stage.publish({"root": pub.root(2)})
        if twice:
            for role in roles:
                pub.server_keys[role] = stage.client.rotate(stage.gun, role).json
            stage.name_keys(pub)
            reply = stage.publish({"root": pub.root(3)})
        return reply

    return play


def rotated_back(stage: Stage) -> Reply:
    """The old timestamp key, listed again after a rotation."""
    pub = stage.established()
    before = pub.server_keys["timestamp"]
    pub.server_keys["timestamp"] = stage.client.rotate(stage.gun, "timestamp").json
    stage.name_keys(pub)
    stage.good({"root": pub.root(2)})
    pub.server_keys["timestamp"] = before
    return stage.publish({"root": pub.root(3)})


def both_keys(stage: Stage) -> Reply:
    """Two server keys for one role: both sign."""
    pub = stage.established()
    new = stage.client.rotate(stage.gun, "timestamp").json
    stage.name_keys(pub)
    stage.keys[key_id(new)] = "server timestamp key"

    def edit(signed: dict) -> None:  # type: ignore[type-arg]
        signed["keys"][key_id(new)] = new
        signed["roles"]["timestamp"]["keyids"].append(key_id(new))

    reply = stage.publish({"root": pub.root(2, edit=edit)})
    made = stage.read("timestamp.json").json
    stage.notes["signatures"] = len(made["signatures"])
    return reply


def swapped(stage: Stage) -> Reply:
    """The server's snapshot key listed for the timestamp and the other way round."""
    pub = stage.owner()
    keys = pub.server_keys
    keys["timestamp"], keys["snapshot"] = keys["snapshot"], keys["timestamp"]
    return stage.publish(pub.first())


def invented(role: str) -> Play:
    """A root that names a key for the server that nobody holds."""

    def play(stage: Stage) -> Reply:
        pub = stage.owner()
        pub.server_keys[role] = ecdsa_key().object
        return stage.publish({"root": pub.root(), "targets": pub.targets()})

    return play


def unused_then_published(stage: Stage) -> Reply:
    """After the first publish the key has signed: a rotation gives another one."""
    stage.established()
    first = stage.read("timestamp.key").json
    second = stage.client.rotate(stage.gun, "timestamp").json
    third = stage.client.rotate(stage.gun, "timestamp").json
    stage.notes["ids"] = [key_id(first) == key_id(second), key_id(second) == key_id(third)]
    return stage.read("timestamp.key")


def after_deletion(stage: Stage) -> Reply:
    """Keys stay when a repository is deleted, but have signed."""
    pub = stage.established()
    before = key_id(pub.server_keys["timestamp"])
    stage.delete()
    reply = stage.read("timestamp.key")
    stage.notes["same"] = key_id(reply.json) == before
    return reply


ROLES = ("timestamp", "snapshot")

CASES = [
    *(Case(f"get-{r}-new", asked(r, established=False), OK) for r in ROLES),
    *(Case(f"get-{r}", asked(r, established=True), OK) for r in ROLES),
    *(
        Case(f"get-{r}", asked(r, established=False), NOT_FOUND)
        for r in ("root", "targets", "targets/a", "mirrors", "Timestamp")
    ),
    *(Case(f"rotate-{r}", posted(r), NOT_FOUND) for r in ("root", "targets", "targets/a", "mirrors")),
    *(Case(f"post-{r}-new", posted(r), OK) for r in ROLES),
    *(Case(f"same-key-again-{r}", same(ask, ask, role=r), OK) for r in ROLES),
    *(Case(f"post-gives-the-unused-{r}", same(ask, rotate, ask, rotate, role=r), OK) for r in ROLES),
    *(
        Case(f"post-after-publish-{r}", same(ask, rotate, rotate, ask, established=True, role=r), OK)
        for r in ROLES
    ),
    Case("unused-then-published", unused_then_published, OK),
    Case("rotate-timestamp", rotated("timestamp"), OK),
    Case("rotate-snapshot", rotated("snapshot"), OK),
    Case("rotate-both", rotated("timestamp", "snapshot"), OK),
    Case("rotate-timestamp-twice", rotated("timestamp", twice=True), OK),
    Case("rotate-snapshot-twice", rotated("snapshot", twice=True), OK),
    Case("old-key-again", rotated_back, OK),
    Case("both-keys-sign", both_keys, OK),
    Case(
        "invented-snapshot-key",
        invented("snapshot"),
        Answer(400, "INVALID_UPDATE", "ErrBadHierarchy"),
        flaw=34,
        old=BAD_VALIDATION,
    ),
    Case("invented-timestamp-key", invented("timestamp"), BAD_ROOT, flaw=35, old=BAD_VALIDATION),
    Case("after-deletion", after_deletion, OK),
    Case("post-with-a-body", request("POST", "_trust/tuf/timestamp.key", b"x" * 100, established=False), OK),
    Case(
        "delete-a-key",
        request("DELETE", "_trust/tuf/timestamp.key", established=False),
        NOT_FOUND,
        freedom="method",
    ),
    Case(
        "put-a-key",
        request("PUT", "_trust/tuf/timestamp.key", b"", established=False),
        NOT_FOUND,
        freedom="method",
    ),
    Case("ed25519-key", asked("timestamp", established=False), OK, variant="ed25519"),
    Case("ed25519-publish", lambda s: (s.established(), s.read("timestamp.json"))[1], OK, variant="ed25519"),
    Case("ed25519-snapshot", lambda s: (s.established(), s.read("snapshot.json"))[1], OK, variant="ed25519"),
]


@pytest.mark.differential
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_keys(case: Case, arena: Arena) -> None:
    """Both servers hand out and use their keys alike."""
    arena.judge(case)
