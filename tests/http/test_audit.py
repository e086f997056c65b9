"""What the audit log holds after writes and refusals, and what becomes of writes when it cannot be written."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from notary_common.journal import Journal
from notary_server.auth.access import Wanted
from notary_server.errors import Unauthorized
from notary_server.http.audit import MAX_REFUSALS, AuditLog, access_refused, name_refused
from notary_server.http.rate import RateLimits, Rates
from notary_server.tuf.names import Gun
from tests.publisher import Publisher

from .running import Running


class Audited(Running):
    """A running server and its audit file."""

    def __init__(self, path: Path, **more: Any) -> None:
        self.path = path
        super().__init__(audit=AuditLog(Journal(path, 1 << 20, 1)), **more)

    def entries(self, gun: str) -> list[dict[str, Any]]:
        """What is recorded of one repository."""
        found = [json.loads(line) for line in self.path.read_text().splitlines()]
        return [entry for entry in found if entry.get("gun") == gun]


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Audited]:
    """One for the tests of this module."""
    with Audited(tmp_path_factory.mktemp("audit") / "audit.log") as running:
        yield running


def test_a_publish_is_recorded_with_all_that_was_stored(audited: Audited) -> None:
    """Who, from where, and every file by role, version and digest, the server's own included."""
    owner = Publisher("audit/app").learn(audited.client)
    files = owner.first()
    reply = audited.client.publish("audit/app", files)
    assert reply.status == 200
    *_, entry = audited.entries("audit/app")
    served = {
        role: audited.client.role("audit/app", f"{role}.json").body
        for role in ("root", "targets", "snapshot", "timestamp")
    }
    assert {one["role"]: one["sha256"] for one in entry.pop("files")} == {
        role: hashlib.sha256(data).hexdigest() for role, data in served.items()
    }
    assert entry.pop("time").endswith("Z")
    assert entry == {
        "action": "publish",
        "outcome": "done",
        "gun": "audit/app",
        "identity": "",
        "issuer": "",
        "client": "127.0.0.1",
        "request_id": reply.headers["x-request-id"],
    }


def test_every_write_and_refusal_leaves_one_line(audited: Audited) -> None:
    """Keys, deletions, refused uploads with the files in question; reads leave none."""
    owner = Publisher("audit/all").learn(audited.client)
    bad = owner.first() | {"targets": owner.targets(1, signers=owner.root_keys)}
    assert audited.client.publish("audit/all", bad).status == 400
    assert audited.client.publish("audit/all", {"nonsense": b"{}"}).status == 400
    key = audited.client.rotate("audit/all", "timestamp").json
    assert key["keytype"]
    assert audited.client.delete("audit/all").status == 200
    assert audited.client.role("audit/all", "root.json").status == 404
    found = audited.entries("audit/all")
    assert [(entry["action"], entry["outcome"], entry.get("code")) for entry in found] == [
        ("get key", "done", None),
        ("get key", "done", None),
        ("publish", "refused", "INVALID_UPDATE"),
        ("publish", "refused", "INVALID_ROLE"),
        ("rotate key", "done", None),
        ("delete", "done", None),
    ]
    assert {(one["role"], one["version"], one["sha256"]) for one in found[2]["files"]} == {
        (role, None, hashlib.sha256(data).hexdigest()) for role, data in bad.items()
    }
    assert len(found[4]["key"]) == 64


def test_a_write_to_no_possible_repository_is_recorded(audited: Audited) -> None:
    """Under the address as it was sent, which nobody can take for a repository's name."""
    for method, target, *fields in (
        ("POST", "/v2/a%5Cb/_trust/tuf/", "Content-Length: 0"),
        ("DELETE", "/v2/a%00b/_trust/tuf/"),
        ("GET", "/v2/a%5Cb/_trust/tuf/timestamp.key"),
        ("GET", "/v2/a%5Cb/_trust/tuf/snapshot.key", "TE: x"),
    ):
        audited.ask(method, target, *fields)
        (entry,) = audited.entries(target)
        assert (entry["outcome"], entry["code"]) == ("refused", "INVALID_GUN")


