"""An upload on a connection of its own that can stop half-way, go on, hang up, or wait for its answer."""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Mapping
from types import TracebackType

from tests.publisher import Client, Reply, form
from tests.support.stack import Stack

TIMEOUT = 40.0


class Sending:
    """A POST to `gun`, whose header is sent at once.

    Use it as a context manager: the connection is closed at the end.
    """

    def __init__(self, stack: Stack, gun: str, files: Mapping[str, bytes]) -> None:
        kind, self._rest = form(files)
        plain = socket.create_connection(("localhost", stack.port), timeout=TIMEOUT)
        self._wire: ssl.SSLSocket = stack.client_context().wrap_socket(plain, server_hostname="localhost")
        head = (
            f"POST {Client.path(gun, 'tuf/')} HTTP/1.1\r\nHost: localhost:{stack.port}\r\nConnection: close\r\n"
            f"Content-Type: {kind}\r\nContent-Length: {len(self._rest)}\r\n\r\n"
        )
        self._wire.sendall(head.encode())

    def __enter__(self) -> Sending:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Hang up."""
        self.hang_up()

    def half(self) -> None:
        """Send the first half of the body."""
        middle = len(self._rest) // 2
        self._wire.sendall(self._rest[:middle])
        self._rest = self._rest[middle:]

    def finish(self) -> None:
        """Send what is left of the body; a server that is gone is no error."""
        rest, self._rest = self._rest, b""
        try:
            self._wire.sendall(rest)
        except OSError:
            return

    def hang_up(self) -> None:
        """Close the connection."""
        self._wire.close()

    def reply(self) -> Reply:
        """The answer; status 0 if there will be none.

        Raises:
            TimeoutError: the server neither answers nor hangs up.
        """
        answer = http.client.HTTPResponse(self._wire)
        try:
            answer.begin()
            body = answer.read()
        except TimeoutError:
            raise
        except (http.client.HTTPException, OSError):
            return Reply(0)
        return Reply(answer.status, {name.lower(): value for name, value in answer.getheaders()}, body)
