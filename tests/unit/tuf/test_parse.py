"""Typed metadata from bytes: what each role's structure asks for (docs/reference/protocol.md, 8 and 24)."""

from __future__ import annotations

import base64
import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notary_server.tuf import parse
from notary_server.tuf.instant import ZERO
from notary_server.tuf.model import FileMeta, Parsed, PublicKey, Signature
from notary_server.tuf.names import RoleName
from notary_server.tuf.parse import LimitError, ParseError
from tests.publisher import canonical
from tests.unit.tuf import documents
from tests.unit.tuf.documents import MAKERS, REMOVED, Document, bent, spell

ROLES = ["root", "targets", "targets/a", "snapshot", "timestamp"]
NULLABLE = [
    ("root", "consistent_snapshot"), ("root", "keys.k.keyval"), ("root", "keys.k.keytype"), ("targets", "targets"),
    ("targets", "delegations"), ("targets", "delegations.roles"), ("targets", "delegations.roles.0.paths"),
    ("targets", "delegations.roles.0.keyids"), ("targets", "targets.tag.hashes"), ("targets", "targets.tag.length"),
    ("targets", "targets.tag.custom"), ("targets", "delegations.keys.k.keyval.public"), ("snapshot", "meta.targets.length"),
    ("timestamp", "meta.snapshot.custom"),
]  # fmt: skip


def read(role: str, document: Any, **limits: int) -> Parsed[Any]:
    """Parse a document (or bytes) as a file of that role."""
    data = document if isinstance(document, bytes) else spell(document)
    bounds = parse.Limits(**limits)
    match role:
        case "root":
            return parse.parse_root(data, bounds)
        case "snapshot":
            return parse.parse_snapshot(data, bounds)
        case "timestamp":
            return parse.parse_timestamp(data, bounds)
        case _:
            return parse.parse_targets(RoleName(role), data, bounds)


def listed(document: Document) -> dict[str, FileMeta]:
    """What a targets document lists."""
    return parse.listed_targets(RoleName("targets"), spell(document))


def made(role: str) -> Document:
    """A good document of that role."""
    document = MAKERS[role.split("/", 1)[0]]()
    return bent(document, "signed.delegations.roles", []) if "/" in role else document


def refused(role: str, document: Any) -> str:
    """Why a document is refused; fit to be shown, and without anything that could be taken for a digest."""
    with pytest.raises(ParseError) as caught:
        read(role, document)
    text = str(caught.value)
    assert text
    assert len(text) < 200
    assert documents.DIGEST not in text
    return text


@pytest.mark.parametrize("role", ROLES)
def test_good_files(role: str) -> None:
    """A good file keeps its bytes, and gives its canonical form, signatures, version and expiry."""
    document = made(role)
    parsed = read(role, document)
    assert parsed.role == role
    assert parsed.data == spell(document)
    assert parsed.message == canonical(document["signed"])
    assert parsed.signatures == (Signature("k", "ecdsa", b"\1\2\3"),)
    assert parsed.body.version == 3
    assert parsed.body.expires == documents.EXPIRES_NS


@pytest.mark.parametrize("role", ROLES)
def test_spelling_does_not_matter(role: str) -> None:
    """White space, escapes, member order and unknown members are allowed; what is signed stays the canonical form."""
    document = made(role)
    document["signed"] = dict(reversed(document["signed"].items())) | {"unknown": [{"Unknown": None}]}
    document["other"] = {"x": 5.5}
    data = json.dumps(document, indent=3).replace('"ecdsa"', '"\\u0065cdsa"').encode()
    parsed = read(role, data)
    assert parsed.data == data
    assert parsed.message == canonical(document["signed"])
    assert parsed.body == read(role, spell(document)).body


def test_root_content() -> None:
    """Root gives its keys by filed ID and its roles by name; roles that nobody knows are kept, null ones are not."""
    document = documents.root()
    bent(document, "signed.roles.other", {"keyids": ["missing"], "threshold": 0})
    bent(document, "signed.roles.none", None)
    body = read("root", document).body
    assert body.keys == {"k": PublicKey("ecdsa", b"\1\2\3")}
    assert set(body.roles) == {"root", "targets", "snapshot", "timestamp", "other"}
    assert body.roles["targets"].keyids == ("k",)
    assert body.roles["targets"].threshold == 1


def test_targets_content() -> None:
    """Targets give file entries, keys and delegated roles; of two entries of one name the first counts."""
    document = documents.targets()
    second = documents.role() | {"name": "targets/a", "threshold": 9}
    document["signed"]["delegations"]["roles"].append(second)
    body = read("targets", document).body
    assert listed(document) == {"tag": FileMeta({"sha256": bytes(32), "sha512": bytes(64)}, 7)}
    assert body.keys == {"k": PublicKey("ecdsa", b"\1\2\3")}
    assert [(role.name, role.keyids, role.threshold, role.paths) for role in body.roles] == [
        ("targets/a", ("k",), 1, ("",))
    ]


