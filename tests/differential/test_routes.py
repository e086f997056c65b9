"""Addresses: what is routed, with which methods, and what becomes of odd paths."""

from __future__ import annotations

import pytest

from tests.publisher import Publisher, Reply, root_key

from .arena import Arena
from .case import NOT_FOUND, OK, Answer, Case, Play, Stage
from .plays import get, plain

EMPTY_405 = Answer(405, body=b"")
MOVED = Answer(301)


def raw(path: str, method: str = "GET") -> Play:
    """A request line as it is, on an established repository; `{gun}` takes its name."""

    def play(stage: Stage) -> Reply:
        stage.established()
        reply = stage.client.request(method, path.format(gun=stage.gun))
        where = reply.headers.get("location", "")
        stage.notes["location"] = where.replace(stage.gun, "GUN") if reply.status == 301 else None
        return reply

    return play


def on(method: str, rest: str, body: bytes | None = None) -> Play:
    """A method on one address of an established repository."""

    def play(stage: Stage) -> Reply:
        stage.established()
        return stage.client.request(method, stage.address(rest), body)

    return play


def named(gun: str) -> Play:
    """A repository of some name, published and read."""

    def play(stage: Stage) -> Reply:
        stage.gun = gun.format(stage.gun)
        stage.pub = Publisher(stage.gun, root=root_key("*")).learn(stage.client)
        stage.name_keys(stage.pub)
        stage.good(stage.pub.first())
        return stage.read("root.json")

    return play


def listening(stage: Stage) -> Reply:
    """Liveness."""
    return stage.client.get("/v2/")


TUF = "tuf/root.json"
UNCLEAN = [
    "//v2/{gun}/_trust/tuf/root.json",
    "/v2//{gun}/_trust/tuf/root.json",
    "/v2/{gun}//_trust/tuf/root.json",
    "/v2/{gun}/_trust//tuf/root.json",
    "/v2/{gun}/./_trust/tuf/root.json",
    "/v2/x/../{gun}/_trust/tuf/root.json",
    "/v2/{gun}/_trust/tuf/x/../root.json",
    "/v2/%2e%2e/v2/{gun}/_trust/tuf/root.json",
    "/v2/{gun}%2f%2f_trust/tuf/root.json",
    "//v2/",
    "/v2//",
]
UNKNOWN = [
    "/",
    "/v2",
    "/v1/",
    "/v2/x",
    "/index.html",
    "/favicon.ico",
    "/v2/_trust/tuf/root.json",
    "/v2/{gun}",
    "/v2/{gun}/",
    "/v2/{gun}/_trust",
    "/v2/{gun}/_trust/",
    "/v2/{gun}/_trust/tuf",
    "/v2/{gun}/_trust/tuf/",
    "/v2/{gun}/_trust/tuf/root",
    "/v2/{gun}/_trust/tuf/root.json/",
    "/v2/{gun}/_trust/tuf/root.txt",
    "/v2/{gun}/_trust/tuf/ROOT.json",
    "/v2/{gun}/_trust/tuf/root.JSON",
    "/v2/{gun}/_trust/tuf/targets/.json",
    "/v2/{gun}/_trust/tuf/.json",
    "/v2/{gun}/_trust/tuf/1.json",
    "/v2/{gun}/_trust/tuf/root.1.json",
    "/v2/{gun}/_trust/tuf/timestamp.key/",
    "/v2/{gun}/_TRUST/tuf/root.json",
    "/V2/{gun}/_trust/tuf/root.json",
    "/_notary_server/",
    "/_notary_server/health/",
    "/metrics/",
    "/v2/*/_trust/tuf/root.json",
    "/v2/a*b/_trust/tuf/root.json",
]


def shown(text: str) -> str:
    """A path as a name."""
    return (
        "".join(char if char.isalnum() else "_" for char in text.replace("/_trust/tuf", "")).strip("_")
        or "slash"
    )


