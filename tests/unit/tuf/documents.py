"""Well-formed documents of every role to bend: plain Python values, and how they are spelled."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

Document = dict[str, Any]

DIGEST = base64.b64encode(bytes(32)).decode()
LONG_DIGEST = base64.b64encode(bytes(64)).decode()
EXPIRES = "2030-01-02T03:04:05.000000007Z"
EXPIRES_NS = 1_893_553_445_000_000_007


def entry(length: int = 7) -> Document:
    """A file entry with both digests and a `custom` member."""
    return {"custom": {"x": None}, "hashes": {"sha256": DIGEST, "sha512": LONG_DIGEST}, "length": length}


def key() -> Document:
    """A key object of no use."""
    return {"keytype": "ecdsa", "keyval": {"private": None, "public": "AQID"}}


def root() -> Document:
    """A root whose four roles share one key."""
    roles = ("root", "snapshot", "targets", "timestamp")
    return _file("Root", consistent_snapshot=False, keys={"k": key()}, roles={name: role() for name in roles})


def role() -> Document:
    """A role of one key, `k`."""
    return {"keyids": ["k"], "threshold": 1}


def targets() -> Document:
    """Targets with one target and one delegation."""
    delegated = role() | {"name": "targets/a", "paths": [""]}
    return _file(
        "Targets", delegations={"keys": {"k": key()}, "roles": [delegated]}, targets={"tag": entry()}
    )


def snapshot() -> Document:
    """A snapshot of root and targets."""
    return _file("Snapshot", meta={"root": entry(), "targets": entry()})


def timestamp() -> Document:
    """A timestamp."""
    return _file("Timestamp", meta={"snapshot": entry()})


MAKERS: dict[str, Callable[[], Document]] = {
    "root": root,
    "targets": targets,
    "snapshot": snapshot,
    "timestamp": timestamp,
}


def _file(kind: str, **members: Any) -> Document:
    signed = {"_type": kind, "expires": EXPIRES, "version": 3} | members
    return {"signed": signed, "signatures": [{"keyid": "k", "method": "ecdsa", "sig": "AQID"}]}


def spell(document: Any) -> bytes:
    """The document without white space."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()


def bent(document: Document, path: str, value: Any) -> Document:
    """`document`, changed: the member at `path` (names joined by dots, numbers for list elements) is `value`."""
    *way, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    place: Any = document
    for step in way:
        place = place[step]
    if value is REMOVED:
        del place[last]
    else:
        place[last] = value
    return document


REMOVED = object()
"""Asks `bent` to take the member away."""
