"""The changefeed: records, paging in both directions, parameters."""

from __future__ import annotations

import pytest

from tests.publisher import Reply

from .arena import Arena
from .case import NOT_FOUND, OK, Answer, Case, Play, Stage
from .describe import learn_made

BAD_RECORDS = Answer(400, "INVALID_PARAMETERS")
BAD_ID = Answer(400, "INVALID_PARAMETERS")


def history(stage: Stage) -> list[str]:
    """Five updates, a deletion, two updates; the ids of their records, oldest first."""
    pub = stage.established()
    learn_made(stage)
    for version in range(2, 6):
        stage.good({"targets": pub.targets(version)})
        learn_made(stage)
    assert stage.delete().status == 200
    pub = stage.owner()
    stage.good({"root": pub.root(), "targets": pub.targets(9)})
    stage.good({"targets": pub.targets(10)})
    return [record["ID"] for record in stage.client.changes(stage.gun).json["records"]]


def query(text: str) -> Play:
    """The feed of a repository with a history; `{i0}` to `{i7}` take its ids."""

    def play(stage: Stage) -> Reply:
        ids = history(stage)
        assert len(ids) == 8
        named = {f"i{number}": one for number, one in enumerate(ids)}
        return stage.client.changes(stage.gun, text.format(**named))

    return play


def fresh(text: str) -> Play:
    """The feed of a repository that nobody published."""
    return lambda stage: stage.client.changes(stage.gun, text)


def everywhere(text: str) -> Play:
    """The feed of all repositories, after something happened here; only statuses and headers are compared."""

    def play(stage: Stage) -> Reply:
        stage.established()
        reply = stage.client.changes(None, text)
        stage.notes["count"] = reply.json and reply.json.get("count")
        stage.notes["mine"] = [r["GUN"] == stage.gun for r in (reply.json or {}).get("records", [])]
        return Reply(reply.status, reply.headers)

    return play


def after_mine(stage: Stage) -> Reply:
    """The global feed from just before this repository's first record."""
    ids = history(stage)
    return stage.client.changes(None, f"records=8&change_id={int(ids[0]) - 1}")


def global_error(text: str) -> Play:
    """The global feed with bad parameters."""
    return lambda stage: stage.client.changes(None, text)


def refused_leaves_nothing(stage: Stage) -> Reply:
    """A refused upload is not a change."""
    pub = stage.established()
    assert stage.publish({"targets": pub.targets(1)}).status == 400
    return stage.client.changes(stage.gun)


def shown(text: str) -> str:
    """A query as a name."""
    return "".join(char if char.isalnum() else "_" for char in text) or "empty"


GOOD = [
    "records=100",
    "records=1",
    "records=3",
    "records=0",
    "records=%2B2",
    "records=%2b2&change_id=%2b0",
    "records=0003",
    "records=-1",
    "records=-3",
    "records=-100",
    "records=8&change_id={i0}",
    "records=2&change_id={i0}",
    "records=2&change_id={i6}",
    "records=2&change_id={i7}",
    "records=2&change_id=0",
    "records=2&change_id=",
    "records=0&change_id={i5}",
    "records=-2&change_id={i4}",
    "records=-2&change_id={i0}",
    "records=-2&change_id={i7}",
    "records=-2&change_id=0",
    "records=-2&change_id=",
    "records=-2&change_id=-1",
    "records=2&change_id=-1",
    "records=2&change_id=-77",
    "records=0&change_id=-1",
    "records=100&change_id=2147483647",
    "records=2&records=5",
    "records=2&change_id={i1}&change_id={i5}",
    "records=2&unknown=x",
    "records=2&Records=x",
    "records=2&change_id=%30",
    "records=%32",
    "x;y=1&records=2",
    "records=2&a=%zz",
    "&&records=2&",
]
BAD = [
    "",
    "records=",
    "records",
    "records=x",
    "records=1.0",
    "records=1e2",
    "records=0x10",
    "records=1_0",
    "records=+2",
    "records=%201",
    "records=1%20",
    "records=2147483648",
    "records=-2147483649",
    "records=99999999999999999999",
    "records=--1",
    "records=%D9%A1",
    "RECORDS=1",
    "records=1;change_id=1",
    "change_id=1",
]
BAD_IDS = [
    "records=1&change_id=x",
    "records=1&change_id=1.0",
    "records=1&change_id=9223372036854775808",
    "records=1&change_id=%201",
    "records=1&change_id=1_0",
]

CASES = [
    *(Case(f"feed-{shown(text)}", query(text), OK) for text in GOOD),
    *(Case(f"bad-{shown(text)}", fresh(text), BAD_RECORDS) for text in BAD),
    *(Case(f"bad-id-{shown(text)}", fresh(text), BAD_ID) for text in BAD_IDS),
    Case("feed-of-nobody", fresh("records=10"), Answer(200)),
    Case("feed-of-nobody-backwards", fresh("records=-10"), Answer(200)),
    Case("all-newest", everywhere("records=-1"), OK),
    Case("all-oldest", everywhere("records=1"), OK),
    Case("all-after-mine", after_mine, OK),
    Case("all-without-parameters", global_error(""), BAD_RECORDS),
    Case("all-bad-records", global_error("records=x"), BAD_RECORDS),
    Case("all-bad-id", global_error("records=1&change_id=x"), BAD_ID),
    Case("feed-with-slash", lambda s: s.client.get(s.address("changefeed/?records=1")), NOT_FOUND),
    Case(
        "feed-post",
        lambda s: s.client.request("POST", s.address("changefeed?records=1"), b""),
        NOT_FOUND,
        freedom="method",
    ),
    Case(
        "feed-head",
        lambda s: s.client.request("HEAD", s.address("changefeed?records=1")),
        Answer(404),
        freedom="head",
    ),
    Case("refused-leaves-nothing", refused_leaves_nothing, OK),
]


@pytest.mark.differential
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_changefeed(case: Case, arena: Arena) -> None:
    """Both servers tell the same history."""
    arena.judge(case)
