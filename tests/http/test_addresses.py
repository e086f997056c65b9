"""Which address is answered by whom, and how addresses that are not clean are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from openapi_spec_validator import validate

from notary_server.http.routes import ROUTES, find_route

from .running import Running

NOT_FOUND = b'{"errors":[{"code":"METADATA_NOT_FOUND","message":"You have requested metadata that does not exist."}]}\n'
DOCUMENT = Path(__file__).parents[2] / "docs/reference/server-openapi.yaml"


def test_ping_is_answered_exactly_as_clients_expect(server: Running) -> None:
    """GET /v2/ is `{}` as plain text with its length, uncompressed, and names the request."""
    reply = server.ask("GET", "/v2/", "Accept-Encoding: gzip")
    assert reply.status == 200
    assert reply.body == b"{}"
    assert reply.fields["content-type"] == "text/plain; charset=utf-8"
    assert reply.fields["content-length"] == "2"
    assert reply.fields["x-request-id"]
    assert not {"transfer-encoding", "content-encoding", "etag"} & reply.fields.keys()


@pytest.mark.parametrize(
    "target",
    [
        "/",
        "/v2",
        "/metrics/",
        "/v2/g/_trust/tuf",
        "/v2/g/_trust/tuf/",
        "/v2/g/_trust/tuf/Root.json",
        "/v2/g/_trust/tuf/root.json/",
        "/v2/g/_trust/tuf/targets/a%20b.json",
        "/v2/_trust/tuf/root.json",
        "/v2/a*b/_trust/tuf/root.json",
        "/v2/a%00b/_trust/tuf/root.json",
        "/v2/a%ffb/_trust/tuf/root.json",
        "/v2/" + "a" * 256 + "/_trust/tuf/timestamp.key",
        "/v2/g/_trust/tuf/root.key",
    ],
)
def test_unknown_addresses_are_404_with_the_only_error_body_there_is(server: Running, target: str) -> None:
    """What no route or no possible repository stands behind is METADATA_NOT_FOUND, byte for byte as ever."""
    reply = server.ask("GET", target)
    assert (reply.status, reply.body) == (404, NOT_FOUND)
    assert reply.fields["content-type"] == "application/json; charset=utf-8"


@pytest.mark.parametrize("target", ["//v2/", "/v2//", "/v2///"])
def test_doubled_slashes_in_a_get_are_answered_not_redirected(server: Running, target: str) -> None:
    """Portieris sends //v2/; it gets the answer of /v2/ itself."""
    assert server.ask("GET", target).body == b"{}"


@pytest.mark.parametrize(
    ("method", "target", "location"),
    [
        ("POST", "//v2/", "/v2/"),
        ("DELETE", "/v2//", "/v2/"),
        ("PATCH", "/a//b", "/a/b"),
        ("POST", "/v2/a//b/_trust/tuf/", "/v2/a/b/_trust/tuf/"),
        ("GET", "/v2/a/../b/_trust/tuf/root.json?x=%zz&y", "/v2/b/_trust/tuf/root.json?x=%zz&y"),
        ("GET", "/v2/%2e%2E/v2/", "/v2/"),
        ("GET", "/../..//", "/"),
        ("GET", "http://host/v2/./", "http://host/v2/"),
        ("GET", "/v2/a!/./%C3%A9%ff(%20)+,;=@~?", "/v2/a%21/%C3%A9%FF%28%20%29+,;=@~?"),
    ],
)
def test_unclean_addresses_are_redirected(server: Running, method: str, target: str, location: str) -> None:
    """Dot segments always, doubled slashes for other methods than GET: 301, no body, the clean address."""
    reply = server.ask(method, target)
    assert (reply.status, reply.fields["location"], reply.body) == (301, location, b"")
    assert reply.fields["content-length"] == "0"
    assert "content-type" not in reply.fields


@pytest.mark.parametrize("target", ["/v2/%zz/_trust/tuf/root.json", "/v2/%", "/v2/%2", "v2/"])
def test_undecodable_addresses_are_plain_400(server: Running, target: str) -> None:
    """An escape that is none is answered as plain text and the connection ends."""
    reply = server.ask("GET", target)
    assert (reply.status, reply.body) == (400, b"400 Bad Request")


