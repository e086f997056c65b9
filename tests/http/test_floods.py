"""Slow senders and floods on the loopback interface, bounded in number: whoever behaves is served meanwhile.

The flood comes from 127.0.0.2, or from many addresses; those who behave come from 127.0.0.1. What counts is that they
are served, not how fast.
"""

from __future__ import annotations

import contextlib
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from notary_common import accept
from notary_common.tls import client_context, server_context
from notary_server.http import body
from notary_server.http.call import Settings
from tests.publisher import Client, Publisher
from tests.support.pki import LOCAL_NAMES, local_pki

from .running import DEADLINE, RawReply, Running, read_all

FLOOD = 300
"""Connections of a flood: far more than the servers here allow."""
FEW = Settings(max_connections=64, max_client_connections=32)
HEAD = b"POST /v2/flood/_trust/tuf/ HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=BB\r\n"


def connect(server: Running, address: str = "127.0.0.2") -> socket.socket:
    """A bare connection from that address."""
    return socket.create_connection(("127.0.0.1", server.port), DEADLINE, (address, 0))


@contextlib.contextmanager
def flood(server: Running, say: bytes, addresses: Sequence[str] = ("127.0.0.2",)) -> Iterator[None]:
    """Connections that say this much and no more, from these addresses in turn, open until the end."""
    with contextlib.ExitStack() as opened:
        for number in range(FLOOD):
            one = opened.enter_context(connect(server, addresses[number % len(addresses)]))
            # The server may have closed it already for the benefit of a later one.
            with contextlib.suppress(ConnectionError):
                one.sendall(say)
        yield


def behave(client: Client, gun: str) -> None:
    """Publish a new repository and read it again; all of it must succeed."""
    owner = Publisher(gun).learn(client)
    reply = client.publish(gun, owner.first())
    assert reply.status == 200, str(reply)
    for name in ("root.json", "targets.json", "snapshot.json", "timestamp.json"):
        assert client.role(gun, name).status == 200
    assert client.get("/v2/").status == 200


def until(condition: Callable[[], bool]) -> None:
    """Return when it holds."""
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.02)


@pytest.mark.parametrize(
    "say",
    [b"", b"GET /v2/ HTTP/1.1\r\nHost: ", HEAD + b"Content-Length: 100000\r\n\r\n--BB"],
    ids=["idle", "half a header", "half a body"],
)
def test_a_client_with_hundreds_of_connections_shuts_nobody_out(say: bytes) -> None:
    """It keeps no more than its share, whether they say nothing or never end."""
    with Running(FEW) as server, flood(server, say):
        behave(server.client, "flood/behaves")
        assert len(server.server.guests) <= FEW.max_client_connections + 1


@pytest.mark.parametrize("say", [b"", b"GET /v2/ HTTP/1.1\r\nHost: "], ids=["idle", "half a header"])
def test_hundreds_of_connections_from_many_addresses_shut_nobody_out(say: bytes) -> None:
    """There are never more than allowed; who waits makes room for who comes."""
    addresses = [f"127.0.1.{number}" for number in range(1, 101)]
    with Running(FEW) as server, flood(server, say, addresses):
        behave(server.client, "flood/behaves")
        assert len(server.server.guests) <= FEW.max_connections


def test_connections_that_are_closed_are_forgotten() -> None:
    """After the flood nothing is left of it."""
    with Running(FEW) as server:
        with flood(server, b"GET /v2/ HTTP/1.1\r\nHost: "):
            pass
        behave(server.client, "flood/behaves")
        until(lambda: len(server.server.guests) == 0)


