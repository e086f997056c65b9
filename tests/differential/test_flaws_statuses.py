"""Flaws 18 to 28 and 31 to 39: crashes, wrong statuses, leaks, and errors that say the wrong thing."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

import pytest

from tests.publisher import Part, Publisher, Reply, ecdsa_key, form

from .arena import Arena
from .case import (
    BAD_HIERARCHY,
    BAD_ROOT,
    BAD_SNAPSHOT,
    BAD_TARGETS,
    BAD_VALIDATION,
    MALFORMED_JSON,
    MALFORMED_UPLOAD,
    NO_ANSWER,
    NO_FILENAME,
    NOT_FOUND,
    OK,
    UNKNOWN,
    VERSION,
    Answer,
    Case,
    Play,
    Stage,
)
from .edits import put
from .plays import first, get, then

A, AB = "targets/a", "targets/a/b"
HUGE = 2**31


def cut(keep: float | int) -> Play:
    """A good upload whose body ends early; a fraction of it, or so many bytes, remain. The length is true."""

    def play(stage: Stage) -> Reply:
        files = stage.owner().first()
        content_type, body = form(files)
        size = keep if isinstance(keep, int) else int(len(body) * keep)
        return stage.sent(
            [Part(*file) for file in files.items()], stage.client.upload(stage.gun, content_type, body[:size])
        )

    return play


def headed(*lines: str) -> Play:
    """A part with malformed header lines."""

    def play(stage: Stage) -> Reply:
        files = stage.owner().first()
        good = f'Content-Disposition: form-data; name="files"; filename="{next(iter(files))}"'
        return stage.publish([Part(role, data, (good, *lines)) for role, data in files.items()])

    return play


def promised_more(stage: Stage) -> Reply:
    """A body shorter than its Content-Length, after which the client hangs up: nobody hears an answer."""
    files = stage.owner().first()
    content_type, body = form(files)
    head = f"POST {stage.address('tuf/')} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    head += f"Content-Type: {content_type}\r\nContent-Length: {len(body) + 100}\r\n\r\n"
    reply = stage.client.raw(head.encode() + body[: len(body) // 2], hang_up=True)
    return stage.sent([Part(*file) for file in files.items()], reply)


def text(role: str, data: bytes) -> Play:
    """A good first publish, one file of which is any text."""
    return lambda stage: stage.publish({**stage.owner().first(), role: data})


def signatures_only(role: str) -> Play:
    """A file with good signatures, and no `signed`."""

    def play(stage: Stage) -> Reply:
        files = dict(stage.owner(snapshot=ecdsa_key()).first())
        files[role] = b"{" + files[role][files[role].index(b'"signatures"') :]
        return stage.publish(files)

    return play


def unlisted(stage: Stage) -> Reply:
    """A role that the snapshot does not list."""
    stage.established()
    return stage.read("targets/nobody.json")


def at(gun: str, rest: str) -> Play:
    """GET of a repository whose encoded name is odd."""
    return lambda stage: stage.client.get(f"/v2/{gun}/_trust/{rest}")


def sent_to(gun: str) -> Play:
    """An upload to a repository whose encoded name is odd."""

    def play(stage: Stage) -> Reply:
        content_type, body = form(stage.owner().first())
        return stage.client.request("POST", f"/v2/{gun}/_trust/tuf/", body, {"Content-Type": content_type})

    return play


def versioned(role: str) -> Play:
    """An update with a version beyond 32 bits."""
    return then(lambda pub: {role: pub.targets(HUGE) if role == "targets" else pub.root(HUGE)})


def versioned_delegation(pub: Publisher) -> Mapping[str, bytes]:
    """A delegation whose version is beyond 32 bits."""
    return {"targets": pub.targets(2, delegates=[A]), A: pub.delegation(A, HUGE)}


def versioned_snapshot(stage: Stage) -> Reply:
    """A client-signed snapshot whose version is beyond 32 bits."""
    pub = stage.owner(snapshot=ecdsa_key())
    files = {"root": pub.root(), "targets": pub.targets()}
    return stage.publish({**files, "snapshot": pub.snapshot(files, HUGE)})


def unsigned_server(stage: Stage) -> Reply:
    """A publish while the signer cannot be reached."""
    stage.pub = Publisher(stage.gun)
    stage.pub.server_keys = {"timestamp": ecdsa_key().object, "snapshot": ecdsa_key().object}
    return stage.publish(stage.pub.first())


def read_by_another(stage: Stage) -> Reply:
    """One repository's file, asked for under another one by checksum."""
    pub = stage.established()
    data = stage.read("root.json").body
    digest = hashlib.sha256(data).hexdigest()
    assert stage.read(f"root.{digest}.json").status == 200
    other = Publisher(f"{stage.gun}-b").learn(stage.client)
    assert stage.client.publish(other.gun, other.first()).status == 200
    assert pub.gun != other.gun
    return stage.client.role(other.gun, f"root.{digest}.json")


