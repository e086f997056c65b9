"""Names of the trade: GUN, role, key ID and digest, and the rules for spelling them."""

from __future__ import annotations

import re
from typing import Final, NewType
from unicodedata import category

Gun = NewType("Gun", str)
RoleName = NewType("RoleName", str)
KeyId = NewType("KeyId", str)
"""Lower-case hexadecimal SHA-256 of a key's canonical form (PROTOCOL.md, 5)."""
Sha256Hex = NewType("Sha256Hex", str)
"""64 lower-case hexadecimal digits."""

ROOT: Final = RoleName("root")
TARGETS: Final = RoleName("targets")
SNAPSHOT: Final = RoleName("snapshot")
TIMESTAMP: Final = RoleName("timestamp")
BASE_ROLES: Final = (ROOT, TARGETS, SNAPSHOT, TIMESTAMP)

MAX_ROLE_LENGTH: Final = 255
"""Characters; the width of the column `tuf_files.role`."""
MAX_GUN_LENGTH: Final = 255
"""Characters; the width of the column `tuf_files.gun`."""
MAX_VERSION: Final = 2**31 - 1
"""The largest version Notary's integer column can hold."""

_INVISIBLE: Final = frozenset({"Cc", "Cf", "Zl", "Zp"})
"""Categories of characters that let two names look alike, or break a line of a log: control and format characters
(joiners of width zero, changes of direction), separators of lines and paragraphs."""

_DELEGATION: Final = re.compile(r"targets(?:/[a-z0-9_-]+)+", re.ASCII)


def is_delegation(role: str) -> bool:
    """Whether `role` is a well-formed delegation name such as `targets/releases` (PROTOCOL.md, 7)."""
    return len(role) <= MAX_ROLE_LENGTH and _DELEGATION.fullmatch(role) is not None


def is_role(role: str) -> bool:
    """Whether `role` is a base role or a well-formed delegation."""
    return role in BASE_ROLES or is_delegation(role)


def parent(role: RoleName) -> RoleName:
    """The delegating role: all but the last segment. `role` MUST be a delegation."""
    return RoleName(role.rsplit("/", 1)[0])


def ancestors(role: RoleName) -> tuple[RoleName, ...]:
    """All delegating roles above `role`, from `targets` downwards; empty for a base role."""
    segments = role.split("/")
    return tuple(RoleName("/".join(segments[:depth])) for depth in range(1, len(segments)))


def depth_order(role: RoleName) -> tuple[int, RoleName]:
    """Sort key of targets roles: fewer segments first, then by name (PROTOCOL.md, 10.3)."""
    return role.count("/"), role


def gun_problem(gun: str) -> str | None:
    """Why `gun` cannot name a repository, or None if it can.

    `gun` is already percent-decoded. Undecodable bytes arrive as lone surrogates.
    """
    if not gun:
        return "the repository name is empty"
    if len(gun) > MAX_GUN_LENGTH:
        return f"the repository name is longer than {MAX_GUN_LENGTH} characters"
    if any(c == "\0" or 0xD800 <= ord(c) <= 0xDFFF for c in gun):
        return "the repository name holds a NUL or is not UTF-8"
    if "*" in gun:
        return "the repository name holds a star"
    if "\\" in gun:
        return "the repository name holds a backslash"
    if any(category(c) in _INVISIBLE for c in gun):
        return "the repository name holds a control character or an invisible one"
    segments = gun.split("/")
    if any(segment in {"", ".", ".."} for segment in segments):
        return "the repository name holds an empty, '.' or '..' segment"
    if any(segment != segment.strip() for segment in segments):
        return "a segment of the repository name begins or ends with white space"
    return None