@pytest.mark.parametrize("say", [b"", b"\x16\x03\x01\x02\x00\x01", b"GET / HTTP/1.1\r\n\r\n"])
def test_handshakes_that_never_end_shut_nobody_out(tmp_path: Path, say: bytes) -> None:
    """Nothing, the beginning of a ClientHello, no TLS at all: each takes a place for a while, and no more than that."""
    authority = local_pki(tmp_path)
    pair = authority.issue("server", LOCAL_NAMES)
    context = server_context(pair.certificate, pair.key)
    with Running(FEW, tls=lambda: context) as server:
        client = Client(f"https://localhost:{server.port}", str(authority.files.certificate))
        with flood(server, say):
            behave(client, "flood/behaves")
            assert len(server.server.guests) <= FEW.max_client_connections + 1
        until(lambda: len(server.server.guests) == 0)


def test_a_body_that_drips_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever sends a byte now and then is told so and cut off, long before the time for a request is over."""
    monkeypatch.setattr(body, "PACE_SECONDS", 0.3)
    with Running(Settings(min_upload_rate=1000, request_timeout=600)) as server:
        dripping = threading.Event()

        def drip() -> RawReply:
            with connect(server) as one:
                one.sendall(HEAD + b"Connection: close\r\nContent-Length: 1000000\r\n\r\n")
                with contextlib.suppress(ConnectionError):
                    while not dripping.wait(0.01):
                        one.sendall(b"x")
                        one.settimeout(0.001)
                        with contextlib.suppress(TimeoutError):
                            return RawReply(one.recv(65536))
                        one.settimeout(DEADLINE)
                return RawReply(b"")

        with ThreadPoolExecutor(20) as pool:
            drips = [pool.submit(drip) for _ in range(20)]
            behave(server.client, "flood/behaves")
            assert [one.result(DEADLINE).status for one in drips] == [408] * 20
            dripping.set()


def test_a_body_in_time_is_taken_however_long_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow network that brings enough in each stretch of time is none the worse."""
    monkeypatch.setattr(body, "PACE_SECONDS", 2.0)
    with Running(Settings(min_upload_rate=50)) as server, connect(server) as one:
        one.sendall(HEAD + b"Connection: close\r\nContent-Length: 1200\r\n\r\n")
        for _ in range(12):
            one.sendall(b"x" * 100)
            time.sleep(0.2)
        assert RawReply(read_all(one)).status == 400