CASES = [
    Case("v2", listening, Answer(200, body=b"{}")),
    Case("v2-head", plain("HEAD", "/v2/"), Answer(404), freedom="head"),
    Case("v2-post", plain("POST", "/v2/", b""), NOT_FOUND, freedom="method"),
    Case("v2-put", plain("PUT", "/v2/", b""), NOT_FOUND, freedom="method"),
    Case("v2-delete", plain("DELETE", "/v2/"), NOT_FOUND, freedom="method"),
    Case("v2-query", plain("GET", "/v2/?x=y"), Answer(200, body=b"{}")),
    Case("health", plain("GET", "/_notary_server/health"), Answer(200, body=b"{}")),
    Case("health-post", plain("POST", "/_notary_server/health", b""), NOT_FOUND, freedom="method"),
    *(
        Case(f"{m.lower()}-anywhere", plain(m, "/v2/x/_trust/tuf/"), EMPTY_405)
        for m in ("PATCH", "OPTIONS", "TRACE")
    ),
    *(Case(f"{m.lower()}-unknown-path", plain(m, "/nowhere"), EMPTY_405) for m in ("PATCH", "OPTIONS")),
    *(Case(f"{m.lower()}-nowhere", plain(m, "/nowhere"), NOT_FOUND) for m in ("POST", "PUT", "DELETE")),
    Case("head-nowhere", plain("HEAD", "/nowhere"), Answer(404), freedom="head"),
    Case("head-root", on("HEAD", TUF), Answer(404), freedom="head"),
    Case("post-root", on("POST", TUF, b""), NOT_FOUND, freedom="method"),
    Case("put-root", on("PUT", TUF, b""), NOT_FOUND, freedom="method"),
    Case("delete-root", on("DELETE", TUF), NOT_FOUND, freedom="method"),
    Case("delete-version", on("DELETE", "tuf/1.root.json"), NOT_FOUND, freedom="method"),
    Case("put-tuf", on("PUT", "tuf/", b""), NOT_FOUND, freedom="method"),
    Case("get-tuf", on("GET", "tuf/"), NOT_FOUND, freedom="method"),
    Case("post-tuf-without-slash", on("POST", "tuf", b""), NOT_FOUND, freedom="method"),
    Case("delete-tuf-without-slash", on("DELETE", "tuf"), NOT_FOUND, freedom="method"),
    *(
        Case(f"unclean-{number}-{shown(path)}"[:44], raw(path), MOVED, freedom="unclean path")
        for number, path in enumerate(UNCLEAN)
    ),
    *(
        Case(f"unknown-{number}-{shown(path)}"[:44], raw(path), NOT_FOUND)
        for number, path in enumerate(UNKNOWN)
    ),
    Case("encoded-letter", raw("/v2/{gun}/_trust/tuf/%72oot.json"), OK),
    Case("encoded-slash", raw("/v2/{gun}%2F_trust%2ftuf/root.json"), OK),
    Case("encoded-version", raw("/v2/{gun}/_trust/tuf/%31.root.json"), OK),
    Case("query-string", raw("/v2/{gun}/_trust/tuf/root.json?a=b&c"), OK),
    Case("delegation-two-levels", get("targets/a/b.json"), NOT_FOUND, flaw=22, old=Answer(500, "UNKNOWN")),
    Case("gun-with-trust-inside", named("{}/_trust/tuf/x"), OK),
    Case("gun-with-port", named("localhost:5000/{}"), OK),
    Case("gun-upper-case", named("ABC/{}"), OK),
    Case("gun-one-segment", named("{}x".replace("/", "")), OK),
    Case("gun-with-dots", named("docker.io/library/..{}"), OK),
    Case("gun-with-space", lambda s: s.client.get("/v2/a%20b/_trust/tuf/root.json"), NOT_FOUND),
    Case("gun-unicode", lambda s: s.client.get("/v2/%C3%BCml/_trust/tuf/root.json"), NOT_FOUND),
    Case("gun-of-200", lambda s: s.client.get(f"/v2/{'a' * 200}/_trust/tuf/root.json"), NOT_FOUND),
    Case("gun-with-percent", lambda s: s.client.get("/v2/a%25b/_trust/tuf/root.json"), NOT_FOUND),
    Case("gun-with-plus", lambda s: s.client.get("/v2/a+b/_trust/tuf/root.json"), NOT_FOUND),
    Case("gun-with-question-mark", lambda s: s.client.get("/v2/a%3Fb/_trust/tuf/root.json"), NOT_FOUND),
    Case("bad-escape", lambda s: Reply(s.client.get("/v2/a%zz/_trust/tuf/root.json").status), Answer(400)),
    Case("bad-escape-short", lambda s: Reply(s.client.get("/v2/a%2").status), Answer(400)),
]


@pytest.mark.differential
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_routes(case: Case, arena: Arena) -> None:
    """Both servers find the same things under the same addresses."""
    arena.judge(case)
