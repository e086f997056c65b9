"""Read a request's body: bounded in bytes and in time, counted while it arrives."""

from __future__ import annotations

import asyncio
from typing import Final

from aiohttp import web
from aiohttp.http import HttpVersion11
from aiohttp.http_exceptions import PayloadEncodingError

from notary_server.errors import MalformedUpload, Unavailable

from .bodies import Held
from .call import Settings
from .multipart import too_large

DRAINED_BYTES: Final = 16 << 20
"""How much beyond the limit is read and thrown away, so that the client gets to read why it is refused: a client
that is still sending when the connection closes sees a broken connection instead."""


PACE_SECONDS: Final = 10.0
"""In each of these a body must bring what the least rate asks for: long enough for a network that stalls."""


class BodyOverflowError(MalformedUpload):
    """A body so far beyond the limit that it is not even read to its end; the connection closes."""

    status = 413


class BodyTimeoutError(MalformedUpload):
    """A body that did not arrive in time; the connection closes."""

    status = 408


async def read_body(request: web.BaseRequest, settings: Settings, held: Held) -> bytes:
    """The whole body of a request, its transfer encoding taken off, its `Content-Encoding` ignored.

    Args:
        held: what it takes of the memory for all bodies.

    Raises:
        MalformedUpload: the body is larger than allowed, ends early or is malformed.
        BodyOverflowError, BodyTimeoutError: likewise, and the connection must not be used again.
        Unavailable: other bodies fill the memory that there is for them.
    """
    limit, seconds = settings.max_upload_bytes, settings.request_timeout
    message = f"the upload is larger than {limit} bytes; publish fewer targets or split them into delegations"
    length = request.content_length
    if length is not None and length > limit + DRAINED_BYTES:
        raise BodyOverflowError(message)
    if request.version >= HttpVersion11 and request.headers.get("Expect", "").lower() == "100-continue":
        await _continue(request)
    try:
        async with asyncio.timeout(seconds) as timer:
            body = await _read(request, limit, message, held, _Pace(timer, settings.min_upload_rate))
    except TimeoutError:
        raise BodyTimeoutError(
            f"the upload did not arrive within {seconds:g} seconds, or slower than {settings.min_upload_rate} bytes "
            "a second"
        ) from None
    except (web.RequestPayloadError, PayloadEncodingError, OSError):
        raise MalformedUpload("The body of your request is malformed.") from None
    if body is None and held.refused:
        raise Unavailable("too many uploads at the same time; run publish again in a few seconds")
    if body is None:
        raise too_large(message)
    return body


async def _continue(request: web.BaseRequest) -> None:
    writer = request.writer
    await writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    # Otherwise the real answer would count as begun already.
    writer.output_size = 0


class _Pace:
    """Moves a deadline on for as long as enough arrives, never beyond where it stood."""

    def __init__(self, timer: asyncio.Timeout, rate: int) -> None:
        self._timer = timer
        self._end = timer.when() or 0.0
        self._due = self._missing = int(rate * PACE_SECONDS)
        if rate:
            self._move()

    def arrived(self, size: int) -> None:
        """So many bytes more have arrived."""
        self._missing -= size
        if self._due and self._missing <= 0:
            self._missing = self._due
            self._move()

    def _move(self) -> None:
        now = asyncio.get_running_loop().time()
        self._timer.reschedule(min(self._end, now + PACE_SECONDS))


async def _read(request: web.BaseRequest, limit: int, message: str, held: Held, pace: _Pace) -> bytes | None:
    """The body; None if it was too large, or there was no room for it, and has been thrown away."""
    chunks: list[bytes] = []
    size = 0
    while chunk := await request.content.readany():
        size += len(chunk)
        pace.arrived(len(chunk))
        if size > limit + DRAINED_BYTES:
            raise BodyOverflowError(message)
        if size <= limit and held.grow(size):
            chunks.append(chunk)
        else:
            chunks.clear()
            held.release()
    return b"".join(chunks) if size <= limit and not held.refused else None
