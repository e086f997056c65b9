"""An old or new trust server, asked over HTTP as its clients ask it: bounded, a few requests at a time."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final
from urllib.parse import quote

import aiohttp

MAX_FILE_BYTES: Final = 100 << 20
"""Of one metadata file."""
MAX_CONNECTIONS: Final = 8
"""At once: the other side may be a public service."""
TIMEOUT: Final = 60.0
"""Seconds for one answer."""
FEED_PAGE: Final = 1000
"""Changefeed records that are asked for at once."""


class RemoteProblem(Exception):
    """The server cannot be asked, or answers something else than a trust server; the text says what."""


@dataclass(frozen=True, slots=True)
class RemoteChange:
    """A record of its changefeed."""

    id: int
    gun: str
    category: str


class RemoteServer:
    """One server. Open it with `async with`."""

    def __init__(self, url: str, tls: ssl.SSLContext | None, token: str | None) -> None:
        """
        Args:
            url: `https://host:port`.
            tls: whom to believe; None for plain HTTP.
            token: a bearer token that allows everything that is asked for; None where nobody asks for one.
        """
        self._url = url.rstrip("/")
        self._tls = tls
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._turns = asyncio.Semaphore(MAX_CONNECTIONS)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> RemoteServer:
        connector = aiohttp.TCPConnector(limit=MAX_CONNECTIONS, ssl=self._tls or False)
        timeout = aiohttp.ClientTimeout(total=TIMEOUT)
        self._session = aiohttp.ClientSession(connector=connector, timeout=timeout, headers=self._headers)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def get(self, gun: str, name: str) -> bytes | None:
        """A metadata file, e.g. `root.json`, `2.root.json`; None if there is none.

        Raises:
            RemoteProblem: any other answer, or none.
        """
        return await self._get(f"/v2/{quote(gun, safe='/:')}/_trust/tuf/{quote(name, safe='/')}")

    async def changes(self) -> AsyncIterator[RemoteChange]:
        """The whole changefeed, oldest first.

        Raises:
            RemoteProblem: there is none.
        """
        after = 0
        while True:
            body = await self._get(f"/v2/_trust/changefeed?records={FEED_PAGE}&change_id={after}")
            records = _records(body)
            for record in records:
                yield record
            if not records:
                return
            after = records[-1].id

    async def _get(self, path: str) -> bytes | None:
        assert self._session is not None, "it is open"  # noqa: S101
        try:
            async with self._turns, self._session.get(self._url + path, allow_redirects=False) as answer:
                if answer.status == HTTPStatus.NOT_FOUND:
                    return None
                if answer.status != HTTPStatus.OK:
                    raise RemoteProblem(_refusal(self._url, answer.status))
                body = await answer.content.read(MAX_FILE_BYTES + 1)
                while len(body) <= MAX_FILE_BYTES and not answer.content.at_eof():
                    body += await answer.content.read(MAX_FILE_BYTES + 1 - len(body))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise RemoteProblem(f"{self._url} cannot be asked ({type(error).__name__}: {error})") from None
        if len(body) > MAX_FILE_BYTES:
            raise RemoteProblem(f"{self._url} sent a file of more than {MAX_FILE_BYTES} bytes")
        return body


def _refusal(url: str, status: int) -> str:
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        return (
            f"{url} asks for a token that allows this; put one into a file and name it with --token-file. The changefeed "
            "of all repositories needs the scope registry:catalog:*; with --guns FILE only pull is needed"
        )
    return f"{url} answered with status {status}"


def _records(body: bytes | None) -> list[RemoteChange]:
    if body is None:
        raise RemoteProblem("the server has no changefeed; name the repositories with --guns FILE")
    try:
        records = json.loads(body)["records"]
        return [RemoteChange(int(one["ID"]), str(one["GUN"]), str(one["Category"])) for one in records]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise RemoteProblem("the server's changefeed cannot be understood") from None
