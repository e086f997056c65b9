"""Tokens over HTTP: what each address asks for, on both kinds of connections, and that nothing passes without it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from notary_server.app import SystemClock
from notary_server.auth.access import Wanted
from notary_server.config.auth import Auth
from notary_server.http.call import Settings
from notary_server.http.dispatch import Address, Outcome, resolve
from notary_server.token_issuers import token_access
from notary_server.tuf.names import Gun
from tests.publisher import Publisher, form
from tests.support.tokens import REALM, SERVICE, Signer, access, claims, options

from .running import RawReply, Running

SIGNER, STRANGER = Signer(), Signer()
GUN = "good/team/app"
GOOD = {"repository": (GUN, ("pull", "push", "*")), "registry": ("catalog", ("*",))}
NOT_PLAIN = ("Content-Length: 0",)
"""A header that makes aiohttp answer."""


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server that asks for tokens, with everything in `public/` to be read by anybody."""
    section = options(tmp_path_factory.mktemp("auth"), SIGNER)
    made = Auth.model_validate({**section, "anonymous_pull": ["public/"]})
    settings = Settings(gun_prefixes=("good/", "public/"))
    with Running(settings, access=token_access(made, SystemClock())) as running:
        yield running


def bearer(*entries: Any, signer: Signer = SIGNER, **changes: Any) -> str:
    """The header field of a token."""
    return "Authorization: Bearer " + signer.token(claims(*entries, **changes))


def challenge_of(reply: RawReply) -> dict[str, str]:
    """The parameters of the one challenge."""
    assert reply.data.lower().count(b"www-authenticate:") == 1
    scheme, _, rest = reply.fields["www-authenticate"].partition(" ")
    assert scheme == "Bearer"
    return dict(re.findall(r'(\w+)="([^"]*)"', rest))


def outcome(reply: RawReply) -> tuple[int, str | None, str | None]:
    """Status, scope and error of an answer."""
    if reply.status != 401:
        return reply.status, None, None
    told = challenge_of(reply)
    assert (told["realm"], told["service"]) == (REALM, SERVICE)
    (error,) = json.loads(reply.body)["errors"]
    kind, _, rest = told["scope"].partition(":")
    name, _, actions = rest.rpartition(":")
    wanted = [{"Type": kind, "Class": "", "Name": name, "Action": one} for one in actions.split(",")]
    assert (error["code"], error["detail"]) == ("UNAUTHORIZED", wanted)
    return 401, told["scope"], told.get("error")


CATALOG, PULL, PUSH, ALL = (
    "registry:catalog:*", f"repository:{GUN}:pull", f"repository:{GUN}:pull,push", f"repository:{GUN}:*"
)  # fmt: skip
TUF = f"/v2/{GUN}/_trust/tuf/"
ADDRESSES = [
    ("GET", "/v2/", CATALOG, 200),
    ("GET", "//v2/", CATALOG, 200),
    ("GET", "/", CATALOG, 404),
    ("GET", "/v2", CATALOG, 404),
    ("PUT", "/v2/", CATALOG, 404),
    ("GET", "/v2/_trust/changefeed?records=1", CATALOG, 200),
    ("GET", f"/v2/{GUN}/_trust/tuf", CATALOG, 404),
    ("GET", TUF + "root.json", PULL, 404),
    ("GET", TUF + "1.root.json", PULL, 404),
    ("GET", TUF + f"root.{'a' * 64}.json", PULL, 404),
    ("GET", TUF + "targets/releases.json", PULL, 404),
    ("GET", f"/v2/{GUN}/_trust/changefeed?records=1", PULL, 200),
    ("GET", TUF + "timestamp.key", PUSH, 200),
    ("POST", TUF, PUSH, 400),
    ("POST", TUF + "snapshot.key", ALL, 200),
    ("DELETE", TUF, ALL, 200),
]
FREE = [
    ("GET", "/_notary_server/health", 200),
    ("GET", "/metrics", 200),
    ("PATCH", "/v2/", 405),
    ("OPTIONS", TUF, 405),
    ("POST", "//v2/", 301),
    ("GET", "/v2/a/../b", 301),
    ("GET", "/v2/%zz", 400),
    ("GET", "/v2/bad/x/_trust/tuf/root.json", 404),
    ("POST", "/v2/bad/x/_trust/tuf/", 400),
]


