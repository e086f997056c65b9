"""Canonical JSON, held against two implementations that know nothing of ours (docs/reference/protocol.md, 4)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from securesystemslib.formats import encode_canonical

from notary_server.tuf import canonical
from tests.publisher import canonical as independent_form
from tests.publisher import travelling as independent_travelling

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20) | st.text(
    '"\\/\x00\x1f\x7f<>&\u2028\u2029\n', max_size=8
)
SCALARS = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXTS
TREES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXTS, inner, max_size=5),
    max_leaves=30,
)


@given(TREES)
@example({"\uffff": 1, "\U00010000": 2, "é": 3, "z": 4, "": 5})
@example(['\x00\x1f\n\r\t\b\f\x7f"\\/<>&\u2028\u2029é😀'])
@example([chr(code) for code in range(0x20)] + ["\\u0001", "\\\\n", "\\\n", '\\"', "\\\x01n"])
@example({"\n\\n": "\\u00e9", "\\": "\\\\", "\x0b": "\x1f"})
@example({"a": {}, "b": [], "c": [[], {}]})
@example(2**53)
def test_equal_to_two_independent_implementations(tree: Any) -> None:
    """For every tree, the fast way, the exact way, securesystemslib and the tests' own encoder agree."""
    exact = canonical.encode(tree)
    assert exact == canonical.encode_plain(tree)
    assert exact == (encode_canonical(tree) or "").encode()
    assert exact == independent_form(tree)


@pytest.mark.parametrize(
    ("number", "spelled"),
    [(5.0, b"5"), (1e3, b"1000"), (-0.0, b"0"), (-2.0, b"-2"), (2.0**53, b"9007199254740992")],
)
def test_whole_floats_become_integers(number: float, spelled: bytes) -> None:
    """A float of whole value is signed as the integer that Go makes of it."""
    assert canonical.encode([number]) == b"[" + spelled + b"]"


@pytest.mark.parametrize(
    "number", [0.5, 1e-9, 2.0**53 + 2, -(2**53) - 1, 2**53 + 1, 1e300, float("inf"), float("nan")]
)
def test_numbers_that_cannot_be_signed(number: float) -> None:
    """Fractions, and numbers that a 64-bit float rounds, have no canonical form."""
    with pytest.raises(ValueError, match="fractional or too large"):
        canonical.encode({"length": number})


def test_lone_surrogates_have_no_form() -> None:
    """Half a surrogate pair is no text."""
    with pytest.raises(ValueError, match="surrogates not allowed"):
        canonical.encode("\ud800")


def test_bottomless_nesting_has_no_form() -> None:
    """Nesting that the interpreter cannot follow is a ValueError, not a crash."""
    tree: list[Any] = []
    for _ in range(100_000):
        tree = [tree]
    with pytest.raises(ValueError, match="nested too deeply"):
        canonical.encode(tree)


def test_only_json_values() -> None:
    """Something that is no JSON value is a mistake of the caller."""
    with pytest.raises(TypeError, match="bytes is no JSON value"):
        canonical.encode({"a": b""})


@given(TREES)
@example({"<": [">&\u2028\u2029"]})
def test_travelling_form(tree: Any) -> None:
    """The travelling form escapes the five characters that Go escapes, means the same, and carries no control character."""
    form = canonical.encode(tree)
    if any(byte < 0x20 for byte in form):
        with pytest.raises(ValueError, match="control character"):
            canonical.travelling(form)
    else:
        sent = canonical.travelling(form)
        assert sent == independent_travelling(tree)
        assert not set(b"<>&") & set(sent)
        assert canonical.encode(json.loads(sent)) == form
