"""A repository that the original client and server made, read file by file (tests/golden/client)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from notary_server.tuf import canonical, certificates, instant, keys, parse, verify
from notary_server.tuf.model import Parsed, PublicKey, Root, Trusted
from notary_server.tuf.names import Gun, RoleName
from tests.publisher import canonical as independent_form

GUN = Gun("golden.example.com/team/app")
FOLDER = Path(__file__).parents[2] / "golden" / "client"
FILES = sorted(FOLDER.glob("*.json"))
MADE_AT = instant.parse("2026-11-23T14:00:00Z")


def role_of(path: Path) -> RoleName:
    """The role of a recorded file."""
    return RoleName(path.name.split(".")[1].replace("_", "/"))


def load(name: str) -> bytes:
    """The bytes of a recorded file."""
    return (FOLDER / f"{name}.json").read_bytes()


def parsed_as(role: RoleName, data: bytes) -> Parsed[Any]:
    """The bytes as a file of that role."""
    match role:
        case "root":
            return parse.parse_root(data)
        case "snapshot":
            return parse.parse_snapshot(data)
        case "timestamp":
            return parse.parse_timestamp(data)
        case _:
            return parse.parse_targets(role, data)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_file(path: Path) -> None:
    """Every file passes both stages; its signed part is what two canonical encoders and the travelling form say."""
    data, role = path.read_bytes(), role_of(path)
    parse.check_part(role, data)
    parsed = parsed_as(role, data)
    document = json.loads(data)
    assert parsed.message == independent_form(document["signed"])
    signatures = json.dumps(document["signatures"], separators=(",", ":")).encode()
    assert (
        data == b'{"signed":' + canonical.travelling(parsed.message) + b',"signatures":' + signatures + b"}"
    )
    assert parsed.body.version == int(path.name.split(".")[0])


def chain() -> dict[int, Trusted[Root]]:
    """All roots, each trusted by its predecessor."""
    roots: dict[int, Trusted[Root]] = {}
    for version in (1, 2, 3):
        parsed = parse.parse_root(load(f"{version}.root"))
        roots[version] = certificates.trust_root(GUN, parsed, MADE_AT, roots.get(version - 1))
    return roots


def test_roots() -> None:
    """The client's roots follow one another, key rotation included; their keys have the IDs they are filed under."""
    roots = chain()
    assert len(roots[3].parsed.signatures) == 2
    for root in roots.values():
        assert certificates.stored_root(GUN, root.parsed).body == root.body
        assert all(keys.key_id(key) == filed for filed, key in root.body.keys.items())
        assert certificates.certificate_end(GUN, root) > MADE_AT


@pytest.mark.parametrize(
    "path", [path for path in FILES if role_of(path) != "root"], ids=lambda path: path.name
)
def test_signatures(path: Path) -> None:
    """Every other file is signed by the keys that the root of its time, or its parent, lists."""
    role = role_of(path)
    parsed = parsed_as(role, path.read_bytes())
    known: dict[str, PublicKey]
    if role == "targets/releases":
        parent = parse.parse_targets(RoleName("targets"), load("4.targets")).body
        known, keyids = parent.keys, parent.roles[0].keyids
        assert [certificates.weakness(key) for key in known.values()] == [None]
    else:
        root = chain()[2 if role == "snapshot" and parsed.body.version > 5 else 1].body
        known, keyids = root.keys, root.roles[role].keyids
    assert verify.trust(parsed, known, keyids, 1).body.version == parsed.body.version
