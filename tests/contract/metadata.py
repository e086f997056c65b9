"""Small but well-linked metadata for tests of the store: what a timestamp and a snapshot list is right."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping

from notary_server.ports import StoredFile
from notary_server.tuf.model import NewFile
from notary_server.tuf.names import ROOT, SNAPSHOT, TARGETS, TIMESTAMP, RoleName, Sha256Hex


def new_file(role: RoleName, version: int, data: bytes) -> NewFile:
    """A row with the digest of its bytes."""
    return NewFile(role=role, version=version, data=data, sha256=Sha256Hex(hashlib.sha256(data).hexdigest()))


def listing(role: RoleName, version: int, files: Mapping[RoleName, bytes], salt: str = "") -> bytes:
    """A snapshot or timestamp that lists `files`. `salt` makes two of one version differ."""
    meta = {
        name: {
            "hashes": {"sha256": base64.b64encode(hashlib.sha256(data).digest()).decode()},
            "length": len(data),
        }
        for name, data in files.items()
    }
    return json.dumps(
        {"signed": {"_type": role, "version": version, "meta": meta}, "signatures": [{"sig": salt}]}
    ).encode()


def publish(
    version: int, salt: str = "", extra: Mapping[RoleName, bytes] | None = None, *, with_root: bool = True
) -> list[NewFile]:
    """A whole publish in which every file has `version` and the chain of digests is right."""
    bodies = {TARGETS: f"targets {version} {salt}".encode(), **(extra or {})}
    if with_root:
        bodies[ROOT] = f"root {version} {salt}".encode()
    snapshot = listing(SNAPSHOT, version, bodies, salt)
    timestamp = listing(TIMESTAMP, version, {SNAPSHOT: snapshot}, salt)
    everything = {**bodies, SNAPSHOT: snapshot, TIMESTAMP: timestamp}
    return [new_file(role, version, data) for role, data in everything.items()]


def body(files: list[NewFile], role: RoleName) -> bytes:
    """The bytes of `role` in a publish."""
    return next(file.data for file in files if file.role == role)


def found(file: StoredFile | None) -> StoredFile:
    """The file, which must be there."""
    assert file is not None
    return file
