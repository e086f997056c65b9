"""The plain requests that nearly all readers send, told apart from all others and read in one go.

Whatever is not certainly plain is left to aiohttp's parser: a body, a second request, an unfinished header, unusual
characters, fields with a meaning for the connection, a stream that is asked for. So there is only one reading of everything that has two.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

MAX_PLAIN_BYTES: Final = 8192
"""Longer headers are rare; the bound also keeps the pattern below from holding up other connections."""
MAX_PLAIN_FIELDS: Final = 100

# The target: what RFC 3986 allows in paths and queries. A value: printable ASCII.
_HEAD: Final = re.compile(r"GET (/[!$-;=?-Z_a-z~]*) HTTP/1\.1\r\n((?:[A-Za-z0-9_-]+:[ -~]*\r\n)+)\r\n")
_NOT_PLAIN: Final = frozenset(
    {
        "content-encoding",
        "content-length",
        "expect",
        "http2-settings",
        "proxy-connection",
        "sec-websocket-key1",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Fields that announce a body, change the protocol, or are checked by aiohttp."""
_LAST: Final = {"keep-alive": False, "close": True}


@dataclass(slots=True)
class PlainRequest:
    """A GET of HTTP/1.1 without a body.

    Attributes:
        target: as sent, ASCII.
        fields: the header by lower-case name.
        last: whether the client wants the connection closed after the answer.
    """

    target: str
    fields: Mapping[str, str]
    last: bool


def read_plain(data: bytes) -> PlainRequest | None:
    """The request that `data` holds, if it is exactly one, whole and plain; None in any doubt."""
    if len(data) > MAX_PLAIN_BYTES or not data.isascii():
        return None
    head = _HEAD.fullmatch(data.decode())
    if head is None:
        return None
    target, block = head.groups()
    lines = block.split("\r\n")[:-1]
    fields = {name.lower(): value.strip(" ") for name, _, value in (line.partition(":") for line in lines)}
    last = _LAST.get(fields.get("connection", "keep-alive"))
    if (
        last is None
        or "host" not in fields
        or not len(fields) == len(lines) <= MAX_PLAIN_FIELDS
        or not _NOT_PLAIN.isdisjoint(fields)
        or "text/event-stream" in fields.get("accept", "")
    ):
        return None
    return PlainRequest(target, fields, last)