def read_after_deletion(role: str) -> Play:
    """A file read once by checksum, and again after the deletion."""

    def play(stage: Stage) -> Reply:
        stage.established()
        digest = hashlib.sha256(stage.read(f"{role}.json").body).hexdigest()
        assert stage.read(f"{role}.{digest}.json").status == 200
        assert stage.delete().status == 200
        return stage.read(f"{role}.{digest}.json")

    return play


def orphan(stage: Stage) -> Reply:
    """A delegation whose parent is announced, but was never published."""
    pub = stage.established()
    stage.good({"targets": pub.targets(2, delegates=[A])})
    return stage.publish({AB: pub.delegation(AB)})


def invented(role: str) -> Play:
    """A root that names a key which the server does not hold."""

    def play(stage: Stage) -> Reply:
        pub = stage.owner()
        pub.server_keys[role] = ecdsa_key().object
        return stage.publish({"root": pub.root(), "targets": pub.targets()})

    return play


def modified(stage: Stage) -> Reply:
    """Whether `Last-Modified` of every kind of read says GMT."""
    stage.established()
    zones = set()
    for name in ("root.json", "timestamp.json", "1.targets.json"):
        value = stage.read(name).headers["last-modified"]
        assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d \S+", value)
        zones.add(value.rpartition(" ")[2])
    return Reply(200, body=",".join(sorted(zones)).encode())


def deletion_record(stage: Stage) -> Reply:
    """SHA256 of a deletion record."""
    stage.established()
    assert stage.delete().status == 200
    record = stage.client.changes(stage.gun, "records=-1").json["records"][0]
    assert (record["Category"], record["Version"]) == ("deletion", 0)
    return Reply(200, body=record["SHA256"].encode())


NULL_SIGNED = b'{"signed":null,"signatures":[{"keyid":"a","method":"b","sig":"AAAA"}]}'
NUL, BROKEN, LONG = "a%00b", "a%ff%feb", "n" * 256