def test_targets_hashes_are_not_judged() -> None:
    """Unknown algorithms and digests of any length pass in targets."""
    document = bent(
        documents.targets(), "signed.targets.tag.hashes", {"md5": "AQ==", "sha256": "AQ==", "x": ""}
    )
    assert listed(document)["tag"].hashes == {"md5": b"\1", "sha256": b"\1", "x": b""}


@pytest.mark.parametrize("role", ["snapshot", "timestamp"])
def test_meta_content(role: str) -> None:
    """Snapshot and timestamp give their entries by role name; a SHA-512 may be absent."""
    document = made(role)
    name = "root" if role == "snapshot" else "snapshot"
    bent(document, f"signed.meta.{name}.hashes.sha512", REMOVED)
    assert read(role, document).body.meta[name] == FileMeta({"sha256": bytes(32)}, 7)


@pytest.mark.parametrize(("role", "path"), NULLABLE)
def test_null_is_as_good_as_missing(role: str, path: str) -> None:
    """Null where a plain member is due is read like the missing member."""
    body = read(role, bent(made(role), f"signed.{path}", None)).body
    assert body == read(role, bent(made(role), f"signed.{path}", REMOVED)).body


def test_null_zero_values() -> None:
    """A null target is an empty entry, a null digest is empty, a null key has no type and no bytes."""
    document = bent(documents.targets(), "signed.targets", {"a": None, "b": {"hashes": {"sha256": None}}})
    bent(document, "signed.delegations", {"keys": {"k": None}})
    body = read("targets", document).body
    assert listed(document) == {"a": FileMeta({}, 0), "b": FileMeta({"sha256": b""}, 0)}
    assert body.keys == {"k": PublicKey("", b"")}
    assert body.roles == ()


def test_missing_expires_is_long_ago() -> None:
    """Without `expires` a file has Go's zero time, so that it has expired."""
    for value in (None, REMOVED):
        assert read("targets", bent(documents.targets(), "signed.expires", value)).body.expires == ZERO


def test_base64_may_be_broken_into_lines() -> None:
    """Line ends inside base64 are skipped, as Go does; other spellings than standard padded base64 are refused."""
    document = bent(documents.targets(), "signed.delegations.keys.k.keyval.public", "AQ\r\nID\n")
    assert read("targets", document).body.keys["k"].public == b"\1\2\3"
    for wrong in ("AQ", "AQI", "_-8=", "AQID=", " AQID", "AQ==AQ=="):
        assert "wrong type" in refused(
            "targets", bent(document, "signed.delegations.keys.k.keyval.public", wrong)
        )


def test_lists_of_numbers_for_byte_strings() -> None:
    """Go takes a list of numbers from 0 to 255, or null for 0, for a byte string, so it is read and served as it is."""
    document = bent(documents.targets(), "signed.targets.tag.hashes", {"sha256": [1, None, 255], "x": []})
    document["signatures"][0]["sig"] = [7]
    parsed = read("targets", document)
    assert listed(document)["tag"].hashes == {"sha256": b"\1\0\xff", "x": b""}
    assert parsed.signatures[0].sig == b"\7"
    assert parsed.message == canonical(document["signed"])
    for wrong in ([256], [-1], [1.0], ["AQID"], [True], [[1]]):
        assert "wrong type" in refused("targets", bent(document, "signed.targets.tag.hashes.sha256", wrong))


SAMPLES = {"object": {"x": ["y"]}, "list": [[1.0]], "text": "x!", "number": 1.0, "bool": True}
"""One value of each JSON type; as a map, list or byte string of anything that is known, they are wrong too."""
TYPES: dict[str, dict[str, str]] = {
    "root": {
        "keys": "map", "roles": "map", "consistent_snapshot": "bool", "keys.k": "object", "keys.k.keytype": "text",
        "keys.k.keyval": "object", "keys.k.keyval.public": "bytes", "roles.root": "object", "roles.targets.keyids": "texts",
        "roles.targets.keyids.0": "text", "roles.timestamp.threshold": "integer", "roles.other": "object",
    },
    "targets": {
        "targets": "map", "targets.tag": "object", "targets.tag.hashes": "map", "targets.tag.hashes.sha256": "bytes",
        "targets.tag.length": "integer", "delegations": "object", "delegations.keys": "map", "delegations.roles": "objects",
        "delegations.roles.0": "object", "delegations.roles.0.name": "text", "delegations.roles.0.keyids": "texts",
        "delegations.roles.0.threshold": "integer", "delegations.roles.0.paths": "texts",
        "delegations.roles.0.paths.0": "text", "delegations.keys.k.keyval.private": "text",
    },
    "snapshot": {"meta": "map", "meta.root": "object", "meta.root.hashes": "map", "meta.root.length": "integer"},
    "timestamp": {"meta": "map", "meta.snapshot": "object", "meta.snapshot.hashes": "map", "meta.snapshot.length": "integer"},
}  # fmt: skip
PLACES = [(role, path, kind) for role, paths in TYPES.items() for path, kind in paths.items()]