def test_many_large_uploads_leave_memory_and_others_alone() -> None:
    """Eight of 50 MB at the same time: what does not fit into memory is refused, others publish meanwhile."""
    bound, size, chunk = 64 << 20, 50 << 20, b"x" * (1 << 20)
    with Running(Settings(max_buffered_bytes=bound)) as server:
        bodies = server.server.bodies
        most = [0]
        done = threading.Event()

        def watch() -> None:
            while not done.wait(0.005):
                most[0] = max(most[0], bodies.held)

        def upload() -> RawReply:
            with connect(server) as one:
                one.sendall(HEAD + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % size)
                for _ in range(size // len(chunk)):
                    one.sendall(chunk)
                return RawReply(read_all(one))

        with ThreadPoolExecutor(9) as pool:
            watching = pool.submit(watch)
            uploads = [pool.submit(upload) for _ in range(8)]
            behave(server.client, "flood/behaves")
            replies = [one.result(60) for one in uploads]
            done.set()
            watching.result(DEADLINE)
        assert {reply.status for reply in replies} <= {400, 503}
        refused = [reply for reply in replies if reply.status == 503]
        assert refused
        assert all(reply.fields["retry-after"] for reply in refused)
        assert 0 < most[0] <= bound // 2
        assert bodies.held == 0


def test_a_header_without_end_is_cut_off() -> None:
    """Many fields, each within its bound: together they are not."""
    with Running() as server, connect(server) as one:
        one.sendall(b"GET /v2/ HTTP/1.1\r\nHost: x\r\n")
        with contextlib.suppress(ConnectionError):
            for number in range(90):
                one.sendall(b"X-%d: " % number + b"y" * 60_000 + b"\r\n")
            assert read_all(one) == b""
        behave(server.client, "flood/behaves")


def test_a_client_that_never_reads_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it asked for is not kept for ever."""
    monkeypatch.setattr(accept, "STALL_SECONDS", 0.5)
    with Running() as server:
        owner = Publisher("flood/large").learn(server.client)
        entry = {"hashes": {"sha256": "A" * 43 + "="}, "length": 1}
        targets = owner.targets(targets={f"tag-{number:06}": entry for number in range(60_000)})
        files = {"root": owner.root(), "targets": targets}
        assert server.client.publish("flood/large", files).status == 200
        with contextlib.ExitStack() as opened:
            for _ in range(5):
                one = opened.enter_context(socket.socket())
                one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                one.bind(("127.0.0.2", 0))
                one.connect(("127.0.0.1", server.port))
                one.sendall(b"GET /v2/flood/large/_trust/tuf/targets.json HTTP/1.1\r\nHost: x\r\n\r\n")
            behave(server.client, "flood/behaves")
            until(lambda: len(server.server.guests) == 0)


def large(server: Running, client: Client) -> bytes:
    """Publish a repository whose targets have some megabytes; the request for them."""
    owner = Publisher("flood/large").learn(client)
    entry = {"hashes": {"sha256": "A" * 43 + "="}, "length": 1}
    targets = owner.targets(targets={f"tag-{number:06}": entry for number in range(40_000)})
    assert client.publish("flood/large", {"root": owner.root(), "targets": targets}).status == 200
    return b"GET /v2/flood/large/_trust/tuf/targets.json HTTP/1.1\r\nHost: x\r\n"


@pytest.mark.parametrize(
    ("encrypted", "field"),
    [(False, b""), (True, b""), (True, b"TE: x\r\n")],
    ids=["TCP", "TLS", "TLS, a request that is not plain"],
)
def test_answers_that_are_not_read_fill_no_memory(tmp_path: Path, encrypted: bool, field: bytes) -> None:
    """Whoever has read nothing for longest is closed when too much waits; others get theirs whole, one after the other."""
    authority = local_pki(tmp_path)
    pair = authority.issue("server", LOCAL_NAMES)
    context, trusting = (
        server_context(pair.certificate, pair.key),
        client_context(authority.files.certificate, None, None),
    )
    few = Settings(max_unread_bytes=6 << 20)
    with Running(few, tls=(lambda: context) if encrypted else None) as server:
        scheme = "https" if encrypted else "http"
        client = Client(f"{scheme}://localhost:{server.port}", str(authority.files.certificate))
        ask = large(server, client) + field

        def opened() -> socket.socket:
            one = socket.socket()
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            one.settimeout(DEADLINE)
            one.bind(("127.0.0.2", 0))
            one.connect(("127.0.0.1", server.port))
            return trusting.wrap_socket(one, server_hostname="localhost") if encrypted else one

        with contextlib.ExitStack() as waiting:
            for _ in range(8):
                waiting.enter_context(opened()).sendall(ask + b"\r\n")
            until(lambda: server.server.unread.held > 0)
            behave(client, "flood/behaves")
            until(lambda: len(server.server.guests) < 8)
            assert server.server.unread.held <= few.max_unread_bytes
            with connect(server, "127.0.0.3") as plain:
                reader = trusting.wrap_socket(plain, server_hostname="localhost") if encrypted else plain
                reader.sendall((ask + b"\r\n") * 2 + ask + b"Connection: close\r\n\r\n")
                answers = read_all(reader)
        assert answers.count(b"HTTP/1.1 200 OK") == 3
        (length,) = set(re.findall(rb"Content-Length: (\d+)", answers))
        bodies = [rest.partition(b"\r\n\r\n")[2] for rest in answers.split(b"HTTP/1.1 200 OK")[1:]]
        assert {len(one) for one in bodies} == {int(length)}
        assert len(set(bodies)) == 1
        until(lambda: server.server.unread.held == 0)