@pytest.mark.parametrize("plain", [True, False], ids=["plain", "aiohttp"])
@pytest.mark.parametrize(("method", "target", "scope", "status"), ADDRESSES)
def test_each_address_asks_for_its_scope(
    guarded: Running, method: str, target: str, scope: str, status: int, plain: bool
) -> None:
    """Without a token, with a bad one, with one action too few, and with enough."""
    more = () if plain else NOT_PLAIN
    kind, _, rest = scope.partition(":")
    name, _, actions = rest.rpartition(":")
    assert outcome(guarded.ask(method, target, *more)) == (401, scope, None)
    assert outcome(guarded.ask(method, target, bearer(exp=1), *more)) == (401, scope, "invalid_token")
    for missing in actions.split(","):
        had = {"pull", "push", "delete", "PULL"} - {missing}
        token = bearer(access(name, *had, type=kind))
        assert outcome(guarded.ask(method, target, token, *more)) == (401, scope, "insufficient_scope")
    token = bearer(*(access(name, one, type=kind) for one in actions.split(",")))
    assert guarded.ask(method, target, token, *more).status == status
    assert guarded.ask(method, target, bearer(access(name, "*", type=kind)), *more).status == status


@pytest.mark.parametrize(("method", "target", "status"), FREE)
def test_what_nobody_needs_a_token_for(guarded: Running, method: str, target: str, status: int) -> None:
    """Health, metrics, what no method or address answers, and names outside the prefixes."""
    assert guarded.ask(method, target).status == status
    assert guarded.ask(method, target, "Authorization: Bearer garbage").status == status


def published(guarded: Running, gun: str, token: str) -> dict[str, bytes]:
    """A repository that exists, by someone with this token; its files."""
    owner, address = Publisher(gun), f"/v2/{gun}/_trust/tuf/"
    for role in ("timestamp", "snapshot"):
        owner.server_keys[role] = json.loads(guarded.ask("GET", f"{address}{role}.key", token).body)
    files = owner.first()
    kind, body = form(files)
    assert guarded.ask("POST", address, token, f"Content-Type: {kind}", body=body).status == 200
    return files


def test_a_repository_is_invisible_to_others(guarded: Running) -> None:
    """Who has no token for it cannot even tell that it exists."""
    files = published(guarded, "good/mine", bearer(access("good/mine", "pull", "push")))
    theirs = bearer(access("good/other", "*"), access(GUN, "*"))
    for rest in ("root.json", "1.root.json", "timestamp.json"):
        mine, none = (
            guarded.ask("GET", f"/v2/good/{gun}/_trust/tuf/{rest}", theirs) for gun in ("mine", "none")
        )
        assert mine.status == none.status == 401
        assert mine.body == none.body.replace(b"good/none", b"good/mine")
    for method, rest in (("POST", ""), ("DELETE", ""), ("GET", "timestamp.key"), ("POST", "snapshot.key")):
        assert guarded.ask(method, f"/v2/good/mine/_trust/tuf/{rest}", theirs).status == 401
    reader = bearer(access("good/mine", "pull"))
    for method, rest in (("POST", ""), ("DELETE", ""), ("GET", "timestamp.key"), ("POST", "snapshot.key")):
        assert guarded.ask(method, f"/v2/good/mine/_trust/tuf/{rest}", reader).status == 401
    writer = bearer(access("good/mine", "pull", "push"))
    for method, rest in (("DELETE", ""), ("POST", "timestamp.key"), ("POST", "snapshot.key")):
        assert guarded.ask(method, f"/v2/good/mine/_trust/tuf/{rest}", writer).status == 401
    assert guarded.ask("GET", "/v2/good/mine/_trust/tuf/root.json", reader).body == files["root"]


@pytest.mark.parametrize(
    "target",
    [
        TUF.replace("app", "app2"),
        TUF.replace("app", "ap"),
        TUF.replace("app", "App"),
        TUF.replace("good/", "good/good/"),
        TUF.replace("/app", "/app/inner"),
        TUF.replace("/app", ""),
        TUF.replace("/app", "%2fapp%2fx"),
        TUF.replace("app", "app%20"),
        TUF.replace("app", "app%00"),
        TUF.replace("app", "app/_trust/tuf/app"),
        TUF.replace("app", "%61pp2"),
    ],
)
def test_no_other_name_opens(guarded: Running, target: str) -> None:
    """Whatever the address looks like, the token of one repository opens no other."""
    token = bearer(access(GUN, "*"), access("*", "*"), access("good/*", "*"), access("good/", "*"))
    for method, rest in (("GET", "root.json"), ("DELETE", ""), ("POST", "timestamp.key")):
        reply = guarded.ask(method, target + rest, token)
        assert outcome(reply)[2] == "insufficient_scope" or reply.status in {301, 404}


@pytest.mark.parametrize("spelled", [GUN, quote(GUN, safe=""), "%67ood/team/app", "good//team/app"])
def test_the_name_counts_and_not_its_spelling(guarded: Running, spelled: str) -> None:
    """Escapes and doubled slashes name the same repository, and take the same token."""
    target = f"/v2/{spelled}/_trust/tuf/root.json"
    assert outcome(guarded.ask("GET", target)) == (401, PULL, None)
    assert guarded.ask("GET", target, bearer(access(GUN, "pull"))).status == 404