@pytest.mark.parametrize("method", ["PATCH", "OPTIONS", "PROPFIND", "FOO"])
@pytest.mark.parametrize("target", ["/v2/", "/v2/g/_trust/tuf/", "/nowhere"])
def test_other_methods_are_405_without_a_body(server: Running, method: str, target: str) -> None:
    """No address has methods beyond those Notary knows."""
    reply = server.ask(method, target)
    assert (reply.status, reply.body, reply.fields["content-length"]) == (405, b"", "0")


@pytest.mark.parametrize("target", ["/v2/", "/metrics", "/v2/g/_trust/tuf/root.json"])
def test_head_is_404_everywhere(server: Running, target: str) -> None:
    """HEAD is never routed to a GET handler; its answer tells the length of the body it leaves out."""
    reply = server.ask("HEAD", target)
    assert (reply.status, reply.body, reply.fields["content-length"]) == (404, b"", str(len(NOT_FOUND)))


@pytest.mark.parametrize(
    ("path", "gun", "role"),
    [
        ("/v2/a/_trust/tuf/b/_trust/tuf/root.json", "a/_trust/tuf/b", "root"),
        ("/v2/a/_trust/tuf/targets/_trust/tuf/x.json", "a", "targets/_trust/tuf/x"),
        ("/v2/v2/_trust/tuf/targets/1.json", "v2", "targets/1"),
    ],
)
def test_the_last_trust_of_a_path_counts(path: str, gun: str, role: str) -> None:
    """A repository's name may itself hold `/_trust/tuf/`."""
    found = find_route("GET", path)
    assert found is not None
    assert (found[1]["gun"], found[1]["role"]) == (gun, role)


def test_impossible_repositories_cannot_be_published(server: Running) -> None:
    """A publish to a name that no repository can have is INVALID_GUN in the shape that clients show."""
    for gun in ("a%00", "a%ff", "a" * 256):
        reply = server.ask("POST", f"/v2/{gun}/_trust/tuf/", "Content-Length: 0")
        error = json.loads(reply.body)["errors"][0]
        assert (reply.status, error["code"], error["detail"]["Name"]) == (400, "INVALID_GUN", "ErrValidation")


def test_broken_http_gets_an_answer_that_quotes_nothing(server: Running) -> None:
    """What is no request at all is told so, without its own bytes in the answer."""
    reply = server.raw(b"GET /v2/ HTTP/1.1\r\nHost: x\r\nsecret-looking header\r\n\r\n")
    assert (reply.status, reply.body) == (400, b"400 Bad Request")


def test_the_openapi_document_is_valid_and_names_every_route() -> None:
    """Each row of the table of routes is an operation of the document, and the other way round."""
    document = yaml.safe_load(DOCUMENT.read_text())
    validate(document)
    described = {
        (method.upper(), path.replace("/v2/{gun}", "GUN").replace("/v2/_trust", "ALL/_trust"))
        for path, item in document["paths"].items()
        for method in item
        if method != "parameters"
    }
    samples = {
        "{role}": "snapshot",
        "{checksum}": "0" * 64,
        "{version}": "3",
        "{standard_role}": "Alice",
        "{path}": "dir/file",
    }
    answered = set()
    for method, path in described:
        concrete = path.replace("GUN", "/v2/a/b").replace("ALL", "/v2")
        for name, sample in samples.items():
            concrete = concrete.replace(name, sample)
        found = find_route(method, concrete)
        assert found is not None, f"{method} {path} is described but not served"
        answered.add(id(found[0]))
    assert len(answered) == len(described)
    assert answered == {id(route) for route in ROUTES}


@pytest.mark.parametrize("middle", ["/a/_trust/tuf/targets", "/_trust/tuf/targets", "/_trust/tuf/1"])
def test_long_addresses_are_answered_like_any_other(server: Running, middle: str) -> None:
    """An address made to keep the patterns busy is 404, or INVALID_GUN for a publish."""
    assert server.ask("GET", "/v2/a" + middle * 600 + "/x.json").status == 404
    reply = server.ask("POST", "/v2/a" + middle * 600 + "/_trust/tuf/", "Content-Length: 0")
    assert (reply.status, json.loads(reply.body)["errors"][0]["code"]) == (400, "INVALID_GUN")
