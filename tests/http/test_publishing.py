"""Publish, read back, delete: whole ways through the server."""

from __future__ import annotations

import hashlib
import json
import re
import threading

import pytest

from notary_server.http.caching import CachePolicy
from notary_server.http.call import Settings
from tests.publisher import Client, Part, Publisher, Verifier, form

from .running import Running


def published(server: Running, gun: str) -> tuple[Publisher, dict[str, bytes]]:
    """A repository that exists, its owner and its files."""
    owner = Publisher(gun).learn(server.client)
    files = owner.first()
    reply = server.client.publish(gun, files)
    assert (reply.status, reply.body) == (200, b""), str(reply)
    return owner, files


def test_what_is_published_is_served_byte_for_byte(server: Running) -> None:
    """Each uploaded file comes back the same: current, by version and by checksum."""
    _, files = published(server, "http/bytes")
    for role, data in files.items():
        digest = hashlib.sha256(data).hexdigest()
        for name in (f"{role}.json", f"1.{role}.json", f"01.{role}.json", f"{role}.{digest}.json"):
            reply = server.client.role("http/bytes", name)
            assert (reply.status, reply.body) == (200, data), name
            assert reply.headers["content-length"] == str(len(data))
            assert reply.headers["content-type"] == "text/plain; charset=utf-8"


def test_a_strict_client_can_read_what_the_server_signed(server: Running) -> None:
    """An independent implementation verifies the whole repository, snapshot and timestamp included."""
    published(server, "http/verified")
    assert Verifier(server.client, "http/verified").problems() == []


def test_cache_headers_and_dates(server: Running) -> None:
    """Current files must be revalidated, addressed ones may be kept for long; dates are in GMT."""
    published(server, "http/caching")
    current = server.client.role("http/caching", "timestamp.json").headers
    assert current["cache-control"] == "public, max-age=300, s-maxage=300, must-revalidate"
    assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", current["last-modified"])
    assert "pragma" not in current
    versioned = server.client.role("http/caching", "1.root.json").headers
    assert versioned["cache-control"] == "public, max-age=2592000, s-maxage=2592000"
    for name in ("2.root.json", "timestamp.key"):
        assert (
            not {"cache-control", "pragma", "last-modified"}
            & server.client.role("http/caching", name).headers.keys()
        )


def test_caching_can_be_turned_off() -> None:
    """A lifetime of 0 forbids caching in the words of HTTP/1.1 and 1.0."""
    with Running(Settings(caching=CachePolicy(0, 0))) as server:
        published(server, "g")
        for name in ("root.json", "1.root.json"):
            headers = server.client.role("g", name).headers
            assert (headers["cache-control"], headers["pragma"]) == (
                "max-age=0, no-cache, no-store",
                "no-cache",
            )


@pytest.mark.parametrize(
    "name",
    [
        "0.root.json",
        "2.root.json",
        "2147483648.root.json",
        "99999999999999999999999.root.json",
        "root." + "0" * 64 + ".json",
        "root." + "0" * 96 + ".json",
        "targets/a.json",
        "targets/Not-A-Role.json",
    ],
)
def test_files_that_do_not_exist_are_404(server: Running, name: str) -> None:
    """Version 0, versions beyond 32 or 64 bits, unknown digests and unlisted roles are all just not there."""
    if server.client.role("http/missing", "root.json").status == 404:
        published(server, "http/missing")
    reply = server.client.role("http/missing", name)
    assert (reply.status, reply.code, reply.error["detail"]) == (404, "METADATA_NOT_FOUND", {})


def test_upper_case_digests_find_nothing(server: Running) -> None:
    """Only the lower-case spelling of a SHA-256 is an address."""
    _, files = published(server, "http/upper")
    digest = hashlib.sha256(files["root"]).hexdigest()
    assert server.client.role("http/upper", f"root.{digest.upper()}.json").status == 404
    assert (
        server.client.role("http/upper", f"root.{hashlib.sha512(files['root']).hexdigest()}.json").status
        == 404
    )


def test_files_are_found_under_their_own_name_only_and_not_after_deletion(server: Running) -> None:
    """Neither another repository or role nor the past serves a file by its checksum."""
    _, files = published(server, "http/own")
    published(server, "http/other")
    name = f"root.{hashlib.sha256(files['root']).hexdigest()}.json"
    assert server.client.role("http/own", name).status == 200
    assert server.client.role("http/other", name).status == 404
    assert server.client.role("http/own", name.replace("root", "targets")).status == 404
    assert (server.client.delete("http/own").status, server.client.delete("http/own").body) == (200, b"")
    assert server.client.role("http/own", name).status == 404
    assert server.client.role("http/own", "timestamp.json").status == 404


