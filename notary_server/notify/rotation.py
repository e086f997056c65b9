"""PURE: what one root changed in the keys of another."""

from __future__ import annotations

from collections.abc import Mapping

from notary_server.tuf.names import BASE_ROLES
from notary_server.tuf.parse import ParseError, parse_root


def rotated(before: bytes, after: bytes) -> Mapping[str, Mapping[str, list[str]]]:
    """For each role whose keys differ, the IDs that were added and removed; empty for roots that cannot be read."""
    try:
        old, new = parse_root(before).body.roles, parse_root(after).body.roles
    except ParseError:
        return {}
    changed: dict[str, Mapping[str, list[str]]] = {}
    for role in BASE_ROLES:
        had = set(old[role].keyids) if role in old else set()
        has = set(new[role].keyids) if role in new else set()
        if had != has:
            changed[role] = {"added": sorted(has - had), "removed": sorted(had - has)}
    return changed