@pytest.mark.parametrize(("role", "path", "kind"), PLACES)
def test_wrong_types(role: str, path: str, kind: str) -> None:
    """A member of another JSON type is refused, wherever it stands, and the text says where."""
    for sample, value in SAMPLES.items():
        if sample != kind:
            reason = refused(role, bent(made(role), f"signed.{path}", value))
            assert reason.startswith("a value of the wrong type stands at signed.")


@pytest.mark.parametrize(
    ("role", "path", "value", "reason"),
    [
        ("root", "_type", "root", "_type is not Root"),
        ("root", "_type", "Targets", "_type is not Root"),
        ("targets", "_type", "Root", "_type is not Targets"),
        ("snapshot", "_type", REMOVED, "_type is not Snapshot"),
        ("timestamp", "_type", None, "_type is not Timestamp"),
        ("root", "version", 0, "below 1"),
        ("targets", "version", -1, "below 1"),
        ("snapshot", "version", None, "below 1"),
        ("timestamp", "version", REMOVED, "below 1"),
        ("targets", "version", 2**31, "above 2147483647"),
        ("root", "version", 2**53 + 1, "above 2147483647"),
        ("root", "roles.root", REMOVED, "who signs root"),
        ("root", "roles.snapshot", None, "who signs snapshot"),
        ("root", "roles", None, "who signs root"),
        ("root", "roles.timestamp.threshold", 0, "threshold of timestamp is below 1"),
        ("root", "roles.targets.threshold", REMOVED, "threshold of targets is below 1"),
        ("root", "roles.targets.keyids", ["k", "x"], "a key of targets is missing"),
        ("root", "keys", None, "a key of root is missing"),
        ("targets", "delegations.roles.0.threshold", -1, "threshold of targets/a is below 1"),
        ("targets", "delegations.roles.0.keyids", ["x"], "a key of targets/a is missing"),
        ("targets", "delegations.roles.0", None, "delegated roles is null"),
        ("targets", "delegations.roles.0.name", "targets/a/b", "child of targets"),
        ("targets", "delegations.roles.0.name", "targets", "child of targets"),
        ("targets", "delegations.roles.0.name", "targets/A", "child of targets"),
        ("targets", "delegations.roles.0.name", None, "child of targets"),
        ("targets", "targets.tag.length", -1, "negative length"),
        ("snapshot", "meta.targets.length", -1, "negative length"),
        ("timestamp", "meta.snapshot.length", -1, "negative length"),
        ("targets", "targets.tag.length", 2**53 + 1, "too large"),
        ("targets", "unknown", 0.5, "fractional"),
        ("targets", "targets.tag.custom", [2**64], "too large"),
        ("snapshot", "meta.root", REMOVED, "SHA-256 of root"),
        ("snapshot", "meta.targets", None, "SHA-256 of targets"),
        ("snapshot", "meta", None, "SHA-256 of root"),
        ("snapshot", "meta.root.hashes.sha256", REMOVED, "SHA-256 of root"),
        ("snapshot", "meta.root.hashes.sha256", "AQ==", "sha256 of root has the wrong length"),
        (
            "snapshot",
            "meta.targets.hashes.sha512",
            documents.DIGEST,
            "sha512 of targets has the wrong length",
        ),
        ("timestamp", "meta", {}, "SHA-256 of snapshot"),
        ("timestamp", "meta.snapshot.hashes.sha256", "", "sha256 of snapshot has the wrong length"),
        ("root", "keys.k.keyval.private", "AQID", "private key"),
        ("targets", "delegations.keys.k.keyval.private", "x", "private key"),
    ],
)
def test_refusals(role: str, path: str, value: Any, reason: str) -> None:
    """Each broken rule is refused, and named."""
    assert reason in refused(role, bent(made(role), f"signed.{path}", value))


def test_delegations_below_a_delegation() -> None:
    """A delegation delegates to its own children only."""
    document = bent(documents.targets(), "signed.delegations.roles.0.name", "targets/a/b")
    assert read("targets/a", document).body.roles[0].name == "targets/a/b"
    assert "child of targets/b" in refused("targets/b", document)


@pytest.mark.parametrize("private", [None, "", REMOVED])
def test_no_private_key(private: Any) -> None:
    """A key without its private half, however that is said, is a public key."""
    document = bent(documents.root(), "signed.keys.k.keyval.private", private)
    assert read("root", document).body.keys == {"k": PublicKey("ecdsa", b"\1\2\3")}


