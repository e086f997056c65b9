"""Scopes as clients write them."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notary_server.tokens.scopes import MAX_SCOPES, Scope, ScopeError, parse_scopes


def _one(word: str) -> Scope:
    (scope,) = parse_scopes([word])
    return scope


def test_a_name_may_hold_a_port() -> None:
    """The actions are what follows the last colon."""
    scope = _one("repository:registry.example.org:5000/team/app:push,pull")
    assert scope == Scope("repository", "", "registry.example.org:5000/team/app", frozenset({"pull", "push"}))
    assert str(scope) == "repository:registry.example.org:5000/team/app:pull,push"


def test_a_type_may_have_a_class() -> None:
    """As the engine asks for plugins."""
    scope = _one("repository(plugin):team/app:pull")
    assert (scope.kind, scope.part) == ("repository", "plugin")
    assert str(scope) == "repository(plugin):team/app:pull"


def test_the_catalog_is_a_resource_too() -> None:
    """`registry:catalog:*` is asked for by the old server's challenges."""
    assert _one("registry:catalog:*") == Scope("registry", "", "catalog", frozenset({"*"}))


def test_several_scopes_come_in_several_parameters_or_in_one() -> None:
    """GET repeats the parameter, POST separates by blanks; a resource that is named twice is one."""
    found = parse_scopes(["repository:a/b:pull", "repository:c/d:pull repository:a/b:push", "", " "])
    assert [str(scope) for scope in found] == ["repository:a/b:pull,push", "repository:c/d:pull"]


@pytest.mark.parametrize(
    "word",
    [
        "x",
        "repository",
        "repository:a/b",
        "repository:a/b:",
        "repository::pull",
        ":a/b:pull",
        "Repository:a/b:pull",
        "repository(:a/b:pull",
        "repository():a/b:pull",
        "repository:a/b:pull,",
        "repository:a/b:PULL",
        "repository:a//b:pull",
        "repository:a/../b:pull",
        "repository:/a:pull",
        "repository:a/:pull",
        "repository:*:pull",
        "repository:a\0b:pull",
        "repository:a\nb:pull",
        "repository:a/b:pull\n",
        f"repository:{'a' * 256}:pull",
        f"repository:a:{'a' * 600}",
    ],
)
def test_what_is_no_scope_is_refused_without_being_repeated(word: str) -> None:
    """The text of the error is sent to the client and must not be what the client sent."""
    with pytest.raises(ScopeError) as caught:
        parse_scopes([word])
    assert word not in str(caught.value) or word == "x"


def test_only_so_many_scopes_are_taken() -> None:
    """Each costs work for every rule."""
    words = [f"repository:a/{number}:pull" for number in range(MAX_SCOPES)]
    assert len(parse_scopes([*words, words[0]])) == MAX_SCOPES
    with pytest.raises(ScopeError, match="more than 32"):
        parse_scopes([*words, "repository:b:pull"])


HOSTS = ("", "registry.example.org/", "other.example.org/", "localhost:5000/", "Host/", "localhost/", "x/")
PATHS = ("app", "team/app", "team/sub/app", "teams", "a:b", "registry.example.org/team/app")
NAMES = st.sampled_from([host + path for host in HOSTS for path in PATHS])
ACTIONS = st.frozensets(st.sampled_from(["pull", "push", "sign", "delete", "*"]), min_size=1)
SCOPES = st.builds(
    Scope, st.sampled_from(["repository", "registry", "x"]), st.sampled_from(["", "plugin"]), NAMES, ACTIONS
)


@given(SCOPES)
def test_what_is_written_is_what_is_read(scope: Scope) -> None:
    """For any name, with colons wherever they may be."""
    assert parse_scopes([str(scope)]) == (scope,)


@given(st.lists(st.text(max_size=40), max_size=5))
def test_nothing_else_is_raised(words: list[str]) -> None:
    """Whatever comes, it is scopes or a `ScopeError`."""
    with suppress(ScopeError):
        parse_scopes(words)