CRASHES = [
    *(Case(f"18-cut-at-{n}", cut(n), MALFORMED_JSON) for n in (0.3, 0.6, 0.9)),
    Case("18-cut-at-0.01", cut(0.01), MALFORMED_UPLOAD, flaw=18, old=NO_ANSWER),
    Case("18-cut-in-the-last-boundary", cut(-4), MALFORMED_UPLOAD, flaw=18, old=NO_ANSWER),
    Case("18-only-a-boundary", cut(62), MALFORMED_UPLOAD, flaw=18, old=NO_ANSWER),
    Case("18-header-without-colon", headed("no colon here"), MALFORMED_UPLOAD, flaw=18, old=NO_ANSWER),
    Case("18-header-continued", headed(" : x"), NO_FILENAME),
    Case("18-promised-more", promised_more, NO_ANSWER),
    Case("19-no-signed-root", signatures_only("root"), BAD_ROOT),
    Case("19-no-signed-targets", signatures_only("targets"), BAD_TARGETS, flaw=19, old=NO_ANSWER),
    Case("19-no-signed-snapshot", signatures_only("snapshot"), BAD_SNAPSHOT, flaw=19, old=NO_ANSWER),
    Case("19-null-signed-root", text("root", NULL_SIGNED), BAD_ROOT),
    Case("19-null-signed-targets", text("targets", NULL_SIGNED), BAD_TARGETS, flaw=19, old=NO_ANSWER),
    Case(
        "20-null-delegated-role",
        first(targets={"edit": put("delegations.roles", [None])}),
        BAD_TARGETS,
        flaw=20,
        old=NO_ANSWER,
    ),
]
STATUSES = [
    Case("22-unlisted-role", unlisted, NOT_FOUND, flaw=22, old=UNKNOWN),
    Case("23-version-0", get("0.root.json"), NOT_FOUND, flaw=23, old=OK),
    Case("23-version-000", get("000.targets.json"), NOT_FOUND, flaw=23, old=OK),
    Case("24-version-2-31", get(f"{2**31}.root.json"), NOT_FOUND, flaw=24, old=UNKNOWN),
    Case("24-version-2-63", get(f"{2**63 - 1}.root.json"), NOT_FOUND, flaw=24, old=UNKNOWN),
    Case("25-version-2-31-in-targets", versioned("targets"), BAD_TARGETS, flaw=25, old=VERSION),
    Case("25-version-2-31-in-a-delegation", then(versioned_delegation), BAD_TARGETS, flaw=25, old=VERSION),
    Case("25-version-2-31-in-a-snapshot", versioned_snapshot, BAD_SNAPSHOT, flaw=25, old=VERSION),
    *(
        Case(f"26-{name}-{number}", at(gun, rest), NOT_FOUND, flaw=26, old=UNKNOWN)
        for name, gun in (("nul", NUL), ("not-utf-8", BROKEN))
        for number, rest in enumerate(
            ("tuf/root.json", "tuf/1.root.json", "tuf/timestamp.key", "changefeed?records=1")
        )
    ),
    *(
        Case(
            f"26-upload-{name}",
            sent_to(gun),
            Answer(400, "INVALID_GUN"),
            flaw=26,
            old=Answer(400, "INVALID_UPDATE"),
        )
        for name, gun in (("nul", NUL), ("not-utf-8", BROKEN))
    ),
    Case("27-long-gun-key", at(LONG, "tuf/timestamp.key"), NOT_FOUND, flaw=27, old=UNKNOWN),
    Case("27-long-gun-read", at(LONG, "tuf/root.json"), NOT_FOUND),
    Case(
        "31-signer-unreachable",
        unsigned_server,
        Answer(503, "UNAVAILABLE"),
        flaw=31,
        old=BAD_VALIDATION,
        variant="no signer",
    ),
    Case(
        "31-signer-unreachable-key",
        lambda s: s.read("timestamp.key"),
        Answer(503, "UNAVAILABLE"),
        flaw=31,
        old=UNKNOWN,
        variant="no signer",
    ),
]
LEAKS = [
    Case("32-checksum-under-another-gun", read_by_another, NOT_FOUND, flaw=32, old=OK),
    *(
        Case(f"33-{r}-after-deletion", read_after_deletion(r), NOT_FOUND, flaw=33, old=OK)
        for r in ("root", "targets", "snapshot", "timestamp")
    ),
    Case("34-local-snapshot-key", invented("snapshot"), BAD_HIERARCHY, variant="local keys"),
    Case("35-local-timestamp-key", invented("timestamp"), BAD_ROOT, variant="local keys"),
    Case("36-parent-not-published", orphan, BAD_TARGETS, flaw=36, old=Answer(400, "INVALID_UPDATE")),
    Case("38-last-modified", modified, Answer(200, body=b"GMT"), flaw=38, old=Answer(200, body=b"+0000")),
    Case(
        "39-deletion-record", deletion_record, Answer(200, body=b""), flaw=39, old=Answer(200, body=b" " * 64)
    ),
]


@pytest.mark.differential
@pytest.mark.parametrize("case", CRASHES, ids=lambda case: case.name)
def test_crashes(case: Case, arena: Arena) -> None:
    """The old server closes the connection without an answer; ours says what is wrong."""
    arena.judge(case)


@pytest.mark.differential
@pytest.mark.parametrize("case", STATUSES, ids=lambda case: case.name)
def test_statuses(case: Case, arena: Arena) -> None:
    """The old server answers with a status that blames the wrong side."""
    arena.judge(case)


@pytest.mark.differential
@pytest.mark.parametrize("case", LEAKS, ids=lambda case: case.name)
def test_leaks(case: Case, arena: Arena) -> None:
    """The old server tells too much or the wrong thing."""
    arena.judge(case)
