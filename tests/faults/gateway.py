"""A gateway between server and signer that can hold one chosen call, before the signer sees it or after it answered.

It ends mutual TLS on both sides with the test authority's certificates, so neither daemon knows that it is there.
"""

from __future__ import annotations

import http.client
import json
import ssl
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, cast

from deploy.local.pki import Pair
from tests.support.stack import Stack

When = Literal["before", "after"]
PATIENCE = 30.0
"""Seconds after which a call that nobody lets go of goes on by itself."""


@dataclass
class Hold:
    """One call that is to be stopped.

    Attributes:
        call: `describe`, `snapshot` or `timestamp`: the describe call, or the signing of that role.
        when: before the signer gets it, or when it has answered.
        lost: whether the signer's answer is thrown away, as it is when the signer dies with it.
    """

    call: str
    when: When
    lost: bool = False
    reached: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)

    def wait(self) -> None:
        """Return when the call is held.

        Raises:
            AssertionError: it is not made.
        """
        assert self.reached.wait(PATIENCE), f"the server does not call the signer: {self.call}"

    def stop_here(self, call: str, when: When) -> None:
        """Wait to be released if this is the call and the moment; only the first time."""
        if (call, when) == (self.call, self.when) and not self.reached.is_set():
            self.reached.set()
            self.released.wait(PATIENCE)


class Gateway:
    """Listens on `port` and forwards to the signer of `stack`."""

    def __init__(self, stack: Stack) -> None:
        signer = Pair(stack.folder / "signer.pem", stack.folder / "signer-key.pem")
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(stack.ca_file))
        tls.verify_mode = ssl.CERT_REQUIRED
        tls.load_cert_chain(signer.certificate, signer.key)
        self._server = _Listener(("127.0.0.1", 0), _Handler)
        # The handshake belongs into the connection's own thread, not before the next accept.
        self._server.socket = tls.wrap_socket(
            self._server.socket, server_side=True, do_handshake_on_connect=False
        )
        self._server.signer_port = stack.signer_port
        self._server.signer_tls = stack.client_context(identified=True)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @contextmanager
    def hold(self, call: str, when: When) -> Iterator[Hold]:
        """Stop the next such call; it is let go at the end of the block at the latest."""
        hold = Hold(call, when)
        self._server.hold = hold
        try:
            yield hold
        finally:
            self._server.hold = None
            hold.released.set()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    signer_port: int
    signer_tls: ssl.SSLContext
    hold: Hold | None = None

    def handle_error(self, request: Any, client_address: Any) -> None:
        """The server's end of a connection may be killed at any time; anything else is a mistake here."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        """Forward."""
        self._forward()

    def do_POST(self) -> None:
        """Forward."""
        self._forward()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing."""

    def _forward(self) -> None:
        listener = cast("_Listener", self.server)
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        call, hold = _call(self.path, body), listener.hold
        if hold is not None:
            hold.stop_here(call, "before")
        answer = self._ask(listener, body)
        if hold is not None and answer is not None:
            hold.stop_here(call, "after")
        if answer is None or (hold is not None and hold.lost and hold.call == call):
            # What a killed signer leaves behind: a connection that ends without an answer.
            self.close_connection = True
            return
        status, data = answer
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _ask(self, listener: _Listener, body: bytes) -> tuple[int, bytes] | None:
        """The signer's status and body; None if it gave none."""
        signer = http.client.HTTPSConnection(
            "localhost", listener.signer_port, timeout=PATIENCE, context=listener.signer_tls
        )
        kept = {name: self.headers[name] for name in ("Content-Type", "X-Request-ID") if name in self.headers}
        try:
            signer.request(self.command, self.path, body or None, kept)
            answer = signer.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            return None
        finally:
            signer.close()


def _call(path: str, body: bytes) -> str:
    if path.endswith("/describe"):
        return "describe"
    return str(json.loads(body)["role"]) if path.endswith("/sign") else path
