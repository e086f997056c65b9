"""How GUNs, roles and their relations are spelled (docs/reference/protocol.md, 1 and 7)."""

from __future__ import annotations

import pytest

from notary_server.tuf import names
from notary_server.tuf.names import RoleName


@pytest.mark.parametrize(
    "role", ["targets/a", "targets/releases", "targets/a/b-c/d_9", "targets/" + "x" * 247]
)
def test_well_formed_delegations(role: str) -> None:
    """Lower-case segments below targets, up to 255 characters, are a delegation."""
    assert names.is_delegation(role)
    assert names.is_role(role)


@pytest.mark.parametrize(
    "role",
    ["", "x", "Root", "targets/", "/targets", "targets//a", "targets/a/", "targets/A", "targets/a b", "targets/.",
     "targets/a/..", "targets/é", "targets/a\n", "targetsx/a", "root/a", "targets/٣", "targets/" + "x" * 248],
)  # fmt: skip
def test_what_is_no_role(role: str) -> None:
    """Anything else is neither a delegation nor a role."""
    assert not names.is_delegation(role)
    assert not names.is_role(role)


@pytest.mark.parametrize("role", names.BASE_ROLES)
def test_base_roles(role: RoleName) -> None:
    """The four base roles are roles, none of them a delegation."""
    assert names.is_role(role)
    assert not names.is_delegation(role)


def test_relations() -> None:
    """A delegation's parent is all but its last segment; its ancestors begin with targets."""
    role = RoleName("targets/a/b")
    assert names.parent(role) == "targets/a"
    assert names.ancestors(role) == ("targets", "targets/a")
    assert names.ancestors(names.ROOT) == ()


def test_depth_order() -> None:
    """Shallower roles come first, then the alphabet."""
    roles = [RoleName(role) for role in ("targets/a/b", "targets/b", "targets", "targets/a")]
    assert sorted(roles, key=names.depth_order) == ["targets", "targets/a", "targets/b", "targets/a/b"]


@pytest.mark.parametrize(
    "gun",
    [
        "a",
        "docker.io/library/alpine",
        "Reg:5000/Ä b",
        "a/_trust/tuf/b",
        "a/\uff0e\uff0e/b",
        "a/...",
        "%2e%2e/a",
        "x" * 255,
    ],
)
def test_usable_guns(gun: str) -> None:
    """Any name with ordinary segments may name a repository."""
    assert names.gun_problem(gun) is None


@pytest.mark.parametrize(
    ("gun", "part"),
    [("", "empty"), ("x" * 256, "longer than 255"), ("a\x00b", "NUL"),
     ("a\udcff", "UTF-8"), ("a*", "star"), ("a//b", "segment"), ("../a", "segment"),
     ("a/.", "segment"), ("/a", "segment"), ("a/", "segment"), ("a\\b", "backslash"), ("..\\a", "backslash"),
     ("a\tb", "control"), ("a\x7f", "control"), ("a\x85b", "control"), ("a\u200bb", "invisible"),
     ("a\u202eb", "invisible"), ("a\u2028b", "invisible"), ("\ufeffa", "invisible"), (" a", "white space"),
     ("a/b ", "white space"), ("a /b", "white space"), ("a/\u3000b", "white space")],
)  # fmt: skip
def test_unusable_guns(gun: str, part: str) -> None:
    """What the database or a path cannot carry is refused with the reason."""
    problem = names.gun_problem(gun)
    assert problem is not None
    assert part in problem
