"""Challenges: one header that every client can take apart, whatever a repository is called."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from notary_server.auth.access import Level, Wanted
from notary_server.auth.challenge import challenge, redirected_realm
from notary_server.auth.credentials import bearer_token
from notary_server.auth.token.grants import access_refusal, required
from notary_server.auth.token.refusal import Reason, Refusal
from notary_server.tuf.names import Gun

GUN = Gun("registry.example.org:5000/team/app")


@pytest.mark.parametrize(
    ("level", "scope", "actions"),
    [
        ("pull", f"repository:{GUN}:pull", ["pull"]),
        ("push", f"repository:{GUN}:pull,push", ["pull", "push"]),
        ("admin", f"repository:{GUN}:*", ["*"]),
        ("catalog", "registry:catalog:*", ["*"]),
    ],
)
def test_what_each_level_requires(level: Level, scope: str, actions: list[str]) -> None:
    """The scopes of PROTOCOL.md, 1, as a challenge asks for them and as a body lists them."""
    need = required(Wanted(level, Gun("") if level == "catalog" else GUN))
    assert need.scope == scope
    assert [entry["Action"] for entry in need.detail if isinstance(entry, dict)] == actions
    assert (
        challenge("https://a/t", "s", need, None) == f'Bearer realm="https://a/t",service="s",scope="{scope}"'
    )
    assert challenge("r", "s", need, "invalid_token").endswith(f'scope="{scope}",error="invalid_token"')


def test_signing_is_asked_for_under_its_prefixes_alone() -> None:
    """Publishing there takes `sign` besides; reading and administering are as ever."""
    prefixes = ("registry.example.org:5000/team/",)
    assert required(Wanted("push", GUN), prefixes).scope == f"repository:{GUN}:pull,push,sign"
    for level, actions in (("pull", "pull"), ("admin", "*")):
        assert required(Wanted(level, GUN), prefixes).actions == (actions,)  # type: ignore[arg-type]
    other = Gun("registry.example.org:5000/teams/app")
    assert required(Wanted("push", other), prefixes).actions == ("pull", "push")
    assert required(Wanted("push", other), ("",)).actions == ("pull", "push", "sign")


@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=60))
def test_no_name_breaks_out_of_the_header(name: str) -> None:
    """Quotes, backslashes and line ends of a name stay inside its quotes."""
    header = challenge("r", "s", required(Wanted("pull", Gun(name))), "insufficient_scope")
    quoted = r'"((?:[^"\\\x00-\x1f\x7f]|\\.)*)"'
    found = re.fullmatch(
        rf"Bearer realm={quoted},service={quoted},scope={quoted},error={quoted}", header, re.DOTALL
    )
    assert found is not None
    if name.isprintable():
        assert re.sub(r"\\(.)", r"\1", found[3]) == f"repository:{name}:pull"


@pytest.mark.parametrize(
    ("host", "realm"),
    [
        ("notary.example.org", "https://notary.example.org/auth/token"),
        ("localhost:4443", "https://localhost:4443/auth/token"),
        ("[::1]:4443", "https://[::1]:4443/auth/token"),
        (None, None),
        ("", None),
        ("a b", None),
        ('evil",realm="x', None),
        ("user@evil.example", None),
        ("evil.example/path", None),
        ("a:123456", None),
        ("a\r\nb", None),
        ("ünïcode.example", None),
    ],
)
def test_a_realm_follows_only_a_host_that_is_one(host: str | None, realm: str | None) -> None:
    """What a client puts into Host cannot become anything but a host."""
    assert redirected_realm(host) == realm


@pytest.mark.parametrize(
    ("value", "token"),
    [
        ("Bearer abc", "abc"), ("bearer abc", "abc"), ("BEARER abc", "abc"),
        ("Basic abc", None), ("Bearer", None), ("Bearer ", None), ("Bearer  abc", None), ("Bearer a b", None),
        ("Bearer\tabc", None), ("abc", None), ("", None),
    ],
)  # fmt: skip
def test_a_token_comes_in_one_spelling(value: str, token: str | None) -> None:
    """Scheme in any case, one space, one token; anything else counts as no token."""
    found = bearer_token({"authorization": value})
    assert found == token if token else isinstance(found, Refusal) and found.reason is Reason.NO_TOKEN


def test_two_headers_are_none() -> None:
    """Servers and proxies disagree about which one counts."""
    headers = CIMultiDict([("Authorization", "Bearer a"), ("authorization", "Bearer b")])
    found = bearer_token(headers)
    assert isinstance(found, Refusal)
    assert found.reason is Reason.SEVERAL_CREDENTIALS


_ACTIONS = st.frozensets(st.sampled_from(["pull", "push", "sign", "*", "PULL", "delete"]))


@given(_ACTIONS, st.sampled_from(["pull", "push", "admin"]), st.booleans())
def test_all_required_actions_or_a_star(had: frozenset[str], level: Level, sign: bool) -> None:
    """Nothing less, and only of this very resource."""
    need = required(Wanted(level, GUN), ("registry.",) if sign else ())
    refusal = access_refusal(need, {("repository", GUN): had})
    assert (refusal is None) == ("*" in had or set(need.actions) <= had)
    for name in (GUN.upper(), GUN + "/", GUN[:-1], GUN + "2", "", "*", "registry.example.org:5000/*"):
        everything = {
            (kind, name): frozenset({"*", "pull", "push", "sign"}) for kind in ("repository", "registry")
        }
        assert access_refusal(need, everything) is not None
