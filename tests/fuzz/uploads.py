"""Uploads: the form, its headers, and what its parts say."""

from __future__ import annotations

import json

from hypothesis import strategies as st

from notary_server.errors import MalformedUpload, NoFilename
from notary_server.http.media_type import BadMediaType, parse_media_type
from notary_server.http.multipart import form_boundary, parts
from notary_server.tuf import parse
from notary_server.tuf.canonical import MAX_INTEGER
from notary_server.tuf.names import RoleName
from tests.publisher.canonical import canonical
from tests.publisher.forms import Part, form
from tests.unit.tuf.documents import MAKERS, spell

from .bending import AWKWARD, bent

MAX_PARTS = 8
TYPE, FORM = form([Part("root", b'{"signed":{}}'), Part("targets/a.json", b"\r\n--"), Part("snapshot", b"")])
BOUNDARY = form_boundary(TYPE)
MARKS = (
    *AWKWARD,
    b"--" + BOUNDARY,
    b"\r\n--" + BOUNDARY + b"--",
    b"\n--" + BOUNDARY,
    b"filename*0*=utf-8''%ff",
    b"filename=",
)
LIMITS = parse.Limits(
    max_bytes=5000, max_values=400, max_depth=40, max_signatures=3, max_keys=5, max_delegations=3
)
FILES = {role: spell(make()) for role, make in MAKERS.items()}


def multipart(data: st.DataObject) -> bool:
    """A bent form gives parts or one of two errors; never more parts than allowed, nor more bytes than were sent."""
    body = bent(data, FORM, MARKS)
    found = []
    try:
        for name, content in parts(body, BOUNDARY, MAX_PARTS):
            assert name
            found.append(content())
    except (MalformedUpload, NoFilename):
        accepted = False
    else:
        accepted = True
    assert len(found) <= MAX_PARTS
    assert sum(map(len, found)) <= len(body)
    return accepted


def media_types(data: st.DataObject) -> bool:
    """Any `Content-Type` is read or refused; a boundary that is announced is not empty."""
    good = data.draw(st.sampled_from((TYPE, 'form-data; name="files"; filename*0="a"; filename*1*=%20b')))
    value = bent(data, good.encode(), MARKS).decode("utf-8", "surrogateescape")
    try:
        parse_media_type(value)
        return bool(form_boundary(value))
    except (BadMediaType, MalformedUpload):
        return False


def metadata(data: st.DataObject) -> bool:
    """A bent file is read or refused; what is accepted says what an independent reader reads, within the limits."""
    kind = data.draw(st.sampled_from(sorted(FILES)))
    role = RoleName(kind)
    raw = bent(data, FILES[kind])
    reading = parse.read(role, raw, LIMITS)
    if reading.parsed is None:
        assert reading.malformed or reading.problem
        return False
    document = json.loads(raw)
    parsed = reading.parsed
    assert parsed.message == canonical(_as_signed(document["signed"]))
    assert parsed.body.version == document["signed"]["version"]
    assert len(parsed.signatures) <= LIMITS.max_signatures
    assert len(raw) <= LIMITS.max_bytes
    return True


def _as_signed(value: object) -> object:
    """Whole numbers with a point or an exponent are signed as integers."""
    if isinstance(value, float) and value.is_integer() and abs(value) <= MAX_INTEGER:
        return int(value)
    if isinstance(value, dict):
        return {name: _as_signed(inner) for name, inner in value.items()}
    return [_as_signed(inner) for inner in value] if isinstance(value, list) else value