def test_keys_stay_the_same_until_they_are_used_and_rotate_after(server: Running) -> None:
    """Get and rotate hand out one unused key; once it has signed, a rotation makes another, a get does not."""
    client, gun = server.client, "http/keys"
    first = client.role(gun, "timestamp.key")
    assert first.body == client.role(gun, "timestamp.key").body == client.rotate(gun, "timestamp").body
    assert re.fullmatch(rb'\{"keytype":"ed25519","keyval":\{"public":"[^"]+","private":null\}\}', first.body)
    published(server, gun)
    assert client.role(gun, "timestamp.key").body == first.body
    assert client.rotate(gun, "timestamp").body != first.body
    assert client.role(gun, "timestamp.key").body == first.body
    for role in ("root", "targets", "targets/a"):
        assert client.role(gun, f"{role}.key").status == client.rotate(gun, role).status == 404


def test_an_unlisted_server_key_of_another_repository_is_not_handed_out(server: Running) -> None:
    """A key is only ever told to the repository that it was made for."""
    mine, other = (server.client.role(gun, "snapshot.key").body for gun in ("http/mine", "http/not-mine"))
    assert mine != other


def test_changefeed_tells_updates_and_deletions_in_order(server: Running) -> None:
    """One record per stored timestamp with its version and digest, and one per deletion, oldest first."""
    gun = "http/feed"
    published(server, gun)
    stamp = server.client.role(gun, "timestamp.json").body
    server.client.delete(gun)
    server.client.delete(gun)
    reply = server.client.changes(gun)
    assert reply.headers["content-type"] == "text/plain; charset=utf-8"
    feed = reply.json
    assert list(feed) == ["count", "records"]
    assert [list(record) for record in feed["records"]] == [
        ["ID", "CreatedAt", "GUN", "Version", "SHA256", "Category"]
    ] * 2
    update, deletion = feed["records"]
    assert feed["count"] == 2
    assert (update["Version"], update["SHA256"], update["Category"]) == (
        1,
        hashlib.sha256(stamp).hexdigest(),
        "update",
    )
    assert (deletion["Version"], deletion["SHA256"], deletion["Category"]) == (0, "", "deletion")
    assert int(update["ID"]) < int(deletion["ID"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d*[1-9])?Z", update["CreatedAt"])
    assert server.client.changes("http/no-feed").body == b'{"count":0,"records":[]}'


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ("", str),
        ("records=x", str),
        ("records=+1", str),
        ("records=2147483648", str),
        ("RECORDS=1", str),
        ("records=1;&x=2", str),
        ("records=%zz", str),
        ("records=1_0", str),
        ("records=1&change_id=x", dict),
        ("records=1&change_id=-9223372036854775809", dict),
    ],
)
def test_changefeed_questions_that_make_no_sense(server: Running, query: str, detail: type) -> None:
    """`records` must be there and both must be signed 32-bit decimals."""
    reply = server.client.changes(None, query)
    assert (reply.status, reply.code) == (400, "INVALID_PARAMETERS")
    assert isinstance(reply.error["detail"], detail)


@pytest.mark.parametrize(
    "query", ["records=%2B2", "records=-1&records=x", "records=0&change_id=", "records=01&x;y"]
)
def test_changefeed_questions_that_do(server: Running, query: str) -> None:
    """A plus sign, leading zeros, the first of several, zero, an empty change_id, dropped others."""
    assert server.client.changes(None, query).status == 200


def test_changefeed_answers_are_bounded() -> None:
    """However many records are asked for, the operator's limit holds, forwards and backwards."""
    with Running(max_changes=2) as server:
        for number in range(3):
            published(server, f"g{number}")
        forwards = server.client.changes(None, "records=2147483647").json["records"]
        backwards = server.client.changes(None, "records=-2147483648").json["records"]
        newest = server.client.changes(None, "records=2&change_id=-5").json["records"]
    assert [record["GUN"] for record in forwards] == ["g0", "g1"]
    assert [record["GUN"] for record in backwards] == [record["GUN"] for record in newest] == ["g1", "g2"]


def test_prefixes_come_before_everything_else() -> None:
    """A repository outside the permitted prefixes: a publish learns it in words, all else is not found."""
    with Running(Settings(gun_prefixes=("good/", "fine/"))) as server:
        published(server, "good/g")
        refused = server.client.publish("bad/g", {"nonsense": b""})
        assert (refused.status, refused.code, refused.name) == (400, "INVALID_GUN", "ErrValidation")
        assert "good/" in refused.error["detail"]["Error"]["Msg"]
        for reply in (
            server.client.role("bad/g", "timestamp.key"),
            server.client.rotate("bad/g", "timestamp"),
            server.client.delete("bad/g"),
            server.client.changes("bad/g"),
            server.client.role("goodness", "root.json"),
        ):
            assert (reply.status, reply.code) == (404, "METADATA_NOT_FOUND")
        assert server.client.changes().status == 200


