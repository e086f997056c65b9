"""Which workloads a rule means."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notary_server.tokens.grants import Permission
from notary_server.tokens.workload import ClaimRule, permissions

PULL = Permission(("a/",), frozenset({"pull"}))


def _fits(pattern: str, value: object) -> bool:
    return ClaimRule("github", {"sub": (pattern,)}, PULL).fits("github", {"sub": value})


@pytest.mark.parametrize(
    ("pattern", "value", "fits"),
    [
        ("refs/heads/main", "refs/heads/main", True),
        ("refs/heads/main", "refs/heads/main2", False),
        ("refs/heads/main", "xrefs/heads/main", False),
        ("refs/heads/main", "refs/heads/main\n", False),
        ("refs.heads", "refsxheads", False),
        ("repo:org/*:ref:refs/heads/main", "repo:org/app:ref:refs/heads/main", True),
        ("repo:org/*:ref:refs/heads/main", "repo:org/:ref:refs/heads/main", False),
        # A branch whose name pretends to be the rest of a subject.
        ("repo:org/*:ref:refs/heads/main", "repo:org/app:ref:refs/heads/x:ref:refs/heads/main", False),
        ("repo:org/*", "repo:org/app/x", False),
        ("system:serviceaccount:team:*", "system:serviceaccount:team:builder", True),
        ("system:serviceaccount:team:*", "system:serviceaccount:team:a:b", False),
        ("*", "anything", True),
        ("true", True, True),
        ("1", 1, False),
        ("main", None, False),
        ("main", ["main"], False),
    ],
)
def test_a_claim_has_to_be_what_the_pattern_says(pattern: str, value: object, fits: bool) -> None:
    """From its first to its last character; a star stays within its part."""
    assert _fits(pattern, value) == fits


@given(st.text(), st.text())
def test_a_pattern_without_a_star_is_one_text(pattern: str, value: str) -> None:
    """Nothing in it means anything but itself."""
    if "*" not in pattern:
        assert _fits(pattern, value) == (pattern == value)
        assert _fits(pattern, pattern)


def test_all_claims_count_and_one_of_several_patterns_is_enough() -> None:
    """And the issuer: another one may say the same."""
    rule = ClaimRule("github", {"repository": ("org/a", "org/b"), "ref": ("refs/heads/main",)}, PULL)
    good = {"repository": "org/b", "ref": "refs/heads/main", "more": 1}
    assert permissions([rule], "github", good) == (PULL,)
    assert permissions([rule], "gitlab", good) == ()
    assert permissions([rule], "github", {**good, "repository": "org/c"}) == ()
    assert permissions([rule], "github", {"repository": "org/a"}) == ()
