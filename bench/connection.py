"""A lean HTTP/1.1 client for publishers: one kept TLS connection, one request at a time, little CPU."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import msgspec

from .sides import Side

ANSWER_SECONDS = 60.0
"""A publish that takes longer has failed."""


@dataclass(frozen=True)
class Answer:
    """`status` 0: the connection was closed without an answer."""

    status: int
    body: bytes = b""

    @property
    def kind(self) -> str:
        """The status, with the error's code if there is one."""
        try:
            code: Any = msgspec.json.decode(self.body)["errors"][0]["code"] if self.status >= 400 else ""
        except (msgspec.DecodeError, KeyError, IndexError, TypeError):
            code = ""
        return f"{self.status or 'no answer'} {code}".strip()


class Connection:
    """A client of one side; connects when it has to."""

    def __init__(self, side: Side) -> None:
        parts = urlsplit(side.url)
        self._host, self._port = parts.hostname, parts.port
        self._tls = ssl.create_default_context(cafile=side.ca_file)
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect, unless it is connected."""
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._host, self._port, ssl=self._tls)
        return self._streams

    def close(self) -> None:
        """Hang up."""
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None

    async def get(self, path: str) -> Answer:
        """GET `path`."""
        return await self._ask(f"GET {path}", "", [])

    async def post(self, path: str, content_type: str, *body: bytes) -> Answer:
        """POST the pieces of `body`, joined."""
        size = sum(len(piece) for piece in body)
        return await self._ask(
            f"POST {path}", f"Content-Type: {content_type}\r\nContent-Length: {size}\r\n", body
        )

    async def _ask(self, line: str, headers: str, body: Any) -> Answer:
        head = (
            f"{line} HTTP/1.1\r\nHost: {self._host}:{self._port}\r\nUser-Agent: notary-bench\r\n{headers}\r\n"
        )
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                reader, writer = await self.open()
                writer.writelines([head.encode(), *body])
                answer_head = await reader.readuntil(b"\r\n\r\n")
                status, length, close = _parse(answer_head)
                answer = Answer(status, await reader.readexactly(length))
        except (OSError, asyncio.IncompleteReadError, TimeoutError):
            self.close()
            return Answer(0)
        if close:
            self.close()
        return answer


def _parse(head: bytes) -> tuple[int, int, bool]:
    """Status, length of the body, and whether the connection ends with it."""
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if "transfer-encoding" in headers:
        raise ValueError("an answer to a publisher has a length")
    return (
        int(first.split()[1]),
        int(headers.get("content-length", "0")),
        headers.get("connection") == "close",
    )
