"""What is granted of what is asked for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notary_server.tokens.grants import ACTIONS, Permission, full_name, granted, pattern_problem
from notary_server.tokens.scopes import Scope, parse_scopes

from .test_scopes import NAMES, SCOPES

REGISTRY = "registry.example.org"


def _granted(asked: str, *permissions: Permission, registry: str | None = REGISTRY) -> list[str]:
    return [str(scope) for scope in granted(parse_scopes([asked]), permissions, registry)]


def _may(pattern: str, *actions: str) -> Permission:
    return Permission((pattern,), frozenset(actions))


def test_what_is_asked_for_and_allowed_is_granted() -> None:
    """The rest is left out, and so are resources of which nothing is granted."""
    asked = "repository:registry.example.org/team/app:pull,push repository:registry.example.org/other:pull"
    assert _granted(asked, _may("registry.example.org/team/", "pull")) == [
        "repository:registry.example.org/team/app:pull"
    ]


def test_permissions_add_up() -> None:
    """Two rules for one repository allow what either does."""
    rules = (_may(f"{REGISTRY}/team/", "pull"), _may(f"{REGISTRY}/team/app", "push"))
    assert _granted(f"repository:{REGISTRY}/team/app:pull,push", *rules) == [
        f"repository:{REGISTRY}/team/app:pull,push"
    ]


@pytest.mark.parametrize(
    ("pattern", "name", "covered"),
    [
        ("registry.example.org/team/", "registry.example.org/team/app", True),
        ("registry.example.org/team/", "registry.example.org/team/a/b", True),
        ("registry.example.org/team/", "registry.example.org/team", False),
        ("registry.example.org/team/", "registry.example.org/teams/app", False),
        ("registry.example.org/team", "registry.example.org/team", True),
        ("registry.example.org/team", "registry.example.org/team/app", False),
        ("registry.example.org/team/", "registry.example.org/Team/app", False),
        ("registry.example.org/", "registry.example.org:5000/app", False),
        ("*", "any.example.org/thing", True),
        # The registry calls it so.
        ("registry.example.org/team/", "team/app", True),
        ("registry.example.org/team/", "other/app", False),
        # A rule may spell it as the registry does.
        ("team/", "team/app", True),
        ("team/", "registry.example.org/team/app", True),
        ("team/", "other.example.org/team/app", False),
        # What looks like a host is one: another registry's GUN, though this registry may have such a folder.
        ("registry.example.org/", "other.example.org/app", False),
        ("registry.example.org/", "localhost/app", False),
        ("registry.example.org/", "other:5000/app", False),
        ("registry.example.org/", "Other/app", False),
        ("registry.example.org/", "example.org", True),
    ],
)
def test_patterns(pattern: str, name: str, covered: bool) -> None:
    """A whole name, everything below a slash, or everything."""
    assert bool(_granted(f"repository:{name}:pull", _may(pattern, "pull"))) == covered


def test_without_a_registry_names_are_taken_as_they_are() -> None:
    """Where only the trust server uses the tokens."""
    assert _granted("repository:team/app:pull", _may("team/", "pull"), registry=None)
    assert not _granted("repository:team/app:pull", _may(f"{REGISTRY}/team/", "pull"), registry=None)


def test_admin_is_everything_and_nothing_else_is() -> None:
    """Rotation and deletion need `admin`; push does not help."""
    asked = f"repository:{REGISTRY}/app:*,delete"
    assert _granted(asked, _may(f"{REGISTRY}/", "admin")) == [f"repository:{REGISTRY}/app:*,delete"]
    assert _granted(asked, _may(f"{REGISTRY}/", "pull", "push", "sign", "catalog")) == []


def test_sign_comes_along_with_push() -> None:
    """No client asks for it; who may not push, or not sign, gets no more than that."""
    asked = f"repository:{REGISTRY}/app:push,pull"
    assert _granted(asked, _may("*", "pull", "push", "sign")) == [f"repository:{REGISTRY}/app:pull,push,sign"]
    assert _granted(asked, _may("*", "pull", "push")) == [f"repository:{REGISTRY}/app:pull,push"]
    assert _granted(f"repository:{REGISTRY}/app:pull", _may("*", "pull", "sign")) == [
        f"repository:{REGISTRY}/app:pull"
    ]


def test_the_catalog_has_a_permission_of_its_own() -> None:
    """Not even an administrator of everything sees it without."""
    assert _granted("registry:catalog:*", Permission((), frozenset({"catalog"}))) == ["registry:catalog:*"]
    assert _granted("registry:catalog:*", _may("*", "admin")) == []
    assert _granted("registry:other:*", Permission((), frozenset({"catalog"}))) == []


def test_a_plugin_is_a_repository() -> None:
    """The class is handed on."""
    assert _granted("repository(plugin):team/app:pull", _may("team/", "pull")) == [
        "repository(plugin):team/app:pull"
    ]


PERMISSIONS = st.lists(
    st.builds(
        Permission,
        st.lists(NAMES | NAMES.map(lambda name: name + "/") | st.just("*"), max_size=3).map(tuple),
        st.frozensets(st.sampled_from(ACTIONS)),
    ),
    max_size=4,
)


@given(st.lists(SCOPES, max_size=4), PERMISSIONS, PERMISSIONS)
def test_never_more_than_was_asked_for(
    asked: list[Scope], permissions: list[Permission], more: list[Permission]
) -> None:
    """But for `sign`; nothing without a permission; and a further permission never takes anything away."""
    wanted = {(scope.kind, scope.part, scope.name): scope.actions | {"sign"} for scope in asked}
    asked = [Scope(*key, actions) for key, actions in wanted.items()]
    found = granted(asked, permissions, REGISTRY)
    assert all(scope.actions <= wanted[scope.kind, scope.part, scope.name] for scope in found)
    assert all(scope.actions for scope in found)
    assert granted(asked, [], REGISTRY) == ()
    wider = granted(asked, [*permissions, *more], REGISTRY)
    for scope in found:
        assert any(
            scope.actions <= other.actions
            for other in wider
            if (other.kind, other.part, other.name) == (scope.kind, scope.part, scope.name)
        )


@given(NAMES, NAMES)
def test_two_names_are_one_repository_only_as_registry_and_notary_spell_it(one: str, other: str) -> None:
    """So nobody gets at a repository by calling it something else."""
    for first, second in ((one, other), (one, f"{REGISTRY}/{one}"), (f"{REGISTRY}/{one}", other)):
        if first != second and full_name(first, REGISTRY) == full_name(second, REGISTRY):
            assert f"{REGISTRY}/{first}" == second or f"{REGISTRY}/{second}" == first


@pytest.mark.parametrize("pattern", ["", "/", "a//", "a/../b/", "*/", "a*", "a b/", "a\t/", "a/\0"])
def test_what_is_no_pattern(pattern: str) -> None:
    """It would never match, or more than is meant."""
    assert pattern_problem(pattern) is not None
