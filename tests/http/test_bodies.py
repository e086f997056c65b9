"""Bodies of uploads: every way to end early, to be too large or too slow, and what the client gets to read."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket

import pytest

from notary_server.http.body import DRAINED_BYTES
from notary_server.http.call import Settings

from .running import RawReply, Running, read_all

PART = b'--BB\r\nContent-Disposition: form-data; name="files"; filename="root"\r\n\r\n{"signatures":[]}\r\n'
END = b"--BB--\r\n"
FORM = "Content-Type: multipart/form-data; boundary=BB"
TARGET = "/v2/g/_trust/tuf/"


def code(reply: RawReply) -> str:
    """The error code of an answer."""
    (error,) = json.loads(reply.body)["errors"]
    return str(error["code"])


def test_a_form_is_understood_up_to_its_metadata(server: Running) -> None:
    """A well-formed form gets as far as validation: the cases below differ from it in one thing each."""
    assert code(server.ask("POST", TARGET, FORM, body=PART + END)) == "INVALID_UPDATE"


@pytest.mark.parametrize("cut", range(0, len(PART + END) - 4, 7))
def test_a_form_that_ends_early_is_refused(server: Running, cut: int) -> None:
    """Wherever the multipart structure is cut off: 400, never silence (the old server crashed).

    Inside a file it is the file that cannot be read.
    """
    reply = server.ask("POST", TARGET, FORM, body=(PART + END)[:cut])
    if not cut:
        reply = server.ask("POST", TARGET, FORM, "Content-Length: 0")
    in_file = PART.index(b"{") <= cut <= PART.index(b"}")
    assert (reply.status, code(reply)) == (400, "MALFORMED_JSON" if in_file else "MALFORMED_UPLOAD")


@pytest.mark.parametrize(
    "fields", [(), ("Content-Type: text/plain",), ("Content-Type: multipart/form-data",)]
)
def test_other_bodies_are_malformed(server: Running, fields: tuple[str, ...]) -> None:
    """No type, another type, no boundary."""
    reply = server.ask("POST", TARGET, *fields, body=PART + END)
    assert (reply.status, code(reply)) == (400, "MALFORMED_UPLOAD")


def test_chunked_bodies_are_read(server: Running) -> None:
    """A body in chunks, extensions and trailers included, is the same body."""
    chunks = b"".join(b"%x;x=y\r\n%b\r\n" % (len(piece), piece) for piece in (PART[:20], PART[20:], END))
    head = f"POST {TARGET} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{FORM}\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert code(server.raw(head.encode() + chunks + b"0\r\n\r\n")) == "INVALID_UPDATE"
    assert server.raw(head.encode() + b"zz\r\nxx\r\n0\r\n\r\n").status == 400


def test_expect_continue_is_answered_before_the_body_is_sent(server: Running) -> None:
    """A client that waits for 100 Continue gets it, then the answer."""
    body = PART + END
    head = f"POST {TARGET} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{FORM}\r\nExpect: 100-continue\r\n"
    with server.connect() as connection:
        connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode())
        assert connection.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert code(RawReply(read_all(connection))) == "INVALID_UPDATE"


def test_a_client_that_stops_sending_inside_its_body_gets_an_answer(server: Running) -> None:
    """Half-closed before the announced length: 400, and the server is none the worse."""
    with server.connect() as connection:
        connection.sendall(
            f"POST {TARGET} HTTP/1.1\r\nHost: x\r\n{FORM}\r\nContent-Length: 999\r\n\r\n".encode() + PART
        )
        connection.settimeout(10)
        server.client.get("/v2/")  # by now the server has begun with the upload
        connection.shutdown(socket.SHUT_WR)
        assert code(RawReply(read_all(connection))) == "MALFORMED_UPLOAD"
    assert server.client.get("/v2/").status == 200


def test_a_client_that_leaves_inside_its_body_harms_nobody(server: Running) -> None:
    """A connection that breaks off mid-upload is cleaned up; others are answered."""
    with server.connect() as connection:
        connection.sendall(
            f"POST {TARGET} HTTP/1.1\r\nHost: x\r\n{FORM}\r\nContent-Length: 999\r\n\r\n".encode() + PART
        )
    assert server.client.get("/v2/").status == 200


def test_a_request_after_which_nothing_is_sent_is_answered(server: Running) -> None:
    """A client may half-close as soon as it has asked."""
    with server.connect() as connection:
        connection.sendall(b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n")
        connection.shutdown(socket.SHUT_WR)
        assert RawReply(read_all(connection)).body == b"{}"


def test_a_body_over_the_limit_is_refused_in_words_that_clients_show() -> None:
    """Slightly too large, by length or in chunks: read to its end, then 400 with a text for people."""
    with Running(Settings(max_upload_bytes=1000)) as server:
        large = b"x" * 5000
        chunked = f"POST {TARGET} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{FORM}\r\nTransfer-Encoding: chunked\r\n\r\n"
        for reply in (
            server.ask("POST", TARGET, FORM, body=large),
            server.raw(chunked.encode() + b"1388\r\n" + large + b"\r\n0\r\n\r\n"),
        ):
            assert (reply.status, code(reply)) == (400, "MALFORMED_UPLOAD")
            assert "1000 bytes" in json.loads(reply.body)["errors"][0]["detail"]["Error"]["Msg"]
            assert len(reply.body) <= 1024


def test_a_body_far_over_the_limit_is_not_even_read() -> None:
    """An announced length beyond all reason is refused at once and the connection closes."""
    with Running(Settings(max_upload_bytes=1000)) as server:
        reply = server.ask("POST", TARGET, FORM, f"Content-Length: {DRAINED_BYTES + 1001}")
        assert (reply.status, code(reply), reply.fields["connection"]) == (413, "MALFORMED_UPLOAD", "close")


def test_too_many_files_are_refused() -> None:
    """The number of parts is bounded."""
    with Running(Settings(max_parts=4)) as server:
        reply = server.ask("POST", TARGET, FORM, body=PART * 5 + END)
        assert (reply.status, code(reply)) == (400, "MALFORMED_UPLOAD")
        assert code(server.ask("POST", TARGET, FORM, body=PART * 4 + END)) == "INVALID_UPDATE"


def test_a_body_that_does_not_arrive_in_time_is_given_up() -> None:
    """A client that sends nothing more is told so after the configured time and the connection closes."""
    with Running(Settings(request_timeout=0.2)) as server:
        reply = server.ask("POST", TARGET, FORM, "Content-Length: 100")
        assert (reply.status, code(reply), reply.fields["connection"]) == (408, "MALFORMED_UPLOAD", "close")


def test_connections_are_kept_alive(server: Running) -> None:
    """Two requests on one connection get two answers."""
    with server.connect() as connection:
        connection.sendall(
            b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\nGET /v2/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )
        assert read_all(connection).count(b"HTTP/1.1 200 OK") == 2


def test_a_connection_on_which_nothing_is_asked_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that never finishes its first request's header is not waited for."""
    with Running(Settings(header_timeout=0.1)) as server, server.connect() as connection:
        connection.sendall(b"GET /v2/ HTTP/1.1\r\nHost: ")
        assert read_all(connection) == b""