def test_private_key_filed_as_public() -> None:
    """A PEM private key in the place of the public one is noticed, and does not appear in the error."""
    secret = base64.b64encode(
        b"-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n"
    ).decode()
    text = refused("root", bent(documents.root(), "signed.keys.k.keyval.public", secret))
    assert "private key" in text
    assert secret not in text


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(
    ("data", "reason"),
    [(b"null", "no member signed"), (b"{}", "no member signed"), (b'{"signed":null,"signatures":[]}', "no member signed"),
     (b'{"signed":{}}x', "follows"), (b'{"signed":{}} \xff', "follows"), (b"[]", "not a JSON object"), (b"", "not JSON"),
     (b'{"signed":[]}', "not an object")],
)  # fmt: skip
def test_broken_envelopes(role: str, data: bytes, reason: str) -> None:
    """A file without its object `signed`, or with something behind it, is refused."""
    assert reason in refused(role, data)


def test_trailing_white_space_passes() -> None:
    """White space around the file is allowed."""
    data = b"\n " + spell(documents.targets()) + b" \r\n\t"
    assert read("targets", data).data == data


@pytest.mark.parametrize("number", ["3.0", "3e0", "30e-1"])
def test_whole_floats_are_signed_as_integers(number: str) -> None:
    """Outside the typed members, a whole-valued float passes and is signed as an integer."""
    document = bent(documents.targets(), "signed.targets.tag.custom", "HERE")
    data = spell(document).replace(b'"HERE"', number.encode())
    bent(document, "signed.targets.tag.custom", 3)
    assert read("targets", data).message == canonical(document["signed"])


def test_depth_limit() -> None:
    """The limit on nesting is the caller's."""
    document = documents.targets()
    read("targets", document, max_depth=6)
    with pytest.raises(ParseError, match="more than 5 levels"):
        read("targets", document, max_depth=5)


@pytest.mark.parametrize(
    ("role", "limit", "found"),
    [("root", "max_bytes", len(spell(documents.root()))), ("targets", "max_bytes", len(spell(documents.targets()))),
     ("snapshot", "max_bytes", len(spell(documents.snapshot()))), ("root", "max_keys", 1), ("targets", "max_keys", 1),
     ("targets", "max_delegations", 1), ("timestamp", "max_signatures", 1)],
)  # fmt: skip
def test_other_limits(role: str, limit: str, found: int) -> None:
    """What a file has as much of as its limit passes, one more does not, and the reason can be shown."""
    document = MAKERS[role]()
    read(role, document, **{limit: found})
    with pytest.raises(LimitError, match=rf"than {found - 1} "):
        read(role, document, **{limit: found - 1})
    said = parse.read(RoleName(role), spell(document), parse.Limits(**{limit: found - 1}))
    assert said.malformed is None
    assert said.problem is not None


TREES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["hashes", "length", "keyids", "name", "Name", "x"]), inner)
    ),
    max_leaves=8,
)


@given(TREES)
def test_values_are_counted_generously(value: object) -> None:
    """A file with no more values than its limit always passes; one that is full of them does not."""
    data = json.dumps({"x": value}).encode()
    count = sum(map(data.count, (b",", b"[", b"{")))
    assert count + 1 >= values_of({"x": value})
    said = parse.read(RoleName("targets"), data, parse.Limits(max_values=count))
    assert "more than" not in f"{said.problem}{said.malformed}"
    full = b'{"x":[' + b",".join([b"[]"] * 500) + b"]}"
    with pytest.raises(LimitError, match="split it"):
        read("targets", full, max_values=500)


def values_of(value: object) -> int:
    """All values in a tree, itself included."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + sum(map(values_of, inner))


PATHS = [(role, path) for role, paths in TYPES.items() for path in [*paths, "_type", "expires", "version"]]


@given(st.sampled_from(PATHS), TREES)
def test_anything_anywhere(place: tuple[str, str], value: Any) -> None:
    """Whatever stands in whichever place, a file is parsed or refused with a ParseError, nothing else."""
    role, path = place
    document = bent(made(role), f"signed.{path}", value)
    try:
        parsed = read(role, json.dumps(document).encode())
    except ParseError:
        return
    assert parsed.message


@given(st.sampled_from(list(MAKERS)), st.data())
def test_mutated_bytes(role: str, data: st.DataObject) -> None:
    """A good file with one byte changed, lost or doubled is parsed or refused with a ParseError."""
    good = spell(MAKERS[role]())
    at = data.draw(st.integers(0, len(good) - 1))
    with_byte = data.draw(st.binary(max_size=2))
    with contextlib.suppress(ParseError):
        read(role, good[:at] + with_byte + good[at + 1 :])
