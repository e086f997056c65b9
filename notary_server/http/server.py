"""The HTTP server itself: aiohttp's low-level one, whose single handler is ours.

aiohttp's own router is not used: it works on normalised addresses, and ours must not be.
"""

from __future__ import annotations

import asyncio
import base64
import secrets
import ssl
import time
from functools import partial
from typing import Any, Final

import structlog
from aiohttp import web
from aiohttp.http_exceptions import BadHttpMethod

from notary_common.log import get_logger

from .answer import TEXT, Answer
from .body import read_body
from .call import Services
from .dispatch import Outcome, bad_request, dispatch

MAX_LINE_BYTES: Final = 16_384
"""Of a request line: a repository name of 255 characters, percent-encoded, fits several times."""
MAX_FIELD_BYTES: Final = 65_536
"""Of one header field: tokens with many grants are long."""
MAX_FIELDS: Final = 100
HEADER_TIMEOUT: Final = 20.0
"""Seconds from the connection to the end of its first request's header."""
KEEPALIVE_TIMEOUT: Final = 75.0
"""Seconds that an idle connection is kept; longer than the usual 60 of proxies, so that these close first."""
LINGER_TIMEOUT: Final = 2.0
"""Seconds for which what a client still sends is read after its answer."""
HANDSHAKE_TIMEOUT: Final = 10.0
BACKLOG: Final = 1024
"""Clients open a connection for each request."""

_log = get_logger()


class _Connection(web.RequestHandler):
    """A connection that closes if nothing is asked on it, and answers broken HTTP as Notary does."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self._opening: asyncio.TimerHandle | None = None
        self.busy = False
        self.ending = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._opening = self._loop.call_later(HEADER_TIMEOUT, self.force_close)

    def connection_lost(self, exc: BaseException | None) -> None:
        self.request_began()
        super().connection_lost(exc)

    def eof_received(self) -> bool:  # type: ignore[override] # aiohttp never keeps a half-closed connection
        """The client has sent all it will ever send: answer what it asked, then close.

        TLS knows no such state; there the connection is closed at once.
        """
        self.ending = True
        waiting = self._waiter is not None and not self._waiter.done()
        if self.ssl_context is not None or waiting or not self._request_count:
            return False
        if self._current_request is not None:
            self.end_body(self._current_request)
        return True

    def end_body(self, request: web.BaseRequest) -> None:
        """If nothing more can come of the request's body, let whoever reads it know."""
        if self.ending and not request.content.is_eof():
            request.content.set_exception(web.RequestPayloadError("the body ends early"))

    def request_began(self) -> None:
        """A whole request header has arrived."""
        if self._opening is not None:
            self._opening.cancel()
            self._opening = None

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to what never became a request; aiohttp's own would quote it back."""
        self.request_began()
        if isinstance(exc, BadHttpMethod):
            return to_response(Answer(405, close=True), "")
        if status >= 500:
            _log.error("a request could not be answered", exc_info=exc)
            return to_response(Answer(500, b"500 Internal Server Error", TEXT, close=True), "")
        return to_response(bad_request(), "")


class _Protocols(web.Server):
    """Makes one `_Connection` per accepted socket."""

    def __call__(self) -> web.RequestHandler:
        return _Connection(self, loop=self._loop, **self._kwargs)


