"""Bytes to typed metadata. The one place where JSON errors of any kind are caught.

Two stages, as clients see two kinds of refusal: `check_part` for what makes a part MALFORMED_JSON
(PROTOCOL.md, 3), `parse_*` for everything the role's own structure asks for (PROTOCOL.md, 8).
"""

from __future__ import annotations

from .model import Parsed, Root, Snapshot, Targets, Timestamp
from .names import RoleName


class ParseError(Exception):
    """The file is not well-formed metadata of its role; the text says where and why, for people."""


def check_part(role: RoleName, data: bytes) -> None:
    """Accept or refuse the common members of a part.

    Raises:
        MalformedJson: as PROTOCOL.md, 3; also duplicate members and case variants of known names.
    """
    raise NotImplementedError


def parse_root(data: bytes) -> Parsed[Root]:
    """Raises: ParseError."""
    raise NotImplementedError


def parse_targets(role: RoleName, data: bytes) -> Parsed[Targets]:
    """Targets or a delegation, by `role`. Raises: ParseError."""
    raise NotImplementedError


def parse_snapshot(data: bytes) -> Parsed[Snapshot]:
    """Raises: ParseError."""
    raise NotImplementedError


def parse_timestamp(data: bytes) -> Parsed[Timestamp]:
    """Raises: ParseError."""
    raise NotImplementedError
