"""Where the two servers may differ without either being at fault; everything else must agree."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from tests.publisher import Reply

from .case import Side

_MODIFIED = re.compile(r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d (.*)")

FREE_DETAIL = {"METADATA_NOT_FOUND", "VERSION", "INVALID_GUN", "UNKNOWN", "UPDATING"}
"""Codes whose detail is text for people or empty: clients read nothing from it."""


def plain_last_modified(side: Side, value: str | None) -> str | None:
    """The zone of `Last-Modified`; the old server's numeric one (flaw 38) counts as GMT, on its side only."""
    if value is None:
        return None
    found = _MODIFIED.fullmatch(value)
    if found is None:
        return f"malformed: {value}"
    return "GMT" if side == "old" and found[2] == "+0000" else found[2]


def plain_detail(reply: Reply) -> Any:
    """`detail` without texts for people; of a typed error the name and the missing role count."""
    detail = reply.error.get("detail")
    if reply.code in FREE_DETAIL:
        return None
    if reply.code == "INVALID_UPDATE" and isinstance(detail, dict):
        return {"Name": detail.get("Name"), "Missing": (detail.get("Error") or {}).get("Missing")}
    if reply.code == "INVALID_PARAMETERS" and isinstance(detail, str):
        return "a text"  # Go's own words for what is wrong with a number
    return detail


def _is(*statuses: int) -> Callable[[Reply], bool]:
    return lambda reply: reply.status in statuses


FREEDOMS: dict[str, Callable[[Reply], bool]] = {
    # HEAD may be answered as GET would be, without a body; the old one has no such route.
    "head": lambda reply: reply.status in {200, 404, 405} and not reply.body.strip(b"\n"),
    # An unsupported method on a known path may be 405.
    "method": _is(404, 405),
    # An unclean path may be redirected, refused or answered.
    "unclean path": _is(200, 301, 308, 400, 404),
    # Conditional and range requests may be honoured.
    "conditional": _is(200, 206, 304),
    # Hashes that nobody can use may be refused in targets.
    "unusable hash": lambda reply: reply.status == 200 or reply.name == "ErrBadTargets",
    # Roles and keys that nobody needs may be refused.
    "useless role or key": lambda reply: reply.status == 200 or reply.name == "ErrBadRoot",
    # A key under a wrong ID that nobody signs with may be refused.
    "wrongly filed key": lambda reply: reply.status == 200 or reply.code == "INVALID_UPDATE",
    # One part given twice may be refused.
    "part twice": lambda reply: reply.status in {200, 400},
    # One key for two roles may be refused.
    "one key, two roles": lambda reply: reply.status == 200 or reply.code == "INVALID_UPDATE",
    # An upload without parts may be refused.
    "empty upload": lambda reply: reply.status in {200, 400},
    # Text that strict clients read differently or not at all may be refused: half a surrogate pair, invalid
    # UTF-8, two members of one name. The old server replaces the first two and takes the last member.
    "ambiguous text": lambda reply: reply.status == 200 or reply.code == "INVALID_UPDATE",
    # Nesting is bounded more tightly: no metadata needs more than a few dozen levels.
    "deep nesting": lambda reply: reply.status == 200 or reply.code == "MALFORMED_JSON",
    # A delegation that its parent no longer names may leave the snapshot.
    "removed delegation": _is(200, 404),
}
"""By name: what ours may answer where the old server answers something else."""
