"""Texts that clients show: short, plain, without long hexadecimals."""

from __future__ import annotations

import json
import re

from hypothesis import given
from hypothesis import strategies as st

from notary_server.errors import InvalidUpdate
from notary_server.tuf.refusal import bounded, invalid


def body(error: InvalidUpdate) -> str:
    """The reply as the most wasteful encoder would spell it."""
    entry = {"code": error.code, "message": error.message, "detail": error.detail}
    text = json.dumps({"errors": [entry]})
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


@given(st.text(max_size=1500))
def test_any_text_fits_a_reply(text: str) -> None:
    """Clients drop replies above 1,024 bytes, so every text is cut to fit, however it is escaped."""
    assert len(body(invalid("ErrBadHierarchy", text, missing="snapshot"))) <= 1024


def test_the_longest_texts_fit() -> None:
    """Astral characters cost twelve bytes each, HTML ones six."""
    for character in ("\U0001f600", "<", "\x00", "\ud800", '"', "g"):
        assert len(body(invalid("ErrBadHierarchy", character * 2000, missing="snapshot"))) <= 1024


@given(st.from_regex(r"\A[ -~]{0,200}\Z"))
def test_short_texts_without_hexadecimals_stay(text: str) -> None:
    """What is short and plain is shown as it is."""
    if not re.search(r"[0-9A-Fa-f]{16}", text) and not set(text) & set('<>&"\\'):
        assert bounded(text) == text


def test_long_hexadecimals_are_left_out() -> None:
    """An admission controller takes "401" within a key ID for a status."""
    assert bounded("key " + "0401" * 16 + " signed") == "key ... signed"


def test_a_cut_text_says_so() -> None:
    """What is cut ends in dots."""
    assert bounded("g" * 2000).endswith("g...")
