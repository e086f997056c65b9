"""An answer as the bytes of HTTP/1.1, the same that aiohttp makes of it."""

from __future__ import annotations

import time
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import Final

from .answer import Answer

SERVER: Final = "notary-server"

_KEEP: Final = "\r\n"
_CLOSE: Final = "Connection: close\r\n\r\n"


def serialize(answer: Answer, request_id: str, *, last: bool) -> bytes:
    """The whole answer; its header says so if the connection closes after it."""
    fields = "".join([f"{name}: {value}\r\n" for name, value in answer.headers.items()])
    described = "" if answer.content_type is None else f"Content-Type: {answer.content_type}\r\n"
    head = (
        f"{_opening(answer.status)}{fields}X-Request-ID: {request_id}\r\n{described}"
        f"Content-Length: {len(answer.body)}\r\nDate: {_date(int(time.time()))}\r\n"
        f"{_CLOSE if last else _KEEP}"
    )
    return head.encode() + answer.body


@lru_cache
def _opening(status: int) -> str:
    return f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nServer: {SERVER}\r\n"


@lru_cache(maxsize=1)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)
