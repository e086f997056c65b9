"""Files as clients write them: read in one pass, to the very same result as any other way."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from notary_server.tuf import canonical, parse, written
from notary_server.tuf.names import RoleName
from tests.publisher.canonical import canonical as independent_form
from tests.unit.tuf.documents import MAKERS, REMOVED, Document, bent

ROLES = ["root", "targets", "targets/a", "snapshot", "timestamp"]
SURPRISES: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from(
        [None, True, 0, 1, -1, 2**53, 2**53 + 1, 1e3, 0.5, "", "AQ==", "AQI", "Targets", [], {}, [None]]
    ),
    st.text(max_size=3),
    st.integers(-(2**70), 2**70),
)


def made(role: str) -> Document:
    """A good document of that role, without custom data."""
    document = MAKERS[role.split("/", 1)[0]]()
    for files in (document["signed"].get("targets", {}), document["signed"].get("meta", {})):
        for entry in files.values():
            entry.pop("custom")
    for entry in document["signed"].get("delegations", {}).get("roles", []):
        entry["name"] = f"{role}/x"
    return document


def spell(document: Document) -> bytes:
    """As the clients spell it."""
    return b'{"signed":%b,"signatures":%b}' % (
        canonical.travelling(independent_form(document["signed"])),
        canonical.travelling(independent_form(document["signatures"])),
    )


def paths(value: Any, prefix: str = "") -> list[str]:
    """Where something stands in a document."""
    members = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    return [
        path for name, inner in members for path in (f"{prefix}{name}", *paths(inner, f"{prefix}{name}."))
    ]


def both_ways(role: str, data: bytes) -> tuple[parse.Reading, parse.Reading]:
    """What is read, with and without the short way."""
    with pytest.MonkeyPatch.context() as patch:
        quick = parse.read(RoleName(role), data)
        patch.setattr(written, "read", lambda role, data: None)
        return quick, parse.read(RoleName(role), data)


@pytest.mark.parametrize("role", ROLES)
def test_good_files_take_the_short_way(role: str) -> None:
    """What is found is what the long way finds; the message is the independent canonical form."""
    document = made(role)
    found = written.read(RoleName(role), spell(document))
    assert found is not None
    assert found.message == independent_form(document["signed"])
    quick, slow = both_ways(role, spell(document))
    assert quick == slow
    assert quick.parsed is not None


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'{"signed"', b' {"signed"'), (b'{"signed"', b'{"x":1,"signed"'), (b'"version":3', b'"version":3,"version":3'),
        (b'"version":3', b'"Version":3,"version":3'), (b'"version":3', b'"version":3.0'), (b'"version":3', b'"version":03'),
        (b'"version":3', b'"version":9007199254740993'), (b'"version":3', b'"version":-9007199254740993'),
        (b'"length":7', b'"length":-0'), (b'"length":7', b'"length":7,"custom":null'), (b'"length":7', b'"length":9007199254740993'),
        (b'"sha256":"AAAA', b'"md5":"AA==","sha256":"AAAA'), (b'AAA="', b'AAB="'), (b'"tag"', b'"t\\u0061g"'), (b'"tag"', b'"t\xffg"'),
        (b'"tag"', b'"t\x01g"'), (b'"threshold":1', b'"threshold":1,"zzz":' + b"[" * 300 + b"]" * 300),
        (b'"threshold":1', b'"threshold":null'), (b'"method":"ecdsa",', b""), (b"}]}", b"}]}\n"), (b"}]}", b"}]}x"), (b"}]}", b"}]"),
    ],
)  # fmt: skip
def test_everything_else_takes_the_long_way(old: bytes, new: bytes) -> None:
    """Whatever clients would not have written exactly so is left to who looks closer."""
    data = spell(made("targets"))
    assert old in data
    bad = data.replace(old, new)
    assert written.read(RoleName("targets"), bad) is None


def test_depth_and_signatures_are_bounded_all_the_same() -> None:
    """The short way is not taken where its files may be too deep; it counts signatures."""
    data = spell(made("targets"))
    shallow = parse.read(RoleName("targets"), data, parse.Limits(max_depth=written.DEPTH - 1))
    assert shallow.malformed is not None
    assert "more than 5 levels" in shallow.malformed
    assert parse.read(RoleName("targets"), data, parse.Limits(max_depth=written.DEPTH)).problem is None
    unsigned = parse.read(RoleName("targets"), data, parse.Limits(max_signatures=0))
    assert (unsigned.malformed, unsigned.problem) == (None, "it has more than 0 signatures")


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(ROLES), st.data())
def test_both_ways_agree(role: str, data: st.DataObject) -> None:
    """Whatever stands anywhere in a file: the same file, or the same words."""
    document = made(role)
    places = [path for path in paths(document) if path not in {"signed", "signatures"}]
    for _ in range(data.draw(st.integers(0, 2))):
        place = data.draw(st.sampled_from(places))
        try:
            bent(document, place, data.draw(SURPRISES | st.just(REMOVED)))
        except (KeyError, IndexError, TypeError, ValueError):
            continue  # an earlier change took the place away
    try:
        text = spell(document)
    except (ValueError, TypeError):
        text = json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()
    quick, slow = both_ways(role, text)
    assert quick == slow


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(ROLES), st.data())
def test_both_ways_agree_about_any_bytes(role: str, data: st.DataObject) -> None:
    """The same for files in which bytes were changed, lost or doubled."""
    text = bytearray(spell(made(role)))
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(text) - 1))
        end = data.draw(st.integers(start, min(start + 3, len(text))))
        text[start:end] = data.draw(
            st.binary(max_size=2) | st.sampled_from([b'"', b"\\", b",", b"{", b"0", b"-", b":"])
        )
    quick, slow = both_ways(role, bytes(text))
    assert quick == slow


def test_digests_are_spelled_in_one_way() -> None:
    """Unused bits of base64 are not overlooked: bytes that decode alike are not the same file."""
    document = bent(made("targets"), "signatures.0.sig", "AR==")
    assert written.read(RoleName("targets"), spell(document)) is None