def test_a_defect_is_recorded_as_failed(tmp_path: Path) -> None:
    """Whatever goes wrong, a write that was begun leaves its line."""

    class Broken:
        async def delete(self, _: object) -> bool:
            raise RuntimeError("a defect")

    with Audited(tmp_path / "audit.log", wrap_store=lambda _: Broken()) as running:
        assert running.client.delete("g").status == 500
        assert [entry["outcome"] for entry in running.entries("g")] == ["failed"]


def test_whoever_goes_on_trying_does_not_fill_the_file(tmp_path: Path) -> None:
    """Of refusals for the rate of writes only the first in a minute is recorded."""
    with Audited(tmp_path / "audit.log", rates=Rates(RateLimits(client_writes=1))) as running:
        statuses = [running.client.delete("g").status for _ in range(20)]
        assert statuses == [200] + [429] * 19
        assert len(running.entries("g")) == 2


def test_no_write_is_begun_while_the_file_cannot_be_written(tmp_path: Path) -> None:
    """The write at which it shows is recorded in the log; then 503 for writes, and reads go on, until it is mended."""
    place = tmp_path / "place"
    place.mkdir()
    with Audited(place / "audit.log") as running, capture_logs() as logged:
        assert running.client.delete("first").status == 200
        place.rename(tmp_path / "away")
        assert running.client.delete("second").status == 200
        (entry,) = [one["entry"] for one in logged if one["event"] == "the audit log cannot be written"]
        assert (entry["gun"], entry["outcome"]) == ("second", "done")
        reply = running.client.delete("third")
        assert (reply.status, reply.headers["retry-after"]) == (503, "5")
        assert running.client.get("/v2/").status == 200
        place.mkdir()
        assert running.client.delete("fourth").status == 200
        found = [json.loads(line) for line in running.path.read_text().splitlines()]
        assert [entry["action"] for entry in found] == ["audit", "delete"]
        assert found[1]["gun"] == "fourth"


def test_without_a_file_entries_are_logged_whatever_the_level() -> None:
    """The quietest level of the log does not silence them, and they are lines of the log like others."""
    program = """if True:
        from notary_common.log import configure, get_logger
        from notary_server.http.audit import AuditLog, Entry
        from notary_server.tuf.names import Gun
        audit = AuditLog()
        configure("panic", "json")
        get_logger().error("not shown")
        audit.write(Entry("delete", Gun("logged"), "192.0.2.1", "id"), "done")
    """
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    entry = json.loads(done.stderr)
    assert (entry["msg"], entry["action"], entry["gun"]) == ("audit", "delete", "logged")


def test_access_that_is_refused_is_recorded_if_somebody_claimed_it(tmp_path: Path) -> None:
    """A first request without credentials is how clients learn where to get them: anybody can send any number."""
    path = tmp_path / "audit.log"
    audit = AuditLog(Journal(path, 1 << 20, 1))
    refusal = Unauthorized("the token does not grant push", "Bearer", [], subject="bob", issuer="tokens")
    for headers in ({}, {"authorization": "Bearer secret-token"}):
        access_refused(audit, Wanted("push", Gun("a/b")), headers, "192.0.2.1", "id", refusal)
    (line,) = path.read_text().splitlines()
    entry = json.loads(line)
    assert (entry["action"], entry["outcome"], entry["code"]) == ("access", "refused", "UNAUTHORIZED")
    assert (entry["identity"], entry["issuer"]) == ("bob", "tokens")
    assert "secret" not in line


def test_whoever_is_refused_again_and_again_does_not_fill_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bounded number of lines in a minute for each client; another client's, and the next minute's, are written."""
    now = [600.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    path = tmp_path / "audit.log"
    audit = AuditLog(Journal(path, 1 << 20, 1))

    def refuse(client: str, times: int) -> int:
        before = len(path.read_text().splitlines()) if path.exists() else 0
        for _ in range(times):
            name_refused(audit, "DeleteTUF", "/v2/%00/_trust/tuf/", client, "id")
        return len(path.read_text().splitlines()) - before

    assert refuse("192.0.2.1", 500) == MAX_REFUSALS
    assert refuse("192.0.2.2", 1) == 1
    now[0] += 60
    assert refuse("192.0.2.1", 1) == 1
