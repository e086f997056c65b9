"""One exchange with the signer over HTTP: deadline, retry, and the three kinds of failure."""

from __future__ import annotations

import asyncio
import ssl
import uuid
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, TypeVar

import aiohttp
import msgspec
from structlog.contextvars import get_contextvars

from notary_common import wire

from ..errors import SignerRefused, SignerUnavailable

MAX_CONNECTIONS: Final = 32
"""Connections to the signer at once; its token works on one thing at a time anyway."""
MAX_RESPONSE_BYTES: Final = 1 << 20
"""64 described keys are some 40 kB."""
CONNECT_TIMEOUT: Final = 2.0
"""Seconds for a new connection with its TLS handshake: clients give the whole exchange five."""
ATTEMPTS: Final = 2
"""Every call of the signer's API may be repeated: creating gives the unused key again. A connection that was
kept open may have died meanwhile, so one more attempt is made on a new one."""

Answer = TypeVar("Answer")


class KeyNotHeldError(Exception):
    """The signer answered that it holds no such key."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the signer is.

    Attributes:
        base_url: `https://host:port`; for a Unix socket only its scheme counts.
        tls: for `https`.
        unix_socket: path of the socket, or None for TCP.
        timeout: seconds for one call, repetition included.
    """

    base_url: str
    tls: ssl.SSLContext | None
    unix_socket: str | None
    timeout: float


class Transport:
    """Keeps connections to one signer. The session is made at the first call, inside the running loop."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def call(self, method: str, path: str, body: msgspec.Struct | None, answer: type[Answer]) -> Answer:
        """Send `body` as JSON and read the answer.

        Raises:
            KeyNotHeldError: 404 with the signer's own code for it.
            SignerUnavailable: no answer within the deadline, no connection, or 503.
            SignerRefused: any other answer that is not a success, or one that cannot be understood.
        """
        try:
            async with asyncio.timeout(self._endpoint.timeout):
                status, data = await self._exchange(method, path, body)
        except TimeoutError:
            raise SignerUnavailable("the signer did not answer in time") from None
        except (aiohttp.ClientError, OSError, ssl.SSLError) as error:
            raise SignerUnavailable(f"the signer cannot be reached: {_reason(error)}") from error
        if status != HTTPStatus.OK:
            raise _failure(status, data)
        try:
            return msgspec.json.decode(data, type=answer)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise SignerRefused("the signer's answer cannot be understood") from None

    async def _exchange(self, method: str, path: str, body: msgspec.Struct | None) -> tuple[int, bytes]:
        headers = {"X-Request-ID": _request_id()}
        data = None
        if body is not None:
            data = msgspec.json.encode(body)
            headers["Content-Type"] = "application/json"
        for attempt in range(1, ATTEMPTS + 1):
            try:
                async with self._open().request(
                    method, self._endpoint.base_url + path, data=data, headers=headers, allow_redirects=False
                ) as response:
                    content = await response.content.read(MAX_RESPONSE_BYTES + 1)
                    while not response.content.at_eof() and len(content) <= MAX_RESPONSE_BYTES:
                        content += await response.content.read(MAX_RESPONSE_BYTES + 1)
                    if len(content) > MAX_RESPONSE_BYTES:
                        raise SignerRefused("the signer's answer is too long")
                    return response.status, content
            except (aiohttp.ClientConnectorCertificateError, aiohttp.ClientConnectorSSLError):
                raise
            except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError):
                if attempt == ATTEMPTS:
                    raise
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            endpoint = self._endpoint
            connector: aiohttp.BaseConnector
            if endpoint.unix_socket is not None:
                connector = aiohttp.UnixConnector(endpoint.unix_socket, limit=MAX_CONNECTIONS)
            else:
                connector = aiohttp.TCPConnector(
                    limit=MAX_CONNECTIONS, ssl=True if endpoint.tls is None else endpoint.tls
                )
            self._session = aiohttp.ClientSession(
                connector=connector,
                timeout=aiohttp.ClientTimeout(total=None, connect=None, sock_connect=CONNECT_TIMEOUT),
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
                auto_decompress=False,
            )
        return self._session


def _reason(error: Exception) -> str:
    """What keeps us from the signer, for the log and for health."""
    match error:
        case aiohttp.ClientConnectorCertificateError():
            inner = error.certificate_error
            text = inner.verify_message if isinstance(inner, ssl.SSLCertVerificationError) else str(inner)
            return f"its certificate is refused ({text}); check trust_service.tls_ca_file and hostname"
        case aiohttp.ServerDisconnectedError():
            return "it closed the connection; perhaps it refuses trust_service.tls_client_cert"
        case aiohttp.ClientConnectorError():
            return error.os_error.strerror or type(error).__name__
        case _:
            return type(error).__name__


def _request_id() -> str:
    """The ID of the request being served, so that both logs tell one story; else a new one."""
    bound = get_contextvars().get("http.request.id")
    return bound if isinstance(bound, str) else uuid.uuid4().hex


def _failure(status: int, data: bytes) -> Exception:
    try:
        error = msgspec.json.decode(data, type=wire.ErrorResponse).error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        error = None
    if status == HTTPStatus.NOT_FOUND and error is not None and error.code == "KEY_UNKNOWN":
        return KeyNotHeldError()
    if status in {HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT}:
        return SignerUnavailable(
            "the signer is not ready" if error is None else f"the signer: {error.message}"
        )
    if error is None or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        # What went wrong inside the signer is for its log; this text may reach the public.
        return SignerRefused(f"the signer failed ({status}); its log has the details under this request's ID")
    return SignerRefused(f"the signer refused: {error.message}")
