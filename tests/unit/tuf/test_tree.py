"""JSON that every reader reads alike: what passes, what is refused, and that both ways of reading agree."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from notary_server.tuf import tree
from tests.unit.tuf.test_canonical import TEXTS, TREES

NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**63), 2**64)
DOCUMENTS = st.recursive(
    TREES | NUMBERS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=20,
)


def _spell(value: Any, *, compact: bool, ascii_only: bool) -> bytes:
    separators = (",", ":") if compact else (" ,\n", "\t: ")
    return json.dumps(value, separators=separators, ensure_ascii=ascii_only).encode()


@given(DOCUMENTS, st.booleans(), st.booleans())
@example({"a": [1, 1.0, 2**53 + 1, -(2**63), 1e300, "\x7f<\u2028"]}, True, False)
def test_fast_and_exact_agree(value: Any, compact: bool, ascii_only: bool) -> None:
    """However a value is spelled, it is read as itself, and the fast way never differs from the exact one."""
    data = _spell(value, compact=compact, ascii_only=ascii_only)
    loaded = tree.load(data, 256)
    exact, complete = tree._exact(data)
    assert complete
    assert loaded.complete
    assert repr(loaded.value) == repr(exact) == repr(value)
    fast, whole = tree._fast(data)
    assert not whole or repr(fast) == repr(exact)


def test_what_clients_send_takes_the_fast_way() -> None:
    """A document in travelling form without escapes is read by the fast way."""
    assert tree._fast(b'{"signed":{"a":[1,null,"\xc3\xa9"]},"signatures":[]}')[1]


@given(
    st.binary(max_size=40) | st.text('{}[]":,0123456789.eE+-\\ u\nabcnulltrefs', max_size=40).map(str.encode)
)
@example(b"\xef\xbb\xbf{}")
@example(b'{"a":1e400}')
@example(b"1" * 5000)
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    """Whatever the bytes, there is a value or a TreeError, and the standard library agrees where it has an opinion."""
    try:
        loaded = tree.load(data, 256)
    except tree.TreeError:
        return
    assume(loaded.complete)
    assert "e" in repr(loaded.value) or "inf" in repr(loaded.value) or json.loads(data) == loaded.value


@pytest.mark.parametrize(
    "data",
    [b"", b" ", b"{", b'{"a":}', b"{'a':1}", b'{"a":1,}', b"[1,]", b"[01]", b"[1.]", b"[.5]", b"-", b"+1", b"[1e]", b"tru",
     b"NaN", b"Infinity", b"-Infinity", b'"\x01"', b'"\t"', b'"\\x"', b'"\\u12"', b"\xef\xbb\xbf{}", b"\x0b{}",
     b"\xc2\xa0{}", b'{"a":"\xff"}', b'{"a":\xff}', b'{"\xed\xa0\x80":1}', b'"\\ud800"', b'{"\\udc00":1}', b'["\\ud800\\u0041"]',
     b'{"a":1,"a":1}', b'[{"b":{"a":1,"\\u0061":2}}]', b'{"a":1, "a":2}', "{\"a\":٣}".encode()],
)  # fmt: skip
def test_refused(data: bytes) -> None:
    """What is no JSON, or is read differently by different readers, is refused."""
    with pytest.raises(tree.TreeError):
        tree.load(data, 256)


def test_surrogate_pairs_pass() -> None:
    """A whole pair is one character."""
    assert tree.load(b'"\\ud83d\\ude00"', 256).value == "😀"


@pytest.mark.parametrize(("data", "complete"), [
    (b" {} \n", True), (b"{}x", False), (b"{} {", False), (b"{}\xff", False), (b"{}\x00", False), (b"{}" + b" " * 9000 + b"x", False),
    (b"{}{}", False), (b'{"a":1}"\\ud800"', False),
])  # fmt: skip
def test_what_follows_the_value(data: bytes, complete: bool) -> None:
    """Text after the first value is noticed, however far behind it stands and whatever it is."""
    assert tree.load(data, 256).complete is complete


@pytest.mark.parametrize("shell", [(b"[", b"]"), (b'{"a":', b"}"), (b' [\n{"a" :', b"}]")])
def test_depth(shell: tuple[bytes, bytes]) -> None:
    """Nesting is allowed up to the limit, to the level, whichever way the bytes are read."""
    levels = 10 * (shell[0].count(b"[") + shell[0].count(b"{"))
    data = shell[0] * 10 + b"1" + shell[1] * 10
    tree.load(data, levels)
    with pytest.raises(tree.TreeError, match=f"more than {levels - 1} levels"):
        tree.load(data, levels - 1)


@pytest.mark.parametrize(
    "data", [b"[" * 100_000, b'{"a":' * 100_000 + b"1" + b"}" * 100_000, b"[" * 100_000 + b"]" * 100_000]
)
def test_bottomless_nesting(data: bytes) -> None:
    """Nesting that no reader can follow is refused, not a crash."""
    with pytest.raises(tree.TreeError):
        tree.load(data, 256)


@pytest.mark.parametrize(("number", "plain"), [
    (b"9007199254740992", True), (b"9007199254740993", False), (b"-9007199254740992", True), (b"-9007199254740993", False),
    (b"1.0", False), (b"1e3", False), (b"1e400", False), (b"0", True), (b"1" * 21, False), (b"1" * 6000, False), (b"true", True), (b'"5.5"', True),
])  # fmt: skip
def test_plain_numbers(number: bytes, plain: bool) -> None:
    """Plain are integers that 64-bit floats hold exactly, at every depth."""
    for data in (
        number,
        b"[" + number + b"]",
        b'{"a":[{"b" : ' + number + b"}]}",
        b"[1,[2," + number + b",3],4]",
    ):
        assert tree.load(data, 256).plain is plain
