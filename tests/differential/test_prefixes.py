"""`repositories.gun_prefixes`: only repositories below the listed prefixes exist."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.publisher import Publisher, Reply, form, root_key

from .arena import Arena
from .case import NOT_FOUND, OK, Answer, Case, Play, Stage

INVALID_GUN = Answer(400, "INVALID_GUN")


def outside(ask: Callable[[Stage], Reply]) -> Play:
    """A request for a repository that is under none of the prefixes."""

    def play(stage: Stage) -> Reply:
        stage.gun = stage.gun.replace("good/", "bad/", 1)
        return ask(stage)

    return play


def called(gun: str, ask: Callable[[Stage], Reply]) -> Play:
    """A request for a repository of some name."""

    def play(stage: Stage) -> Reply:
        stage.gun = gun + stage.gun.rpartition("-")[2]
        return ask(stage)

    return play


def whole(stage: Stage) -> Reply:
    """Keys, publish, read."""
    stage.pub = Publisher(stage.gun, root=root_key("*")).learn(stage.client)
    stage.name_keys(stage.pub)
    stage.good(stage.pub.first())
    return stage.read("timestamp.json")


def post(stage: Stage) -> Reply:
    """An upload; what it holds must not matter."""
    return stage.client.upload(stage.gun, *form({"root": b"{}"}))


def post_badly(stage: Stage) -> Reply:
    """An upload that is no form."""
    return stage.client.upload(stage.gun, "text/plain", b"x")


CASES = [
    Case(name, play, answer, variant="prefixes")
    for name, play, answer in [
        ("inside", whole, OK),
        ("inside-the-second", called("also/fine/", whole), OK),
        ("inside-deep", called("good/a/b/c/d/", whole), OK),
        ("outside-read", outside(lambda s: s.read("root.json")), NOT_FOUND),
        ("outside-version", outside(lambda s: s.read("1.root.json")), NOT_FOUND),
        ("outside-key", outside(lambda s: s.read("timestamp.key")), NOT_FOUND),
        ("outside-rotate", outside(lambda s: s.client.rotate(s.gun, "timestamp")), NOT_FOUND),
        ("outside-delete", outside(lambda s: s.client.delete(s.gun)), NOT_FOUND),
        ("outside-feed", outside(lambda s: s.client.changes(s.gun)), NOT_FOUND),
        ("outside-feed-bad", outside(lambda s: s.client.changes(s.gun, "records=x")), NOT_FOUND),
        ("second-in-part", called("also/other/", lambda s: s.read("timestamp.key")), NOT_FOUND),
        ("prefix-without-slash", called("goodness/", lambda s: s.read("timestamp.key")), NOT_FOUND),
        ("prefix-in-other-case", called("GOOD/", lambda s: s.read("timestamp.key")), NOT_FOUND),
        ("prefix-inside", called("x/good/", lambda s: s.read("timestamp.key")), NOT_FOUND),
        ("ping", lambda s: s.client.get("/v2/"), OK),
        ("health", lambda s: s.client.get("/_notary_server/health"), OK),
        ("unknown-path", lambda s: s.client.get("/v2/bad/nothing"), NOT_FOUND),
    ]
]
POSTS = [
    ("outside-upload", outside(post)),
    ("outside-upload-no-form", outside(post_badly)),
    ("second-in-part-upload", called("also/other/", post)),
    ("prefix-in-other-case-upload", called("GOOD/", post)),
]


@pytest.mark.differential
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_prefixes(case: Case, arena: Arena) -> None:
    """Both servers know the same repositories."""
    arena.judge(case)


@pytest.mark.differential
@pytest.mark.parametrize(
    "case", [Case(n, p, INVALID_GUN, variant="prefixes") for n, p in POSTS], ids=lambda case: case.name
)
def test_uploads_outside(case: Case, arena: Arena) -> None:
    """Both servers refuse an upload outside of the prefixes before they look at it."""
    arena.judge(case)
