"""Cache and date headers of served metadata (docs/reference/protocol.md, 18)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from functools import lru_cache
from typing import Final

KEPT_DATES: Final = 4096
"""Dates whose spelling is remembered: what is read is read again and again."""


@dataclass(frozen=True, slots=True)
class CachePolicy:
    """How long metadata may be kept by clients and proxies, in seconds; 0 forbids it.

    Attributes:
        current: files asked for by role alone.
        consistent: files asked for by version or checksum, which never change.
    """

    current: int = 300
    consistent: int = 2_592_000


def cache_headers(max_age: int, *, must_revalidate: bool) -> dict[str, str]:
    """The headers that allow caching for `max_age` seconds."""
    if max_age == 0:
        return {"Cache-Control": "max-age=0, no-cache, no-store", "Pragma": "no-cache"}
    control = f"public, max-age={max_age}, s-maxage={max_age}"
    return {"Cache-Control": control + (", must-revalidate" if must_revalidate else "")}


@lru_cache(KEPT_DATES)
def last_modified(moment: datetime) -> Mapping[str, str]:
    """The date header of a file stored at `moment` (aware, UTC); not to be changed."""
    return {"Last-Modified": format_datetime(moment, usegmt=True)}
