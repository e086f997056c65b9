"""Requests of every kind, answered through aiohttp's low-level server, whose single handler is ours.

aiohttp's own router is not used: it works on normalised addresses, and ours must not be.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from functools import partial
from typing import Any, cast

import structlog
from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import HttpVersion11
from aiohttp.http_exceptions import BadHttpMethod
from aiohttp.payload import Payload

from notary_common.guests import Guest
from notary_common.log import get_logger
from notary_common.network import network
from notary_server.errors import NotaryError

from . import limits
from .answer import TEXT, Answer
from .audit import name_refused
from .body import read_body
from .dispatch import Outcome, answer, bad_request, resolve
from .peer import client_address, client_subject
from .record import record
from .serialize import SERVER
from .traffic import Traffic
from .unread import PIECE_BYTES, Unread

_log = get_logger()


class AiohttpConnection(web.RequestHandler):
    """A connection that closes if nothing is asked on it, and answers broken HTTP as Notary does.

    Attributes:
        busy: whether a request is being answered.
        ending: whether the client has sent all it will ever send.
        answer_bytes: of the body that is being sent.
    """

    def __init__(
        self, guest: Guest, unread: Unread, deadline: float, *arguments: Any, **settings: Any
    ) -> None:
        super().__init__(*arguments, **settings)
        guest.served_by(self)
        self._guest = guest
        self._unread = unread
        self.answer_bytes = 0
        self._header_bytes = 0
        self._opening = self._loop.call_at(deadline, self.force_close)
        self.busy = False
        self.ending = False

    def connection_lost(self, exc: BaseException | None) -> None:
        self._opening.cancel()
        self._unread.forget(self._guest)
        self._guest.leave()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """The client does not read its answer."""
        super().pause_writing()
        if self.transport is not None:
            self._unread.wait(self._guest, self.answer_bytes)

    def resume_writing(self) -> None:
        """It does."""
        super().resume_writing()
        self._unread.forget(self._guest)

    def data_received(self, data: bytes) -> None:
        """Bound what is kept of a header that does not end: aiohttp bounds each of its fields only."""
        # A waiter that is done has been given a header: what follows is the body, for which there are other bounds.
        if self._waiter is not None and not self._waiter.done():
            self._header_bytes += len(data)
            if self._header_bytes > limits.MAX_HEADER_BYTES + len(data):
                self.force_close()
                return
        super().data_received(data)

    def eof_received(self) -> bool:  # type: ignore[override] # aiohttp never keeps a half-closed connection
        """The client has sent all it will ever send: answer what it asked, then close.

        TLS knows no such state; there the connection is closed at once.
        """
        self.ending = True
        waiting = self._waiter is not None and not self._waiter.done()
        if self.ssl_context is not None or waiting or not self._request_count:
            return False
        if self._current_request is not None:
            self._end_body(self._current_request)
        elif self._request_in_progress or self._messages:
            # What is being sent did not know yet that it would be the last.
            self.close()
        else:
            return False
        return True

    def abort(self) -> None:
        """Close at once."""
        if self.transport is not None:
            self.transport.abort()

    def request_began(self, request: web.BaseRequest) -> None:
        """A whole request header has arrived."""
        self._opening.cancel()
        self._header_bytes = 0
        self._end_body(request)
        self.busy = True

    def request_ended(self) -> None:
        """Its answer is known."""
        self.busy = False

    def log_exception(self, *arguments: Any, **fields: Any) -> None:
        """Not what aiohttp finds when it reads on after the answer: anybody can end a body early, as often as they like."""
        if not isinstance(fields.get("exc_info"), web.RequestPayloadError):
            super().log_exception(*arguments, **fields)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to what never became a request; aiohttp's own would quote it back."""
        self._opening.cancel()
        if isinstance(exc, BadHttpMethod):
            return _to_response(Answer(405, close=True), "")
        if status >= 500:
            _log.error("a request could not be answered", exc_info=exc)
            return _to_response(Answer(500, b"500 Internal Server Error", TEXT, close=True), "")
        return _to_response(bad_request(), "")

    def _end_body(self, request: web.BaseRequest) -> None:
        """If nothing more can come of the request's body, let whoever reads it know."""
        if self.ending and not request.content.is_eof():
            request.content.set_exception(web.RequestPayloadError("the body ends early"))


