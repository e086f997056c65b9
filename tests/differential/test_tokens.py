"""Tokens: who is let in, and what is said to those who are not, on both servers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.publisher import Client, Reply
from tests.support.tokens import ISSUER, REALM, SERVICE, access, claims
from tests.unit.auth.test_verify import CHANGES, PULL, ROOT, RSA, SIGNER

from .servers import OldServers, OurServers

pytestmark = pytest.mark.differential

GUN = "g"
TUF = f"/v2/{GUN}/_trust/tuf/"


@dataclass(frozen=True)
class Guarded:
    """Both servers, asking for tokens of the same issuer."""

    old: Client
    ours: Client

    def both(self, method: str, target: str, authorization: str | None) -> tuple[Any, Any]:
        """What the old server answers, and what ours does."""
        headers = {} if authorization is None else {"Authorization": authorization}
        old, ours = (told(one.request(method, target, headers=headers)) for one in (self.old, self.ours))
        return old, ours


def told(reply: Reply) -> dict[str, Any]:
    """Status, challenge and error, with the actions as a set: they come in no particular order."""
    found: dict[str, Any] = {"status": reply.status, "code": reply.code}
    if reply.status == 401:
        detail = reply.error["detail"]
        found["detail"] = sorted(tuple(sorted(entry.items())) for entry in detail)
        challenge = reply.headers["www-authenticate"]
        pattern = r'Bearer realm="([^"]*)",service="([^"]*)",scope="([^"]*):([^":]*)"(?:,error="([a-z_]*)")?'
        match = re.fullmatch(pattern, challenge)
        assert match is not None, challenge
        realm, service, resource, actions, error = match.groups()
        found["challenge"] = realm, service, resource, sorted(actions.split(",")), error
        found["type"] = reply.headers["content-type"]
    return found


@pytest.fixture(scope="module")
def guarded(old: OldServers, ours: OurServers, tmp_path_factory: pytest.TempPathFactory) -> Guarded:
    """Servers of their own, over the databases of the others."""
    bundle = Path(tmp_path_factory.mktemp("tokens")) / "bundle.pem"
    bundle.write_bytes(SIGNER.pem + RSA.pem + ROOT.pem)
    options = {"realm": REALM, "service": SERVICE, "issuer": ISSUER, "rootcertbundle": str(bundle)}
    changes = {"auth": {"type": "token", "options": options}}
    return Guarded(old.configured("with-auth", changes), ours.configured("with-auth", changes))


REFUSED_HERE_ONLY = {"x5c of nine", "crit", "257 accesses", "too long", "nested too deep"}
"""Bounds, and extensions that RFC 7515 has refused by whoever does not know them."""
TAKEN_HERE_ONLY = {"audience in a list"}
CRASHES_THERE = {"null access", "null among accesses"}
"""Flaw 21: the old server closes the connection without an answer."""
REFUSED_AS_MALFORMED_HERE = {"null among actions"}


@pytest.mark.parametrize("name", CHANGES)
def test_the_same_tokens_open_the_same_door(guarded: Guarded, name: str) -> None:
    """Status, challenge and body agree for every change to a token, but for those that are named."""
    old, ours = guarded.both("GET", TUF + "root.json", "Bearer " + CHANGES[name][0]())
    if name in REFUSED_HERE_ONLY:
        assert (old["status"], ours["status"]) in {(404, 401), (401, 401)}
        assert ours["challenge"][-1] == "invalid_token"
    elif name in TAKEN_HERE_ONLY:
        assert (old["status"], ours["status"]) == (401, 404)
    elif name in CRASHES_THERE:
        assert (old["status"], ours["status"], ours["challenge"][-1]) == (0, 401, "invalid_token")
    elif name in REFUSED_AS_MALFORMED_HERE:
        assert (old["challenge"][-1], ours["challenge"][-1]) == ("insufficient_scope", "invalid_token")
    else:
        assert old == ours


ADDRESSES = [
    *(
        ("GET", rest)
        for rest in ("/v2/", "/", "/v2", "/x", "/v2/_trust/changefeed", TUF + "Root.json", TUF[:-1])
    ),
    *(
        ("GET", TUF + rest)
        for rest in ("root.json", "2.root.json", f"root.{'a' * 64}.json", "targets/a.json")
    ),
    *(("GET", TUF + rest) for rest in ("timestamp.key", "snapshot.key", "root.key")),
    *(("POST", TUF + rest) for rest in ("", "timestamp.key", "snapshot.key", "root.json")),
    ("DELETE", TUF),
    ("GET", f"/v2/{GUN}/_trust/changefeed"),
    *((method, "/v2/") for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS")),
    *((method, TUF + "root.json") for method in ("PUT", "DELETE", "PATCH")),
    ("GET", "/_notary_server/health"),
]


@pytest.mark.parametrize(("method", "target"), ADDRESSES)
def test_each_address_asks_for_the_same(guarded: Guarded, method: str, target: str) -> None:
    """Without a token, and with one that is good for something else."""
    elsewhere = "Bearer " + SIGNER.token(claims(access("G", "*"), access("g", "nothing")))
    for authorization in (None, elsewhere, "Bearer x.y.z"):
        old, ours = guarded.both(method, target, authorization)
        assert old == ours, authorization


@pytest.mark.parametrize(
    "entries",
    [
        [access("g", "pull")], [access("g", "push")], [access("g", "*")], [access("g", "pull", "push")],
        [access("g", "pull"), access("g", "push")], [access("g", "PULL")], [access("*", "*")], [access("g/", "*")],
        [access("g", "*", type="registry")], [access("catalog", "*", type="registry")], [access("g")],
        [{**PULL, "class": "image"}], [{"name": "g", "actions": ["pull"]}], [],
    ],
    ids=str,
)  # fmt: skip
def test_the_same_grants_cover_the_same_need(guarded: Guarded, entries: list[Any]) -> None:
    """Reading, asking for a key, and seeing all; nothing here changes a repository."""
    token = "Bearer " + SIGNER.token(claims(*entries))
    for target in (TUF + "root.json", TUF + "timestamp.key", "/v2/", "/v2/_trust/changefeed?records=1"):
        old, ours = guarded.both("GET", target, token)
        assert old == ours, target


@pytest.mark.parametrize(
    "spelling", ["bearer {}", "BEARER {}", "Bearer  {}", "Bearer {} x", "Basic {}", "{}", "Bearer"]
)
def test_the_same_spellings_of_the_header_count(guarded: Guarded, spelling: str) -> None:
    """Any case of the scheme, exactly one space, one token."""
    old, ours = guarded.both("GET", TUF + "root.json", spelling.format(SIGNER.token(claims(PULL))))
    assert old == ours
