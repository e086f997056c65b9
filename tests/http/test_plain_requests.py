"""Plain requests are answered by a path of their own, with the very bytes that the general path gives.

An empty line before a request changes nothing about it, but is not plain: that is how these tests choose the path.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from notary_server.http.plain_request import MAX_PLAIN_BYTES, read_plain
from tests.publisher import Publisher

from .running import Running, read_all

GENERAL = b"\r\n"
LAST = b"GET /v2/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
GO = ("Host: localhost:4443", "User-Agent: Go-http-client/1.1", "Accept-Encoding: gzip")
VARYING = re.compile(
    rb"(?<=X-Request-ID: )[a-z2-7]{16}(?=\r\n)|(?<=\nDate: )[A-Z][a-z]{2}, [0-9A-Za-z: ]{21}GMT(?=\r\n)"
)


def head(target: str, *fields: str) -> bytes:
    """A GET as Go's client spells it."""
    return "\r\n".join((f"GET {target} HTTP/1.1", *GO, *fields, "", "")).encode()


@pytest.fixture(scope="module")
def stocked() -> Iterator[Running]:
    """A server with the repository `g`."""
    with Running() as running:
        owner = Publisher("g").learn(running.client)
        assert running.client.publish("g", owner.first()).status == 200
        yield running


def conversation(server: Running, request: bytes) -> tuple[bytes, bytes]:
    """What answers `request`, and what then answers a last one on the same connection."""
    with server.connect() as connection:
        connection.sendall(request)
        received = b""
        while not (whole := re.match(rb"HTTP.*?\r\n\r\n", received, re.DOTALL)):
            chunk = connection.recv(65536)
            if not chunk:
                return received, b""
            received += chunk
        length = re.search(rb"Content-Length: (\d+)\r\n", whole[0])
        assert length is not None
        while len(received) < whole.end() + int(length[1]):
            received += connection.recv(65536)
        try:
            connection.sendall(LAST)
            rest = read_all(connection)
        except ConnectionError:
            rest = b""
    return VARYING.sub(b"*", received), VARYING.sub(b"*", rest)


def both_ways(server: Running, request: bytes) -> tuple[bytes, bytes]:
    """The same conversation on either path, which must be the same to the byte."""
    plain, general = conversation(server, request), conversation(server, GENERAL + request)
    assert plain == general
    return plain


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("/v2/", 200),
        ("//v2/", 200),
        ("/v2/g/_trust/tuf/root.json", 200),
        ("/v2/g/_trust/tuf/timestamp.json", 200),
        ("/v2/g/_trust/tuf/1.root.json", 200),
        ("/v2/g/_trust/tuf/timestamp.key", 200),
        ("/v2/g/_trust/changefeed?records=10", 200),
        ("/v2/_trust/changefeed?records=1", 200),
        ("/_notary_server/health", 200),
        ("/v2/a/../g/_trust/tuf/root.json?x=1", 301),
        ("/v2/g/_trust/tuf/9.root.json", 404),
        ("/v2/g/_trust/tuf/root." + "a" * 64 + ".json", 404),
        ("/v2/other/_trust/tuf/root.json", 404),
        ("/v2/" + "a" * 256 + "/_trust/tuf/root.json", 404),
        ("/nowhere", 404),
        ("/v2/g/_trust/changefeed?records=x", 400),
        ("/v2/%zz", 400),
    ],
)
def test_both_paths_give_the_same_answer(stocked: Running, target: str, status: int) -> None:
    """Status line, header, body and what becomes of the connection: over all routes, errors and redirects."""
    for fields in ((), ("Connection: keep-alive",), ("Connection: close",)):
        request = head(target, *fields)
        assert read_plain(request) is not None
        answer, then = both_ways(stocked, request)
        assert answer.startswith(b"HTTP/1.1 %d " % status)
        assert (then == b"") == ("Connection: close" in fields or (status == 400 and "%zz" in target))