@pytest.mark.parametrize("second", ["Authorization: Basic YTpi", bearer(access(GUN, "pull"))])
def test_two_authorization_headers_are_none(guarded: Running, second: str) -> None:
    """Whichever comes first."""
    first = bearer(access(GUN, "pull"))
    for fields in ((first, second), (second, first)):
        assert outcome(guarded.ask("GET", TUF + "root.json", *fields)) == (401, PULL, None)


@pytest.mark.parametrize(
    "value",
    [
        "Basic YTpi", "Bearer", "Bearer ", "bearer", "Bearer a b", "Negotiate x", "", "Bearer\tx",
    ],
)  # fmt: skip
def test_other_credentials_are_none(guarded: Running, value: str) -> None:
    """They are asked for a token like those who bring nothing."""
    assert outcome(guarded.ask("GET", TUF + "root.json", f"Authorization: {value}")) == (401, PULL, None)


@pytest.mark.parametrize("value", ["x" * 60_000, "x" * 7_000, "a.b.c", "ü.ü.ü", "." * 1000])
def test_garbage_is_an_invalid_token(guarded: Running, value: str) -> None:
    """Long, binary, or nearly a token."""
    reply = guarded.ask("GET", TUF + "root.json", f"Authorization: Bearer {value}")
    assert outcome(reply) == (401, PULL, "invalid_token")


@pytest.mark.parametrize("name", ['good/a"b', 'good/a",error="x', "good/ünï", "good/a,b:c=d"])
@pytest.mark.parametrize("more", [(), NOT_PLAIN], ids=["plain", "aiohttp"])
def test_names_cannot_break_the_challenge(guarded: Running, name: str, more: tuple[str, ...]) -> None:
    """Quotes and commas of a name stay inside its quotes, on both kinds of connections."""
    reply = guarded.ask("GET", f"/v2/{quote(name)}/_trust/tuf/root.json", *more)
    assert reply.status == 401
    escaped = name.replace('"', '\\"')
    assert reply.fields["www-authenticate"].endswith(f',scope="repository:{escaped}:pull"')
    assert json.loads(reply.body)["errors"][0]["detail"][0]["Name"] == name


def test_a_refused_publish_stores_nothing_and_keeps_the_connection_usable(guarded: Running) -> None:
    """The answer comes before the upload is looked at, also to a large one."""
    kind, body = form({"root": b"x" * 100_000})
    reply = guarded.ask("POST", TUF, f"Content-Type: {kind}", body=body)
    assert outcome(reply) == (401, PUSH, None)


def test_public_repositories_are_read_without_a_token_and_changed_with_one(guarded: Running) -> None:
    """Portieris asks for root.json without credentials first; the ping still asks everybody for a token."""
    address = "/v2/public/app/_trust/tuf/"
    files = published(guarded, "public/app", bearer(access("public/app", "pull", "push")))
    for token in (
        "X-Nothing: 1",
        bearer(exp=1),
        "Authorization: Bearer garbage",
        "Authorization: Basic YTpi",
    ):
        assert guarded.ask("GET", address + "root.json", token).body == files["root"]
        assert guarded.ask("GET", "/v2/public/app/_trust/changefeed?records=1", token).status == 200
        for method, rest in (
            ("GET", "timestamp.key"),
            ("POST", ""),
            ("DELETE", ""),
            ("POST", "snapshot.key"),
        ):
            assert outcome(guarded.ask(method, address + rest, token))[0] == 401
        assert outcome(guarded.ask("GET", "/v2/", token))[:2] == (401, CATALOG)


@pytest.mark.parametrize("target", ["/v2/", "//v2/", "/nowhere", "/v2/g/_trust/tuf"])
def test_an_open_server_answers_at_once_what_a_guarded_one_asks_about(target: str) -> None:
    """Where nobody is asked who they are, no task is made for an answer that is known already."""
    assert isinstance(resolve("GET", target, (), guarded=False), Outcome)
    found = resolve("GET", target, (), guarded=True)
    assert isinstance(found, Address)
    assert found.wanted == Wanted("catalog", Gun(""))


def test_refusals_are_counted_by_reason(guarded: Running) -> None:
    """Who asks for the first time is told apart from who has a token that grants too little."""

    def counted(reason: str) -> float:
        text = guarded.ask("GET", "/metrics").body.decode()
        found = re.search(rf'notary_server_access_refusals_total{{reason="{reason}"}} (\S+)', text)
        return float(found[1]) if found else 0.0

    before = {reason: counted(reason) for reason in ("no-token", "access")}
    for fields in ((), (bearer(access(GUN, "pull")),)):
        assert guarded.ask("POST", TUF, *fields).status == 401
    assert {reason: counted(reason) - before[reason] for reason in before} == {"no-token": 1, "access": 1}
