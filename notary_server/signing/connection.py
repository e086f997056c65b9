"""HTTP/1.1 as the signer speaks it, over one kept connection: a request with a body, an answer of stated length.

A general client costs several times as much, and a publish waits for two such exchanges.
"""

from __future__ import annotations

import asyncio
import re
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

MAX_RESPONSE_BYTES: Final = 1 << 20
"""64 described keys are some 40 kB."""
MAX_HEAD_BYTES: Final = 16 * 1024
"""The signer's head has a few hundred bytes; one in front of it may add some."""
LIFETIME: Final = 300.0
"""Seconds for which a connection over TLS is used: what the signer's certificate was checked against changes."""

_STATUS: Final = re.compile(rb"HTTP/1\.([01]) ([2-5][0-9][0-9]) ")
_LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,9})[ \t]*\r\n", re.IGNORECASE)
_CLOSE: Final = re.compile(rb"\r\nconnection:[ \t]*close[ \t]*\r\n", re.IGNORECASE)
_RETRY_AFTER: Final = re.compile(rb"\r\nretry-after:[ \t]*([0-9]{1,5})[ \t]*\r\n", re.IGNORECASE)
_CODED: Final = re.compile(rb"\r\n(?:transfer|content)-encoding:", re.IGNORECASE)


class NotHttpError(Exception):
    """The answer is not one that the signer gives; the text says why."""


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer, of whatever status.

    Attributes:
        retry_after: seconds, if the signer says when to ask again.
    """

    status: int
    body: bytes
    retry_after: int | None


class Connection:
    """One exchange after the other. Give it up after any that raised.

    Attributes:
        ended: whether it can carry no further exchange.
    """

    def __init__(self, host: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._host = host
        self._reader = reader
        self._writer = writer
        self._last = False
        self._born = time.monotonic()

    @property
    def ended(self) -> bool:
        """See above."""
        return self._last or self._reader.at_eof() or self._writer.is_closing()

    def fresh(self, tls: ssl.SSLContext | None) -> bool:
        """Whether its handshake was made with the context `tls`, and not too long ago."""
        if tls is None:
            return True
        young = time.monotonic() - self._born < LIFETIME
        return young and self._writer.get_extra_info("sslcontext") is tls

    async def exchange(self, method: str, path: str, data: bytes, fields: Mapping[str, str]) -> Answered:
        """Send JSON (or nothing, if `data` is empty) with these fields of ours, and read the answer.

        Raises:
            NotHttpError: the answer is too long, or has another form.
            OSError, EOFError: the connection ended.
        """
        kind = "Content-Type: application/json\r\n" if data else ""
        ours = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: {self._host}\r\n{ours}"
            f"{kind}Content-Length: {len(data)}\r\n\r\n"
        )
        self._writer.write(head.encode("ascii") + data)
        await self._writer.drain()
        try:
            answered = await self._reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            raise NotHttpError("the signer's answer is too long") from None
        status, length = _STATUS.match(answered), _LENGTH.findall(answered)
        if status is None or len(length) != 1 or _CODED.search(answered) is not None:
            raise NotHttpError("the signer's answer cannot be understood")
        if int(length[0]) > MAX_RESPONSE_BYTES:
            raise NotHttpError("the signer's answer is too long")
        self._last = status[1] == b"0" or _CLOSE.search(answered) is not None
        later = _RETRY_AFTER.search(answered)
        body = await self._reader.readexactly(int(length[0]))
        return Answered(int(status[2]), body, None if later is None else int(later[1]))

    def close(self) -> None:
        """End it in good order, without waiting for the other side."""
        self._writer.close()

    def abort(self) -> None:
        """End it at once."""
        self._writer.transport.abort()


async def connect(base_url: str, tls: ssl.SSLContext | None, unix_socket: str | None) -> Connection:
    """A new connection.

    Args:
        base_url: `https://host:port` or `http://host:port`; with `unix_socket` only its host is used, and said.
        tls: for `https`; None: whom the system believes.
        unix_socket: path, or None for TCP.

    Raises:
        OSError: nobody listens there, or TLS fails.
        EOFError: the connection ended at once.
    """
    url = urlsplit(base_url)
    host = url.hostname or "localhost"
    if unix_socket is not None:
        return Connection(url.netloc, *await asyncio.open_unix_connection(unix_socket, limit=MAX_HEAD_BYTES))
    secure = url.scheme == "https"
    streams = await asyncio.open_connection(
        host,
        url.port or (443 if secure else 80),
        ssl=(tls or ssl.create_default_context()) if secure else None,
        limit=MAX_HEAD_BYTES,
    )
    return Connection(url.netloc, *streams)
