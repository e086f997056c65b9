"""A small HTTP client that talks to a trust server as the clients in the field do: one TLS connection per request."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit

from .forms import Part, form


@dataclass(frozen=True)
class Reply:
    """An answer; `status` 0 means that the connection was closed without one. Header names are lower case."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def json(self) -> Any:
        """The body as JSON, None if it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None

    @property
    def error(self) -> dict[str, Any]:
        """The only entry of `errors`, or {}."""
        errors = self.json.get("errors") if isinstance(self.json, dict) else None
        return errors[0] if isinstance(errors, list) and len(errors) == 1 else {}

    @property
    def code(self) -> str | None:
        """The error's code."""
        return self.error.get("code")

    @property
    def name(self) -> str | None:
        """`detail.Name`, by which clients choose the typed error."""
        detail = self.error.get("detail")
        return detail.get("Name") if isinstance(detail, dict) else None

    def __str__(self) -> str:
        return f"{self.status} {self.body[:400].decode(errors='replace')}"


class Client:
    """Requests to one server.

    Args:
        url: `https://host:port` (or `http://`).
        ca_file: PEM file of the CA that the server's certificate chains to.
        keep_alive: reuse one connection, for tests that send thousands of requests.
    """

    def __init__(
        self, url: str, ca_file: str | None = None, *, keep_alive: bool = False, timeout: float = 30
    ) -> None:
        parts = urlsplit(url)
        self.host, self.port = parts.hostname or "localhost", parts.port or 443
        self.timeout = timeout
        self._tls = ssl.create_default_context(cafile=ca_file) if parts.scheme == "https" else None
        self._keep_alive = keep_alive
        self._open: http.client.HTTPConnection | None = None

    def _connection(self) -> http.client.HTTPConnection:
        if self._open is not None:
            return self._open
        made: http.client.HTTPConnection
        if self._tls is None:
            made = http.client.HTTPConnection(self.host, self.port, timeout=self.timeout)
        else:
            made = http.client.HTTPSConnection(self.host, self.port, timeout=self.timeout, context=self._tls)
        if self._keep_alive:
            self._open = made
        return made

    def close(self) -> None:
        """Close the kept connection, if any."""
        if self._open is not None:
            self._open.close()
            self._open = None

    def request(
        self, method: str, target: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Reply:
        """Send one request; `target` goes on the wire as it is."""
        connection = self._connection()
        try:
            connection.putrequest(method, target, skip_accept_encoding=True)
            sent = {"User-Agent": "Go-http-client/1.1", "Accept-Encoding": "gzip"}
            sent |= {} if self._keep_alive else {"Connection": "close"}
            sent |= {"Content-Length": str(len(body))} if body is not None else {}
            for name, value in (sent | dict(headers or {})).items():
                if value:
                    connection.putheader(name, value)
            connection.endheaders()
            if body:
                with contextlib.suppress(BrokenPipeError, ConnectionResetError, ssl.SSLEOFError):
                    connection.send(body)
            answer = connection.getresponse()
            data = answer.read()
            named = {name.lower(): value for name, value in answer.getheaders()}
        except (http.client.HTTPException, ConnectionError, ssl.SSLError):
            self.close()
            return Reply(0)
        finally:
            if not self._keep_alive:
                connection.close()
        return Reply(answer.status, named, data)

    def raw(self, data: bytes, *, hang_up: bool = False) -> Reply:
        """Send `data` as it is and read the answer, or close the connection at once."""
        with socket.create_connection((self.host, self.port), timeout=self.timeout) as plain:
            wire = self._tls.wrap_socket(plain, server_hostname=self.host) if self._tls else plain
            with wire:
                wire.sendall(data)
                if hang_up:
                    return Reply(0)
                answer = http.client.HTTPResponse(wire)
                try:
                    answer.begin()
                    body = answer.read()
                except (http.client.HTTPException, ConnectionError, ssl.SSLError):
                    return Reply(0)
                return Reply(answer.status, {k.lower(): v for k, v in answer.getheaders()}, body)

    def get(self, target: str, headers: Mapping[str, str] | None = None) -> Reply:
        """GET `target`."""
        return self.request("GET", target, headers=headers)

    @staticmethod
    def path(gun: str, rest: str) -> str:
        """The address of `rest` (`tuf/root.json`, `changefeed`) of a repository."""
        return f"/v2/{quote(gun, safe='/:@')}/_trust/{rest}"

    def role(self, gun: str, name: str) -> Reply:
        """GET a metadata file or key by the last part of its address, such as `root.json`."""
        return self.get(self.path(gun, "tuf/" + quote(name, safe="/:@")))

    def publish(self, gun: str, parts: Mapping[str, bytes] | Iterable[Part], **spelling: Any) -> Reply:
        """POST an upload in one form."""
        return self.upload(gun, *form(parts, **spelling))

    def upload(self, gun: str, content_type: str | None, body: bytes) -> Reply:
        """POST a ready-made body."""
        headers = {"Content-Type": content_type} if content_type is not None else {}
        return self.request("POST", self.path(gun, "tuf/"), body, headers)

    def delete(self, gun: str) -> Reply:
        """DELETE a repository."""
        return self.request("DELETE", self.path(gun, "tuf/"))

    def rotate(self, gun: str, role: str) -> Reply:
        """POST for a new server key."""
        return self.request("POST", self.path(gun, f"tuf/{role}.key"), b"")

    def changes(self, gun: str | None = None, query: str = "records=1000") -> Reply:
        """GET a changefeed, of all repositories if `gun` is None."""
        target = "/v2/_trust/changefeed" if gun is None else self.path(gun, "changefeed")
        return self.get(f"{target}?{query}" if query else target)
