"""PURE: server-sent events, as the HTML standard spells them (9.2), made of changefeed records."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from .answer import spell_json

CONTENT_TYPE: Final = "text/event-stream"
HEADERS: Final[Mapping[str, str]] = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
"""Nothing in between may keep events, or hold them back."""
OPENING: Final = b"retry: 5000\n\n"
"""Milliseconds until a client that lost the stream asks again."""
HEARTBEAT: Final = b":\n\n"
"""Says nothing: whoever has gone is noticed, and whoever is between does not give up."""


def wanted(accept: str) -> bool:
    """Whether the field Accept asks for events. Browsers' EventSource and most libraries name nothing else."""
    return any(part.partition(";")[0].strip().lower() == CONTENT_TYPE for part in accept.split(","))


def event(identifier: int, kind: str, data: object) -> bytes:
    """One event. JSON has no line breaks, and `kind` is a word of ours."""
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (identifier, kind.encode(), spell_json(data))
