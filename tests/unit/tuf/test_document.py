"""Documents: read once, whoever asks how often."""

from __future__ import annotations

import hashlib

import pytest

from notary_server.errors import MalformedJson
from notary_server.tuf import parse
from notary_server.tuf.document import Document, by_role, examine
from notary_server.tuf.model import FileMeta
from notary_server.tuf.names import ROOT, SNAPSHOT, TARGETS, RoleName
from tests.unit.tuf.documents import root, snapshot, spell, targets


def test_gives_what_parsing_gives() -> None:
    """Each role's file, as `parse` reads it, and its hashes and length."""
    files = {ROOT: spell(root()), TARGETS: spell(targets()), SNAPSHOT: spell(snapshot())}
    found = by_role(files)
    assert found[ROOT].root() == parse.parse_root(files[ROOT])
    assert found[TARGETS].targets() == parse.parse_targets(TARGETS, files[TARGETS])
    assert found[SNAPSHOT].snapshot() == parse.parse_snapshot(files[SNAPSHOT])
    data = files[TARGETS]
    digests = {"sha256": hashlib.sha256(data).digest(), "sha512": hashlib.sha512(data).digest()}
    assert found[TARGETS].meta == FileMeta(digests, len(data))
    found[TARGETS].check()


def test_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not before it is needed, and not twice; not at all where it is known already."""
    calls: list[bytes] = []
    real = parse.read

    def counted(role: RoleName, data: bytes, limits: parse.Limits) -> parse.Reading:
        calls.append(data)
        return real(role, data, limits)

    monkeypatch.setattr(parse, "read", counted)
    document = Document(TARGETS, spell(targets()))
    assert calls == []
    document.check()
    document.targets()
    assert document.meta.length == len(document.data)
    assert len(calls) == 1
    known = Document(TARGETS, document.data, examine(TARGETS, document.data))
    known.targets()
    assert len(calls) == 2


def test_bad_files_say_so_every_time() -> None:
    """What is malformed is so for both; what readers disagree about, only for those who need the file."""
    malformed = Document(TARGETS, b'{"signed":7}')
    for _ in range(2):
        with pytest.raises(
            MalformedJson, match=r"^The targets file cannot be read: its member signed is not"
        ):
            malformed.check()
        with pytest.raises(parse.ParseError, match=r"^its member signed is not"):
            malformed.targets()
    ambiguous = Document(TARGETS, b'{"signed":{},"signed":{}}')
    ambiguous.check()
    with pytest.raises(parse.ParseError, match="two members"):
        ambiguous.targets()


def test_limits_hold() -> None:
    """The bounds are those that were given."""
    document = Document(TARGETS, spell(targets()), limits=parse.Limits(max_depth=3))
    with pytest.raises(MalformedJson, match="more than 3 levels"):
        document.check()