class AiohttpServer(web.Server):
    """Takes connections over and answers what arrives on them."""

    def __init__(self, traffic: Traffic) -> None:
        super().__init__(
            self._answer,
            access_log=None,
            auto_decompress=False,
            keepalive_timeout=limits.KEEPALIVE_TIMEOUT,
            lingering_time=limits.LINGER_TIMEOUT,
            max_line_size=limits.MAX_LINE_BYTES,
            max_field_size=limits.MAX_FIELD_BYTES,
            max_headers=limits.MAX_FIELDS,
        )
        self._traffic = traffic

    def take_over(self, transport: asyncio.Transport, guest: Guest, received: bytes, deadline: float) -> None:
        """Go on with a connection.

        Args:
            guest: its place among all connections.
            received: what has arrived on it and is not answered.
            deadline: when to close it, in the loop's time, unless a request is complete by then.
        """
        connection = AiohttpConnection(
            guest, self._traffic.unread, deadline, self, loop=self._loop, **self._kwargs
        )
        transport.set_protocol(connection)
        connection.connection_made(transport)
        connection.data_received(received)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        connection = cast("AiohttpConnection", request.protocol)
        started = time.perf_counter()
        traffic = self._traffic
        services, settings = traffic.services, traffic.services.settings
        request_id = traffic.new_request_id()
        structlog.contextvars.bind_contextvars(**{"http.request.id": request_id})
        connection.request_began(request)
        try:
            prefixes, guarded = settings.gun_prefixes, services.access.guarded
            found = resolve(request.method, request.raw_path, prefixes, guarded=guarded)
            client = client_address(request.transport, request.headers, settings.proxies)
            if isinstance(found, Outcome):
                outcome = found
                name_refused(services.audit, found.operation, request.raw_path, client, request_id)
            else:
                with traffic.bodies.hold(network(client)) as held:
                    body = partial(read_body, request, settings, held)
                    subject = client_subject(request.transport)
                    outcome = await answer(
                        services, found, request.headers, client, subject, body, request_id
                    )
        finally:
            connection.request_ended()
        record(
            services,
            outcome,
            request.method,
            request.raw_path,
            request.headers,
            request.transport,
            time.perf_counter() - started,
        )
        connection.answer_bytes = len(outcome.answer.body)
        if outcome.answer.stream is not None:
            return await self._stream(request, connection, outcome.answer, outcome.answer.stream, request_id)
        response = _to_response(outcome.answer, request_id)
        if traffic.stopping or connection.ending:
            response.force_close()
        return response

    async def _stream(
        self,
        request: web.BaseRequest,
        connection: AiohttpConnection,
        answer: Answer,
        pieces: AsyncGenerator[bytes],
        request_id: str,
    ) -> web.StreamResponse:
        """Send until the pieces end, the client goes or does not read, or the server stops."""
        response = web.StreamResponse(status=answer.status, headers=_headers(answer, request_id))
        response.force_close()
        connection.busy = True
        try:
            if request.version >= HttpVersion11:
                response.enable_chunked_encoding()
            await response.prepare(request)
            async for piece in pieces:
                # Whoever has gone is not noticed by writing alone: nothing may be written for a while.
                if self._traffic.stopping or connection.ending or connection.transport is None:
                    break
                if piece:
                    async with asyncio.timeout(limits.STREAM_WRITE_TIMEOUT):
                        await response.write(piece)
            await response.write_eof()
        except NotaryError as error:
            _log.warning("a stream ends early", reason=error.message)
        except (ConnectionError, TimeoutError):
            connection.abort()
        finally:
            await pieces.aclose()
            connection.busy = False
        return response


class _Pieces(Payload):
    """A large body, handed on no faster than the client takes it."""

    def __init__(self, body: bytes) -> None:
        super().__init__(body)
        self._size = len(body)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """The body as text; aiohttp wants every payload to have this."""
        return str(self._value, encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Write it; `writer` waits as long as the client does not read."""
        for start in range(0, len(self._value), PIECE_BYTES):
            await writer.write(memoryview(self._value)[start : start + PIECE_BYTES])

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        """Write it: `content_length` is its own."""
        await self.write(writer)


def _to_response(answer: Answer, request_id: str) -> web.Response:
    """The answer as aiohttp sends it: whole, with its length."""
    large = len(answer.body) > PIECE_BYTES
    response = web.Response(
        status=answer.status,
        body=_Pieces(answer.body) if large else answer.body,
        headers=_headers(answer, request_id),
    )
    if answer.close or answer.status in {408, 413}:
        response.force_close()
    return response


def _headers(answer: Answer, request_id: str) -> dict[str, str]:
    headers = {"Server": SERVER, **answer.headers}
    if request_id:
        headers["X-Request-ID"] = request_id
    if answer.content_type is not None:
        headers["Content-Type"] = answer.content_type
    return headers
