"""What becomes of a connection on which plain requests arrive: order, back-pressure, half-closing, leaving, stopping."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import structlog

from notary_common.bind import bind
from notary_server.http.call import Settings
from notary_server.ports import StoredFile
from notary_server.tuf.names import RoleName, Sha256Hex

from .running import DEADLINE, RawReply, Running, read_all

PING = b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n"
NOWHERE = b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n"
LAST = b"GET /v2/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
READ = b"GET /v2/g/_trust/tuf/root." + b"a" * 64 + b".json HTTP/1.1\r\nHost: x\r\n\r\n"
LARGE = 1 << 20


class Slow:
    """A store whose reads by checksum wait until a test lets them go on, and then give a large file."""

    def __init__(self, real: Any) -> None:
        self._real = real
        self.entered = threading.Semaphore(0)
        self.proceed = asyncio.Event()
        self.reads = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    async def by_checksum(self, *_: object) -> StoredFile:
        """The file, in time."""
        self.reads += 1
        self.entered.release()
        await self.proceed.wait()
        now = datetime.now(UTC)
        return StoredFile(RoleName("root"), 1, Sha256Hex("a" * 64), b"x" * LARGE, now, now)


class SlowServer(Running):
    """A running server over such a store."""

    def __init__(self) -> None:
        super().__init__(wrap_store=self._slow)

    def _slow(self, real: Any) -> Any:
        self.slow = Slow(real)
        return self.slow

    def wait_for_read(self) -> None:
        """Return when a read has begun."""
        assert self.slow.entered.acquire(timeout=DEADLINE)

    def proceed(self) -> None:
        """Let reads go on."""
        self.loop.call_soon_threadsafe(self.slow.proceed.set)


@pytest.fixture
def slow() -> Iterator[SlowServer]:
    """A server of one's own whose reads wait."""
    with SlowServer() as running:
        yield running


def bodies(data: bytes) -> list[int]:
    """Statuses of the answers that `data` holds, in order."""
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", data)]


def wait_until_refused(server: Running) -> None:
    """Return when the server has stopped listening."""
    # Whoever waits to be accepted at that moment is reset.
    with contextlib.suppress(ConnectionRefusedError, ConnectionResetError):
        while True:
            server.connect().close()


def test_requests_that_arrive_meanwhile_are_answered_in_order(slow: SlowServer) -> None:
    """While a read waits for the store, what else is asked waits its turn: plain or not, one by one or together."""
    with slow.connect() as connection:
        connection.sendall(READ)
        slow.wait_for_read()
        for data in (NOWHERE, PING + NOWHERE, PING[:9], PING[9:], LAST):
            connection.sendall(data)
            assert slow.client.get("/v2/").status == 200  # by now it has arrived
        slow.proceed()
        assert bodies(read_all(connection)) == [200, 404, 200, 404, 200, 200]


def test_a_client_that_does_not_read_is_not_answered_for_ever(slow: SlowServer) -> None:
    """Requests behind answers that nobody takes are left unread; once they are taken all is answered."""
    slow.slow.proceed.set()
    asked = 40
    with slow.connect() as connection:
        for _ in range(asked):
            connection.sendall(READ)
            assert slow.client.get("/v2/").status == 200
        held = slow.slow.reads
        assert held < asked / 2
        connection.sendall(LAST)
        assert bodies(read_all(connection)) == [200] * (asked + 1)
    assert slow.slow.reads == asked


def test_a_client_that_keeps_sending_is_not_listened_to_for_ever(slow: SlowServer) -> None:
    """While it waits for an answer, what it sends stays in the network, not in the server's memory."""
    with slow.connect() as connection:
        connection.sendall(READ)
        slow.wait_for_read()
        connection.settimeout(0.5)
        sent = 0
        with contextlib.suppress(TimeoutError):
            while sent < 64 * LARGE:
                sent += connection.send(PING * 1000)
        assert sent < 64 * LARGE
    slow.proceed()
    assert slow.client.get("/v2/").status == 200


def test_a_client_may_half_close_behind_a_read(slow: SlowServer) -> None:
    """It still gets its answer, which says that it is the last."""
    with slow.connect() as connection:
        connection.sendall(READ)
        slow.wait_for_read()
        connection.shutdown(socket.SHUT_WR)
        assert slow.client.get("/v2/").status == 200
        slow.proceed()
        reply = RawReply(read_all(connection))
        assert (reply.status, len(reply.body), reply.fields["connection"]) == (200, LARGE, "close")


