"""The request target: from the raw text of the request line to a decoded, clean path and its query.

Decoded once, here, and by nothing else: a library that normalises addresses merges dot segments and would let one
repository be named in two ways. Bytes that are not UTF-8 become lone surrogates, which no repository name may hold.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, unquote_to_bytes

_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_CONTROL: Final = re.compile(r"[\x00-\x20\x7f]")
_ABSOLUTE: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://[^/?]*)(.*)", re.DOTALL)
_UNESCAPED: Final = "/$&+,:;=@-_.~"


class BadTarget(Exception):
    """The request target cannot be decoded."""


@dataclass(frozen=True, slots=True)
class Target:
    """A decoded request target.

    Attributes:
        origin: scheme and host if the target is absolute, else empty.
        path: percent-decoded, not cleaned.
        query: as sent, without the question mark; None if there is none.
    """

    origin: str
    path: str
    query: str | None

    @property
    def clean_path(self) -> str:
        """The path without empty, `.` and `..` segments; a slash at its end stays."""
        kept: list[str] = []
        for segment in self.path.split("/"):
            if segment == "..":
                del kept[-1:]
            elif segment not in {"", "."}:
                kept.append(segment)
        clean = "/" + "/".join(kept)
        return clean + "/" if self.path.endswith("/") and kept else clean

    @property
    def only_slashes_doubled(self) -> bool:
        """Whether nothing but repeated slashes keeps the path from being clean."""
        return re.sub("/{2,}", "/", self.path) == self.clean_path

    @property
    def clean_location(self) -> str:
        """Where the clean path is, for a redirect."""
        return self.origin + escaped_path(self.clean_path) + ("" if self.query is None else "?" + self.query)


def escaped_path(path: str) -> str:
    """A decoded path as it stands in an address."""
    return quote(path.encode("utf-8", "surrogateescape"), safe=_UNESCAPED)


def decode_target(raw: str) -> Target:
    """Read the target of a request line, whose bytes are decoded as UTF-8 with surrogate escapes.

    Raises:
        BadTarget: an escape cannot be decoded, or it is no address at all.
    """
    if _CONTROL.search(raw):
        raise BadTarget
    origin, rest = "", raw
    if not raw.startswith("/") and raw != "*":
        absolute = _ABSOLUTE.fullmatch(raw)
        if absolute is None:
            raise BadTarget
        origin, rest = absolute[1], absolute[2]
    path, mark, query = rest.partition("?")
    if _ESCAPE.search(path):
        raise BadTarget
    decoded = unquote_to_bytes(path.encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape")
    return Target(origin, decoded or "/", query if mark else None)
