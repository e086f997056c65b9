"""TUF 1.0: files and whole publishes; what is accepted, python-tuf's client must be able to use."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping
from typing import Any

from hypothesis import strategies as st
from securesystemslib.formats import encode_canonical
from securesystemslib.signer import Signature, Signer

from notary_server.errors import InvalidUpdate, MalformedJson, VersionConflict
from notary_server.tuf.names import RoleName
from notary_server.tuf10.file import BadFileError, StandardFile
from tests.unit.tuf.test_publish_properties import bend
from tests.unit.tuf10.repository import Repository

from .bending import AWKWARD, bent

UPLOADED = ("root", "targets", "alice")
MARKS = (*AWKWARD, b'"version":2', b'"threshold":0', b'"Version":1', b'"_type":"root"', b'"bit_length":14')


@functools.cache
def _published() -> Repository:
    return Repository()


def files(data: st.DataObject) -> bool:
    """A bent file is read or refused; what is read, everybody signs and verifies over the same bytes."""
    repository = _published()
    role = data.draw(st.sampled_from(sorted(repository.files)))
    raw = bent(data, repository.latest(role), MARKS)
    file = StandardFile(RoleName(role), raw)
    try:
        message = file.message
    except BadFileError:
        return False
    assert message == (encode_canonical(json.loads(raw)["signed"]) or "").encode()
    assert file.version == json.loads(raw)["signed"]["version"] >= 1
    return True


def bent_bytes(data: st.DataObject) -> bool:
    """Some bytes of one file are changed after it was signed."""
    uploads = _good(data)
    role = data.draw(st.sampled_from(sorted(uploads)))
    uploads[role] = bent(data, uploads[role], MARKS)
    return _play(uploads)


def bent_and_signed(data: st.DataObject) -> bool:
    """A value anywhere in one file is strange, and the right keys have signed it."""
    uploads = _good(data)
    role = data.draw(st.sampled_from(sorted(uploads)))
    body = bend(data, json.loads(uploads[role])["signed"]) if data.draw(st.integers(0, 7)) else None
    if body is not None:
        uploads[role] = _signed_as_it_is(body, _published().owner[role])
    return _play(uploads)


def _good(data: st.DataObject) -> dict[str, bytes]:
    roles = data.draw(st.sets(st.sampled_from(UPLOADED), min_size=1))
    return {role: _published().next(role) for role in sorted(roles)}


def _signed_as_it_is(body: Any, signers: Iterable[Signer]) -> bytes:
    """A file that says anything at all; what has no canonical form is signed as JSON spells it."""
    try:
        message = (encode_canonical(body) or "").encode()
    except Exception:  # noqa: BLE001 - whatever the library thinks of it
        message = json.dumps(body).encode()
    signatures: list[Signature] = [signer.sign(message) for signer in signers]
    return json.dumps({"signatures": [one.to_dict() for one in signatures], "signed": body}).encode()


def _play(uploads: Mapping[str, bytes]) -> bool:
    trial = _published().copy()
    try:
        trial.publish(uploads)
    except (MalformedJson, InvalidUpdate, VersionConflict):
        assert trial.files == _published().files, "refused, but stored"
        return False
    trial.read()
    return True