def test_a_lost_race_is_told_to_the_loser(server: Running) -> None:
    """Of many who publish the same version at once one wins; the others read what happened and what to do."""
    gun = "http/race"
    owner, _ = published(server, gun)
    uploads = [
        owner.targets(2, targets={f"v{number}": {"hashes": {"sha256": "a" * 43 + "="}, "length": 1}})
        for number in range(6)
    ]
    replies = []

    def publish(data: bytes) -> None:
        replies.append(Client(f"http://127.0.0.1:{server.port}").publish(gun, {"targets": data}))

    threads = [threading.Thread(target=publish, args=(data,)) for data in uploads]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(reply.status for reply in replies) == [200] + [400] * 5
    for loser in (reply for reply in replies if reply.status == 400):
        assert (loser.code, loser.name) == ("VERSION", "ErrValidation")
        assert "publish again" in loser.error["detail"]["Error"]["Msg"]
    assert server.client.role(gun, "targets.json").body in uploads
    assert Verifier(server.client, gun).problems() == []


def test_a_refused_upload_leaves_nothing(server: Running) -> None:
    """One bad file among good ones: 400, and the repository stays as it was."""
    owner, files = published(server, "http/refused")
    before = server.client.role("http/refused", "timestamp.json").body
    reply = server.client.publish(
        "http/refused", {"root": files["root"], "targets": owner.targets(2, signers=owner.root_keys)}
    )
    assert (reply.status, reply.code, len(reply.body) <= 1024) == (400, "INVALID_UPDATE", True)
    assert server.client.role("http/refused", "timestamp.json").body == before
    assert server.client.role("http/refused", "2.targets.json").status == 404


def test_expired_timestamps_are_renewed_when_they_are_read() -> None:
    """Reading an expired timestamp stores and serves its successor; within its life it stays the same."""
    with Running() as server:
        published(server, "g")
        first = server.client.role("g", "timestamp.json").body
        server.clock.forward(days=13)
        assert server.client.role("g", "timestamp.json").body == first
        server.clock.forward(days=2)
        renewed = server.client.role("g", "timestamp.json").body
        assert json.loads(renewed)["signed"]["version"] == 2
        assert server.client.role("g", "timestamp.json").body == renewed
        assert server.client.changes("g").json["count"] == 2
        server.clock.forward(days=3 * 365)
        snapshot = server.client.role("g", "snapshot.json").body
        assert json.loads(snapshot)["signed"]["version"] == 2
        assert json.loads(server.client.role("g", "timestamp.json").body)["signed"]["version"] == 3


def test_a_crowd_of_readers_renews_once() -> None:
    """Many who read an expired timestamp at once are all served one and the same successor."""
    with Running() as server:
        published(server, "g")
        server.clock.forward(days=15)
        bodies: list[bytes] = []
        threads = [
            threading.Thread(target=lambda: bodies.append(server.client.role("g", "timestamp.json").body))
            for _ in range(12)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(set(bodies)) == 1
        assert json.loads(bodies[0])["signed"]["version"] == 2


def test_metrics_and_health(server: Running) -> None:
    """Requests are counted under Notary's names; health is `{}` before anything was found wrong."""
    server.client.changes()
    reply = server.client.get("/metrics")
    text = reply.body.decode()
    assert reply.headers["content-type"].startswith("text/plain")
    assert re.search(
        r'^notary_server_http_requests_total\{code="200",method="get",operation="Changefeed"\} [1-9]',
        text,
        re.M,
    )
    for quantity in ("request_duration_microseconds", "request_size_bytes", "response_size_bytes"):
        for operation in ("UpdateTUF", "GetRole", "GetRoleByHash", "GetRoleByVersion", "GetKey", "RotateKey"):
            assert f'notary_server_http_{quantity}_count{{operation="{operation}"}}' in text
            assert f'notary_server_http_{quantity}{{operation="{operation}",quantile="0.99"}}' in text
    health = server.client.get("/_notary_server/health")
    assert (health.status, health.body) == (200, b"{}")
    assert health.headers["content-type"] == "application/json; charset=utf-8"


def test_content_encoding_of_an_upload_is_ignored(server: Running) -> None:
    """The body is taken as it came, whatever encoding its header claims."""
    owner = Publisher("http/encoding").learn(server.client)
    kind, body = form([Part(role, data) for role, data in owner.first().items()])
    headers = {"Content-Type": kind, "Content-Encoding": "gzip"}
    target = Client.path("http/encoding", "tuf/")
    assert server.client.request("POST", target, body, headers).status == 200
