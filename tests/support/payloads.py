"""Canonical payloads of snapshots and timestamps, to be bent by tests of the signer."""

from __future__ import annotations

import base64
import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any


def entry(data: bytes = b"content") -> dict[str, Any]:
    """A file entry as Notary writes it."""
    hashes = {
        name: base64.b64encode(hashlib.new(name, data).digest()).decode() for name in ("sha256", "sha512")
    }
    return {"hashes": hashes, "length": len(data)}


def instant(days: float, now: datetime | None = None) -> str:
    """A time so many days after now, as metadata spells it."""
    return ((now or datetime.now(UTC)) + timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%S.123456789Z")


def timestamp_signed(**changes: Any) -> dict[str, Any]:
    """The `signed` member of a timestamp."""
    sound = {"_type": "Timestamp", "expires": instant(14), "meta": {"snapshot": entry()}, "version": 1}
    return {**sound, **changes}


def snapshot_signed(**changes: Any) -> dict[str, Any]:
    """The `signed` member of a snapshot."""
    meta = {"root": entry(b"root"), "targets": entry(b"targets"), "targets/releases": entry(b"releases")}
    return {"_type": "Snapshot", "expires": instant(3 * 365), "meta": meta, "version": 1, **changes}


def canonical(signed: Any) -> bytes:
    """Canonical JSON of a value without control characters, made by the standard library."""
    return json.dumps(signed, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