class HttpServer:
    """Listens, answers through `dispatch`, and stops without cutting anybody off."""

    def __init__(self, services: Services) -> None:
        """Call this, like everything here, in the running event loop."""
        self._services = services
        self._active = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._stopping = False
        self._listening: asyncio.Server | None = None
        self._protocols = _Protocols(
            self._answer,
            access_log=None,
            auto_decompress=False,
            keepalive_timeout=KEEPALIVE_TIMEOUT,
            lingering_time=LINGER_TIMEOUT,
            max_line_size=MAX_LINE_BYTES,
            max_field_size=MAX_FIELD_BYTES,
            max_headers=MAX_FIELDS,
        )

    async def start(self, host: str, port: int, tls: ssl.SSLContext | None) -> int:
        """Listen; on all interfaces if `host` is empty. Returns the port, chosen by the system if 0 was given.

        Raises:
            OSError: the address cannot be used.
        """
        loop = asyncio.get_running_loop()
        self._listening = await loop.create_server(
            self._protocols,
            host,
            port,
            ssl=tls,
            backlog=BACKLOG,
            reuse_address=True,
            ssl_handshake_timeout=HANDSHAKE_TIMEOUT if tls else None,
        )
        chosen: int = self._listening.sockets[0].getsockname()[1]
        return chosen

    async def stop(self, seconds: float) -> None:
        """Accept nothing more, let running requests finish for so many seconds at most, close everything."""
        self._stopping = True
        if self._listening is not None:
            self._listening.close()
        for connection in self._protocols.connections:
            if isinstance(connection, _Connection) and not connection.busy:
                connection.close()
        try:
            async with asyncio.timeout(seconds):
                await self._idle.wait()
        except TimeoutError:
            _log.warning("stopping although requests are still running", requests=self._active)
        await self._protocols.shutdown(1.0)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        connection = request.protocol
        request_id = new_request_id()
        structlog.contextvars.bind_contextvars(**{"http.request.id": request_id})
        started = time.perf_counter()
        self._begin(connection, request)
        settings = self._services.settings
        body = partial(read_body, request, settings.max_upload_bytes, settings.request_timeout)
        try:
            outcome = await dispatch(
                self._services, request.method, request.raw_path, request.headers, body, request_id
            )
        finally:
            self._end(connection)
        self._record(request, outcome, time.perf_counter() - started)
        response = to_response(outcome.answer, request_id)
        if self._stopping or (isinstance(connection, _Connection) and connection.ending):
            response.force_close()
        return response

    def _begin(self, connection: object, request: web.BaseRequest) -> None:
        if isinstance(connection, _Connection):
            connection.request_began()
            connection.end_body(request)
            connection.busy = True
        self._active += 1
        self._idle.clear()

    def _end(self, connection: object) -> None:
        if isinstance(connection, _Connection):
            connection.busy = False
        self._active -= 1
        if not self._active:
            self._idle.set()

    def _record(self, request: web.BaseRequest, outcome: Outcome, seconds: float) -> None:
        answer = outcome.answer
        if outcome.operation is not None:
            self._services.metrics.request(
                outcome.operation,
                request.method,
                answer.status,
                seconds=seconds,
                request_bytes=_request_size(request),
                response_bytes=len(answer.body),
            )
        _log.info(
            "response completed",
            **{
                "http.request.method": request.method,
                "http.request.uri": request.raw_path,
                "http.request.host": request.headers.get("Host", ""),
                "http.request.remoteaddr": _peer(request),
                "http.request.useragent": request.headers.get("User-Agent", ""),
                "http.response.status": answer.status,
                "http.response.duration": f"{seconds * 1000:.3f}ms",
                "http.response.written": len(answer.body),
                "http.response.contenttype": answer.content_type or "",
            },
        )


def new_request_id() -> str:
    """Sixteen letters and digits. Base 32 knows neither 0 nor 1, so no ID holds a "401" that an
    admission controller would take for a status."""
    return base64.b32encode(secrets.token_bytes(10)).decode().lower()


def to_response(answer: Answer, request_id: str) -> web.Response:
    """The answer as aiohttp sends it: whole, with its length."""
    headers = {"Server": "notary-server", **answer.headers}
    if request_id:
        headers["X-Request-ID"] = request_id
    if answer.content_type is not None:
        headers["Content-Type"] = answer.content_type
    response = web.Response(status=answer.status, body=answer.body, headers=headers)
    if answer.close or answer.status in {408, 413}:
        response.force_close()
    return response


def _request_size(request: web.BaseRequest) -> int:
    fields = sum(len(name) + len(value) for name, value in request.raw_headers)
    return len(request.method) + len(request.raw_path) + fields + (request.content_length or 0)


def _peer(request: web.BaseRequest) -> str:
    peer = None if request.transport is None else request.transport.get_extra_info("peername")
    return f"{peer[0]}:{peer[1]}" if isinstance(peer, tuple) else ""
