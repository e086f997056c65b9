"""Read a request's body: bounded in bytes and in time, counted while it arrives."""

from __future__ import annotations

import asyncio
from typing import Final

from aiohttp import web
from aiohttp.http import HttpVersion11
from aiohttp.http_exceptions import PayloadEncodingError

from notary_server.errors import MalformedUpload

from .multipart import too_large

DRAINED_BYTES: Final = 16 << 20
"""How much beyond the limit is read and thrown away, so that the client gets to read why it is refused: a client
that is still sending when the connection closes sees a broken connection instead."""


class BodyOverflowError(MalformedUpload):
    """A body so far beyond the limit that it is not even read to its end; the connection closes."""

    status = 413


class BodyTimeoutError(MalformedUpload):
    """A body that did not arrive in time; the connection closes."""

    status = 408


async def read_body(request: web.BaseRequest, limit: int, seconds: float) -> bytes:
    """The whole body of a request, its transfer encoding taken off, its `Content-Encoding` ignored.

    Args:
        limit: bytes at most.
        seconds: for all of it to arrive.

    Raises:
        MalformedUpload: the body is larger than `limit`, ends early or is malformed.
        BodyOverflowError, BodyTimeoutError: likewise, and the connection must not be used again.
    """
    message = f"the upload is larger than {limit} bytes; publish fewer targets or split them into delegations"
    length = request.content_length
    if length is not None and length > limit + DRAINED_BYTES:
        raise BodyOverflowError(message)
    if request.version >= HttpVersion11 and request.headers.get("Expect", "").lower() == "100-continue":
        await _continue(request)
    try:
        async with asyncio.timeout(seconds):
            body = await _read(request, limit, message)
    except TimeoutError:
        raise BodyTimeoutError(f"the upload did not arrive within {seconds:g} seconds") from None
    except (web.RequestPayloadError, PayloadEncodingError, OSError):
        raise MalformedUpload("The body of your request is malformed.") from None
    if body is None:
        raise too_large(message)
    return body


async def _continue(request: web.BaseRequest) -> None:
    writer = request.writer
    await writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    # Otherwise the real answer would count as begun already.
    writer.output_size = 0


async def _read(request: web.BaseRequest, limit: int, message: str) -> bytes | None:
    """The body; None if it was too large and has been thrown away."""
    chunks: list[bytes] = []
    size = 0
    while chunk := await request.content.readany():
        size += len(chunk)
        if size > limit + DRAINED_BYTES:
            raise BodyOverflowError(message)
        if size > limit:
            chunks.clear()
        else:
            chunks.append(chunk)
    return b"".join(chunks) if size <= limit else None
