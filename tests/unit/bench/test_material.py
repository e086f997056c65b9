"""What the bench plays: seeded repositories, prepared uploads, and reading what wrk told."""

from __future__ import annotations

import base64
import hashlib
import json

from bench import reading, requests, seeding
from bench.requests import PING, Request
from bench.uploads import Targets
from tests.publisher import canonical, ecdsa_key, form
from tests.publisher.verifier import verifies


def test_seeded_files_are_linked_by_their_hashes_and_differ() -> None:
    """A client can walk from the timestamp to every file; no two repositories share one."""
    one, other = seeding.gun(1), seeding.gun(2)
    snapshot = json.loads(one.files["snapshot"])["signed"]["meta"]
    listed = {**snapshot, **json.loads(one.files["timestamp"])["signed"]["meta"]}
    for role, entry in listed.items():
        assert base64.b64decode(entry["hashes"]["sha256"]).hex() == one.digest(role)
        assert entry["length"] == len(one.files[role])
    assert set(listed) == {"root", "targets", "targets/releases", "snapshot"}
    assert not set(one.files.values()) & set(other.files.values())
    assert seeding.gun(1) == one


def test_an_upload_signed_ahead_is_the_form_that_a_client_sends() -> None:
    """Start and ending together are the usual form over a file whose signature verifies."""
    key, file = ecdsa_key(), Targets(3)
    ((version, ending),) = file.endings(key, 12345, 1)
    document = json.loads(file.file(key, version))
    (signature,) = document["signatures"]
    assert document["signed"]["version"] == version
    assert len(document["signed"]["targets"]) == 3
    message = canonical(document["signed"])
    assert verifies(key.object, "ecdsa", base64.b64decode(signature["sig"]), message)
    body = file.before + ending
    data = body[body.index(b'{"signed"') : body.rindex(b"\r\n--")]
    assert form({"targets": data}) == (file.content_type, body)
    assert json.loads(data)["signed"] == document["signed"]


def test_the_pulls_are_those_of_docker() -> None:
    """Six requests at first, two when nothing has changed."""
    gun = seeding.gun(5)
    first, again = requests.first_pull(gun), requests.next_pull(gun)
    assert [one.path.rpartition("/")[2].partition(".")[0] for one in first] == [
        "", "root", "timestamp", "snapshot", "targets", "releases",
    ]  # fmt: skip
    assert again == [PING, requests.current(gun, "timestamp")]
    assert PING.sha256 == hashlib.sha256(b"{}").hexdigest()


def _told(**changes: int) -> dict[str, int]:
    sound = {"requests": 100, "bytes": 50_000, "http": 0, "connect": 0, "read": 0, "write": 0, "timeout": 0}
    return sound | changes


def test_a_sound_run_has_no_complaints() -> None:
    """All as expected: found, or missing where that is what was asked for."""
    assert reading.complaints(_told(), [Request("/", length=400)]) == ()
    assert reading.complaints(_told(http=100), [Request("/", 404)]) == ()


def test_what_is_wrong_with_a_run_is_told() -> None:
    """Errors, broken connections, short answers and silence."""
    wanted = [Request("/", length=400)]
    assert reading.complaints(_told(http=2), wanted) == ("2 x 4xx/5xx",)
    assert reading.complaints(_told(http=99), [Request("/", 404)]) == ("1 x 200",)
    assert reading.complaints(_told(read=3, timeout=1), wanted) == ("3 x read failed", "1 x timeout failed")
    assert reading.complaints(_told(bytes=30_000), wanted) == ("answers are shorter than the files",)
    assert reading.complaints(_told(requests=0, bytes=0), wanted) == ("no answers at all",)