TARGETS = st.one_of(
    st.sampled_from(["/v2/", "/v2/g/_trust/tuf/root.json", "/nowhere"]),
    st.text("/v2g._-~%:@!$&'()*+,;=?0aF", max_size=20).map("/".__add__),
    st.text('/v2g.%#"<>[]\\^`{|}é', max_size=8).map("/".__add__),
)
ODD_FIELDS = (
    "Connection: close",
    "connection:close",
    "Connection: Close",
    "Connection: keep-alive, close",
    "Connection: TE",
    "Proxy-Connection: close",
    "Content-Length: 0",
    "Content-Length: x",
    "Transfer-Encoding: nonsense",
    "Content-Encoding: gzip",
    "Host: twice",
    "Host : blank",
    " folded",
    ": nameless",
    "no colon",
    "Sec-WebSocket-Key1: x",
    "Upgrade: h2c",
    "X:",
    "X:  blanks  ",
    "X: tab\t",
    "X: \x7f",
    "X: \x00",
    "X: é",
    "X: bare\rreturn",
    "X: bare\nline",
    "Bad(Name): x",
)
FIELDS = st.lists(
    st.one_of(
        st.sampled_from(ODD_FIELDS),
        st.from_regex(r"[A-Za-z0-9_-]{1,8}: ?[ -~]{0,12}", fullmatch=True).filter(
            lambda field: field[:2].lower() not in {"co", "tr", "ex", "up", "te"}
        ),
    ),
    max_size=4,
)


@given(
    TARGETS,
    FIELDS,
    st.sampled_from(["HTTP/1.1", "HTTP/1.0", "HTTP/1.2", "HTTP/2.0", "http/1.1", "HTTP/1.1 "]),
)
@example("/v2/", [f"X{number}: y" for number in range(99)], "HTTP/1.1")
@example("/v2/", [f"X{number}: y" for number in range(100)], "HTTP/1.1")
@example("/v2/", ["X: " + "y" * MAX_PLAIN_BYTES], "HTTP/1.1")
@example("/v2/" + "a" * 17_000, [], "HTTP/1.1")
def test_no_request_is_read_in_two_ways(
    stocked: Running, target: str, fields: list[str], version: str
) -> None:
    """Whatever a client sends, it makes no difference which path looks at it first."""
    both_ways(stocked, "\r\n".join((f"GET {target} {version}", "Host: x", *fields, "", "")).encode())


@pytest.mark.parametrize("field", ODD_FIELDS)
def test_fields_that_mean_something_to_the_connection_do_so_on_both_paths(
    stocked: Running, field: str
) -> None:
    """Each of them alone, in the most usual request."""
    both_ways(stocked, head("/v2/", field))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        LAST[:-1],
        LAST + b"G",
        LAST * 2,
        b"\r\n" + LAST,
        LAST.replace(b"GET", b"HEAD"),
        LAST.replace(b"Host: x\r\n", b""),
        LAST.replace(b"\r\n\r\n", b"\r\nContent-Length: 1\r\n\r\n"),
        LAST.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n"),
        LAST.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n"),
        LAST.replace(b"close", b"upgrade"),
    ],
)
def test_what_is_not_plain_is_left_alone(data: bytes) -> None:
    """Unfinished headers, several requests, bodies, other methods."""
    assert read_plain(data) is None


def test_plain_requests_are_read_whole() -> None:
    """Names in lower case, values without the blanks around them."""
    request = read_plain(b"GET /v2/?a=%41 HTTP/1.1\r\nHost:x\r\nConnection: close\r\nX-Y:  a: b \r\n\r\n")
    assert request is not None
    assert (request.target, request.last) == ("/v2/?a=%41", True)
    assert request.fields == {"host": "x", "connection": "close", "x-y": "a: b"}


def test_both_paths_count_alike() -> None:
    """Metrics hold two requests of the same size and answer, whichever path answered them."""
    request = head("/v2/g/_trust/tuf/root.json", "Connection: close")
    with Running() as server:
        for data in (request, GENERAL + request):
            assert server.raw(data).status == 404
        lines = server.client.get("/metrics").body.decode().splitlines()
    metrics = dict(line.rsplit(" ", 1) for line in lines if 'GetRole"' in line)
    name = "notary_server_http_request_size_bytes"
    fields = (*GO, "Connection: close")
    size = len("GET/v2/g/_trust/tuf/root.json") + sum(len(field) - 2 for field in fields)
    assert float(metrics[name + '_sum{operation="GetRole"}']) == 2 * size
    assert (
        float(metrics['notary_server_http_requests_total{code="404",method="get",operation="GetRole"}']) == 2
    )
