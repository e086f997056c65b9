"""PURE: what TUF 1.0 has a snapshot or timestamp hold that Notary's dialect has not, as strictly as `policy` is there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from notary_common.wire import OnlineRole

MEMBERS: Final = frozenset({"_type", "expires", "meta", "spec_version", "version"})
"""Of a payload, all of them and no other."""

_SPEC_VERSION: Final = re.compile(r"1\.[0-9]{1,4}(?:\.[0-9]{1,4})?", re.ASCII)
_EXPIRES: Final = re.compile(r"[0-9T:-]{19}Z", re.ASCII)
_ENTRY_MEMBERS: Final = frozenset({"hashes", "length", "version"})
_DIGITS: Final = {"sha256": 64, "sha512": 128}
_DIGEST: Final = re.compile(r"[0-9a-f]+", re.ASCII)
_MAX_LENGTH: Final = 2**63 - 1
_MAX_NAME: Final = 255 + len(".json")
_NEVER_LISTED: Final = frozenset({"root.json", "snapshot.json", "timestamp.json"})
"""A snapshot lists targets files alone; root is found by its version."""


def is_standard(signed: object) -> bool:
    """Whether a payload claims to be TUF 1.0: that dialect alone says which version of the specification it follows."""
    return isinstance(signed, dict) and "spec_version" in signed


def problem(role: OnlineRole, signed: Mapping[str, Any], max_version: int) -> str | None:
    """Why a payload, whose type, version and lifetime are right, is no TUF 1.0 metadata of `role`; None if it is."""
    if not isinstance(signed["spec_version"], str) or not _SPEC_VERSION.fullmatch(signed["spec_version"]):
        return "the payload's spec_version is none of TUF 1"
    if not _EXPIRES.fullmatch(signed["expires"]):
        return "the payload's expires is not a UTC time in whole seconds"
    meta = signed["meta"]
    if not isinstance(meta, dict):
        return "the payload's meta is not an object"
    if role == "timestamp" and set(meta) != {"snapshot.json"}:
        return "a timestamp lists exactly snapshot.json"
    if role == "snapshot" and "targets.json" not in meta:
        return "a snapshot lists targets.json"
    for name, entry in meta.items():
        if role == "snapshot" and not _is_targets(name):
            return "a snapshot lists only targets.json and delegations"
        found = _entry_problem(entry, max_version)
        if found is not None:
            return found
    return None


def _is_targets(name: str) -> bool:
    fits = len(".json") < len(name) <= _MAX_NAME and name.endswith(".json") and name.isprintable()
    return fits and name not in _NEVER_LISTED


def _entry_problem(entry: object, max_version: int) -> str | None:
    """Length and hashes may be left out, as the specification has it; the version may not."""
    if not isinstance(entry, dict) or not {"version"} <= set(entry) <= _ENTRY_MEMBERS:
        return "an entry of the payload's meta must have version, and may have hashes and length besides"
    version, length, hashes = entry["version"], entry.get("length", 0), entry.get("hashes")
    if type(version) is not int or not 1 <= version <= max_version:
        return f"a version in the payload's meta is not between 1 and {max_version}"
    if type(length) is not int or not 0 <= length <= _MAX_LENGTH:
        return "a length in the payload's meta is not a size"
    if hashes is None:
        return "an entry of the payload's meta has hashes that are null" if "hashes" in entry else None
    if not isinstance(hashes, dict) or "sha256" not in hashes:
        return "an entry of the payload's meta has hashes without sha256"
    for algorithm, digest in hashes.items():
        if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
            return "a hash in the payload's meta is not hexadecimal"
        if len(digest) != _DIGITS.get(algorithm, len(digest)):
            return f"a {algorithm} in the payload's meta does not have {_DIGITS[algorithm]} digits"
    return None
