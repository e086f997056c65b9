"""Requests: their targets, plain ones read in one go, and whole ones sent to a running server."""

from __future__ import annotations

import re
import socket
from functools import cache
from urllib.parse import quote

from hypothesis import strategies as st

from notary_server.http.dispatch import Address, resolve
from notary_server.http.plain_request import read_plain
from notary_server.http.target import BadTarget, decode_target
from notary_server.tuf.names import gun_problem
from tests.http.running import DEADLINE, Running, read_all

from .bending import AWKWARD, bent
from .uploads import FORM, TYPE

TARGETS = (
    b"/v2/",
    b"/v2/registry.example/team/app/_trust/tuf/",
    b"/v2/a/b/_trust/tuf/targets/releases.json",
    b"/v2/a/_trust/tuf/b/_trust/tuf/root." + b"0" * 64 + b".json",
    b"/v2/a%2fb/_trust/tuf/3.snapshot.json",
    b"/v2/_trust/changefeed?records=10&change_id=0",
    b"http://host/v2/a/_trust/tuf/timestamp.key?x#y",
)
PIECES = (
    *AWKWARD,
    b"/",
    b"//",
    b"/./",
    b"%2F",
    b"%5c",
    b"%c0%ae",
    b"%e2%80%ae",
    b"_trust/tuf/",
    b"/_trust",
    b".json",
    b"?",
)
GET = b"GET /v2/a/_trust/tuf/root.json HTTP/1.1\r\nHost: x\r\nUser-Agent: Go-http-client/1.1\r\nAccept-Encoding: gzip\r\n\r\n"
POST = (
    f"POST /v2/fuzz/_trust/tuf/ HTTP/1.1\r\nHost: x\r\nContent-Type: {TYPE}\r\nContent-Length: {len(FORM)}\r\n\r\n"
).encode() + FORM
CHUNKED = (
    (
        f"POST /v2/fuzz/_trust/tuf/ HTTP/1.1\r\nHost: x\r\nContent-Type: {TYPE}\r\nTransfer-Encoding: chunked\r\n\r\n"
        f"{len(FORM):x}\r\n"
    ).encode()
    + FORM
    + b"\r\n0\r\n\r\n"
)
LINES = (*PIECES, b"\r\n", b"Transfer-Encoding: chunked\r\n", b"Content-Length: 5\r\n", b"Content-Length: -1\r\n", b"HTTP/1.0",
         b"Expect: 100-continue\r\n", b"Upgrade: websocket\r\nConnection: upgrade\r\n", b"X: " + b"y" * 9000, b"PATCH ", b"0\r\n\r\n")  # fmt: skip
EXPECTED = frozenset({200, 301, 400, 404, 405, 413})
_STATUS = re.compile(rb"^HTTP/(?:1\.[01]|0\.9) (\d{3}) ")


def targets(data: st.DataObject) -> bool:
    """A bent target is answered at once or names a repository that may be; spelled plainly it is the same one."""
    raw = bent(data, data.draw(st.sampled_from(TARGETS)), PIECES).decode("utf-8", "surrogateescape")
    try:
        decoded = decode_target(raw)
    except BadTarget:
        decoded = None
    for method in ("GET", "POST", "DELETE"):
        found = resolve(method, raw, (), guarded=False)
        if not isinstance(found, Address):
            assert found.answer.status in EXPECTED
            continue
        assert decoded is not None
        if found.gun:
            assert gun_problem(found.gun) is None
            assert found.wanted is not None
            assert found.wanted.gun == found.gun
            again = resolve(
                method, quote(decoded.clean_path.encode("utf-8", "surrogateescape")), (), guarded=False
            )
            assert isinstance(again, Address)
            assert (again.gun, again.role, again.selector) == (found.gun, found.role, found.selector)
    return decoded is not None


def plain(data: st.DataObject) -> bool:
    """What is read in one go is one whole request without any second meaning."""
    raw = bent(data, GET, LINES)
    found = read_plain(raw)
    if found is None:
        return False
    assert raw.startswith(b"GET " + found.target.encode() + b" HTTP/1.1\r\n")
    assert raw.count(b"\r\n\r\n") == 1
    assert raw.endswith(b"\r\n\r\n")
    assert len(found.fields) == raw.count(b"\r\n") - 2
    assert not {"content-length", "transfer-encoding", "expect", "upgrade"} & found.fields.keys()
    return True


@cache
def _server() -> Running:
    running = Running()
    running.__enter__()
    return running


def whole(data: st.DataObject) -> bool:
    """A running server answers anything with a status that means something, or closes; it never fails."""
    raw = bent(data, data.draw(st.sampled_from((GET, POST, CHUNKED))), LINES)
    with socket.create_connection(("127.0.0.1", _server().port), DEADLINE) as connection:
        try:
            connection.sendall(raw)
            connection.shutdown(socket.SHUT_WR)
            answer = read_all(connection)
        except ConnectionError:
            return False
    if not answer:
        return False
    status = _STATUS.match(answer)
    assert status is not None, answer[:200]
    assert int(status[1]) in EXPECTED | {100, 408, 415, 417, 431}, answer[:400]
    return int(status[1]) in {200, 404}