def test_an_idle_connection_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that was used before is not kept for ever either, whatever has arrived of a next request."""
    monkeypatch.setattr("notary_server.http.limits.KEEPALIVE_TIMEOUT", 0.1)
    with Running() as server, server.connect() as connection:
        connection.sendall(b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n")
        assert RawReply(connection.recv(65536)).status == 200
        connection.sendall(b"GET /v2/ HTTP/1.1\r\n")
        assert read_all(connection) == b""


def test_a_body_that_arrives_in_pieces_is_no_header_without_end(server: Running) -> None:
    """On a kept connection, as of a proxy, many pieces of the second upload come before anybody begins to answer it."""
    body = b"x" * (2 << 20)
    head = f"POST {TARGET} HTTP/1.1\r\nHost: x\r\n{FORM}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with server.connect() as client:
        client.sendall(head + body)
        assert read_answer(client) == 400

        async def arrive() -> None:
            (connection,) = (one for one in server.server._aiohttp.connections if one.transport is not None)
            # aiohttp does not tell that it waits.
            while connection._waiter is None:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            for piece in (head, *(body[start : start + 65536] for start in range(0, len(body), 65536))):
                connection.data_received(piece)

        server.call(arrive())
        assert read_answer(client) == 400


def read_answer(client: socket.socket) -> int:
    """The status of the next answer, which is read whole."""
    answer = http.client.HTTPResponse(client)
    answer.begin()
    answer.read()
    return answer.status