def test_a_client_that_leaves_behind_a_read_harms_nobody(slow: SlowServer) -> None:
    """The read ends by itself, its answer goes nowhere, others are answered."""
    with slow.connect() as connection:
        connection.sendall(READ)
        slow.wait_for_read()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    slow.proceed()
    assert slow.client.get("/v2/").status == 200


def test_stopping_answers_reads_and_takes_last_requests(slow: SlowServer) -> None:
    """A running read is answered, so is who has connected but not asked yet; idle connections are closed."""
    with slow.connect() as idle, slow.connect() as new, slow.connect() as busy:
        idle.sendall(PING)
        assert RawReply(idle.recv(65536)).status == 200
        busy.sendall(READ)
        slow.wait_for_read()
        stopping = threading.Thread(target=slow.stop, args=(DEADLINE,))
        stopping.start()
        wait_until_refused(slow)
        new.sendall(PING)
        assert RawReply(read_all(new)).fields["connection"] == "close"
        assert idle.recv(65536) == b""
        slow.proceed()
        reply = RawReply(read_all(busy))
        assert (reply.status, len(reply.body), reply.fields["connection"]) == (200, LARGE, "close")
        stopping.join()


def test_stopping_does_not_wait_for_ever(slow: SlowServer) -> None:
    """A read that does not end is given up in time."""
    with slow.connect() as connection:
        connection.sendall(READ)
        slow.wait_for_read()
        slow.stop(0.1)
        assert read_all(connection) == b""


def test_a_connection_without_any_request_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who connects and says nothing is not waited for."""
    with Running(Settings(header_timeout=0.1)) as server, server.connect() as connection:
        assert read_all(connection) == b""


def test_a_connection_that_falls_silent_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each answer prolongs its life; a request under way holds the clock."""
    monkeypatch.setattr("notary_server.http.limits.KEEPALIVE_TIMEOUT", 0.1)
    with SlowServer() as server, server.connect() as connection:
        for _ in range(3):
            connection.sendall(PING)
            assert RawReply(connection.recv(65536)).status == 200
        connection.sendall(READ)
        server.wait_for_read()
        with server.connect() as other:
            other.sendall(PING)
            assert RawReply(read_all(other)).status == 200  # closed: a whole timeout has passed
        server.proceed()
        assert len(read_all(connection)) > LARGE


def test_log_lines_carry_the_request_id(
    slow: SlowServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The line of a request and what goes wrong in it name the ID that its client was given."""
    events: list[dict[str, Any]] = []

    def keep(_logger: object, _method: str, event: Any) -> Any:
        events.append(dict(event))
        raise structlog.DropEvent

    async def broken(*_: object) -> None:
        raise ZeroDivisionError

    caplog.set_level(logging.INFO, "notary")
    monkeypatch.setattr(slow.slow, "by_checksum", broken)
    before = structlog.get_config()
    structlog.configure(processors=[structlog.contextvars.merge_contextvars, keep])
    try:
        for request in (READ, b"\r\n" + READ):
            events.clear()
            with slow.connect() as connection:
                connection.sendall(request)
                reply = RawReply(connection.recv(65536))
            assert reply.status == 500
            assert [event["http.request.id"] for event in events] == [reply.fields["x-request-id"]] * 2
            assert [event["event"] for event in events][1] == "response completed"
            line = {key: value for key, value in events[1].items() if key.startswith("http.re")}
            assert line.pop("http.request.remoteaddr").startswith("127.0.0.1:")
            assert line.pop("http.response.duration").endswith("ms")
            del line["http.request.id"]
            assert line == {
                "http.request.method": "GET",
                "http.request.uri": READ.split()[1].decode(),
                "http.request.host": "x",
                "http.request.useragent": "",
                "http.response.status": 500,
                "http.response.written": len(reply.body),
                "http.response.contenttype": "application/json; charset=utf-8",
            }
    finally:
        structlog.configure(**before)


def test_all_interfaces_are_one_port() -> None:
    """An empty host means IPv4 and IPv6, each with a socket, on the same port."""
    listeners = bind("", 0)
    try:
        assert len({listener.getsockname()[1] for listener in listeners}) == 1
        assert {listener.family for listener in listeners} >= {socket.AF_INET}
        assert not any(listener.getblocking() for listener in listeners)
    finally:
        for listener in listeners:
            listener.close()


def test_a_taken_port_is_an_error_and_leaves_no_socket_open() -> None:
    """Nothing is left behind that would warn of a lost resource."""
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        bind("127.0.0.1", taken.getsockname()[1])
