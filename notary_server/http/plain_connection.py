"""A connection from its beginning, for as long as nothing but plain requests arrive on it.

Reading clients send nothing else, so they are answered here, without aiohttp's parser, tasks and objects. With the
first request that is not plain the connection is aiohttp's, for good.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, cast
from weakref import WeakSet

import structlog

from notary_common.guests import Guest

from . import limits
from .audit import name_refused
from .dispatch import Address, Outcome, answer, resolve
from .peer import client_address, client_subject
from .plain_request import PlainRequest, read_plain
from .record import record
from .serialize import serialize
from .traffic import Traffic
from .unread import PIECE_BYTES

if TYPE_CHECKING:
    from .aiohttp_connection import AiohttpServer


class PlainConnection(asyncio.Protocol):
    """Answers one request after the other. What arrives meanwhile waits, and no more of it is read.

    Attributes:
        busy: whether a request is being answered.
    """

    def __init__(
        self, traffic: Traffic, guest: Guest, others: AiohttpServer, opened: WeakSet[PlainConnection]
    ) -> None:
        """Made when a connection is accepted, before the handshake of TLS.

        Args:
            guest: its place among all connections, left when it is closed.
            others: takes over what is not plain.
            opened: all connections of this kind; this one enters, and leaves when it is closed or taken over.
        """
        self.busy = False
        self._traffic = traffic
        self._guest = guest
        self._others = others
        self._opened = opened
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._task: asyncio.Task[None] | None = None
        self._kept = False
        self._ending = False
        self._full = False
        self._waiting = b""
        self._rest = memoryview(b"")
        self._last = False
        opened.add(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the first request, not for ever."""
        self._guest.served_by(self)
        self._transport = cast("asyncio.Transport", transport)
        # Plain TCP has it so; TLS would wait for half a megabyte before it said that nobody reads.
        self._transport.set_write_buffer_limits(PIECE_BYTES)
        self._deadline = self._loop.time() + self._traffic.services.settings.header_timeout
        self._timer = self._loop.call_at(self._deadline, self._time_out)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody waits for an answer any more; a handler at work ends by itself."""
        self._rest = memoryview(b"")
        self._traffic.unread.forget(self._guest)
        self._guest.leave()
        self._leave()

    def data_received(self, data: bytes) -> None:
        """Answer what has arrived, or let it wait."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if self.busy or self._full or self._rest:
            transport.pause_reading()
            self._waiting += data
        else:
            self._take(transport, data)

    def eof_received(self) -> bool:
        """The client has sent all it will ever send: answer what it asked, then close.

        TLS knows no such state; there the connection is closed at once.
        """
        self._ending = self._last = True
        answering = self.busy or bool(self._rest)
        return answering and self._transport is not None and not self._transport.get_extra_info("sslcontext")

    def pause_writing(self) -> None:
        """The client does not read its answers: take no further request until it does."""
        self._full = True

    def resume_writing(self) -> None:
        """It does."""
        self._full = False
        if self._rest:
            self._hand_on()
        else:
            self._go_on()

    def close(self) -> None:
        """Send what has been answered, then close."""
        self._last = True
        if self._transport is not None and not self._rest:
            self._transport.close()

    def abort(self) -> None:
        """Give up what is being answered, and close."""
        if self._task is not None:
            self._task.cancel()
        if self._transport is not None:
            self._transport.abort()

    def _take(self, transport: asyncio.Transport, data: bytes) -> None:
        request = read_plain(data)
        if request is None:
            self._leave()
            self._others.take_over(transport, self._guest, data, self._deadline)
            return
        started = time.perf_counter()
        services = self._traffic.services
        request_id = self._traffic.new_request_id()
        prefixes, guarded = services.settings.gun_prefixes, services.access.guarded
        found = resolve("GET", request.target, prefixes, guarded=guarded)
        if isinstance(found, Outcome):
            if found.operation is not None:
                client = client_address(transport, request.fields, services.settings.proxies)
                name_refused(services.audit, found.operation, request.target, client, request_id)
            self._send(request, found, request_id, started)
        else:
            self.busy = True
            self._task = self._loop.create_task(self._answer(request, found, request_id, started))

    async def _answer(self, request: PlainRequest, found: Address, request_id: str, started: float) -> None:
        structlog.contextvars.bind_contextvars(**{"http.request.id": request_id})
        try:
            services = self._traffic.services
            client = client_address(self._transport, request.fields, services.settings.proxies)
            subject = client_subject(self._transport)
            outcome = await answer(services, found, request.fields, client, subject, _no_body, request_id)
        finally:
            self.busy = False
        self._send(request, outcome, request_id, started)
        self._go_on()

    def _send(self, request: PlainRequest, outcome: Outcome, request_id: str, started: float) -> None:
        transport = self._transport
        seconds = time.perf_counter() - started
        services = self._traffic.services
        record(services, outcome, "GET", request.target, request.fields, transport, seconds)
        if transport is None:
            return
        self._last = request.last or outcome.answer.close or self._ending or self._traffic.stopping
        answered = serialize(outcome.answer, request_id, last=self._last)
        if len(answered) > PIECE_BYTES:
            self._rest = memoryview(answered)
            self._hand_on()
        else:
            transport.write(answered)
            self._sent(transport)

    def _hand_on(self) -> None:
        """Hand on as much of a large answer as the client takes, and count what is left."""
        transport, unread = self._transport, self._traffic.unread
        while self._rest and not self._full and transport is not None and not transport.is_closing():
            piece, self._rest = self._rest[:PIECE_BYTES], self._rest[PIECE_BYTES:]
            transport.write(piece)
        if self._rest:
            unread.wait(self._guest, len(self._rest))
        elif transport is not None:
            unread.forget(self._guest)
            self._sent(transport)
            self._go_on()

    def _sent(self, transport: asyncio.Transport) -> None:
        """An answer is on its way, whole."""
        if self._last:
            transport.close()
            return
        self._deadline = self._loop.time() + limits.KEEPALIVE_TIMEOUT
        if not self._kept:
            self._kept = True
            self._timer.cancel()
            self._timer = self._loop.call_at(self._deadline, self._time_out)

    def _go_on(self) -> None:
        """Take what has waited, if anything, now that nothing is in its way any more."""
        transport = self._transport
        hindered = self.busy or self._full or self._rest
        if self._waiting and not hindered and transport and not transport.is_closing():
            data, self._waiting = self._waiting, b""
            transport.resume_reading()
            self._take(transport, data)

    def _time_out(self) -> None:
        """Close the connection if it is idle, else look again later: a timer for each request would cost more."""
        now = self._loop.time()
        if self.busy or self._full or self._rest:
            self._timer = self._loop.call_at(now + limits.KEEPALIVE_TIMEOUT, self._time_out)
        elif now < self._deadline:
            self._timer = self._loop.call_at(self._deadline, self._time_out)
        else:
            self.close()

    def _leave(self) -> None:
        self._timer.cancel()
        self._transport = None
        self._opened.discard(self)


async def _no_body() -> bytes:
    return b""
