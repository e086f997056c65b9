"""One exchange with the signer over HTTP: deadline, retry, and the three kinds of failure."""

from __future__ import annotations

import asyncio
import ssl
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, TypeVar

import msgspec
from structlog.contextvars import get_contextvars

from notary_common import wire

from ..errors import SignerRefused, SignerUnavailable
from .connection import Connection, NotHttpError, connect

MAX_CONNECTIONS: Final = 32
"""Connections to the signer at once; its token works on one thing at a time anyway."""
CONNECT_TIMEOUT: Final = 2.0
"""Seconds for a new connection with its TLS handshake: clients give the whole exchange five."""

Answer = TypeVar("Answer")


class KeyNotHeldError(Exception):
    """The signer answered that it holds no such key."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the signer is.

    Attributes:
        base_url: `https://host:port`; for a Unix socket only its scheme counts.
        tls: for `https`, asked at each new connection where it can change; None: what the system believes.
        unix_socket: path of the socket, or None for TCP.
        timeout: seconds for one call, repetition included.
    """

    base_url: str
    tls: Callable[[], ssl.SSLContext | None] | ssl.SSLContext | None
    unix_socket: str | None
    timeout: float


class Transport:
    """Keeps connections to one signer; they are opened when calls need them."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._turns = asyncio.Semaphore(MAX_CONNECTIONS)
        self._idle: list[Connection] = []

    async def close(self) -> None:
        """Close all connections that no call uses."""
        while self._idle:
            self._idle.pop().close()

    async def call(self, method: str, path: str, body: msgspec.Struct | None, answer: type[Answer]) -> Answer:
        """Send `body` as JSON and read the answer.

        Raises:
            KeyNotHeldError: 404 with the signer's own code for it.
            SignerUnavailable: no answer within the deadline, no connection, or 503.
            SignerRefused: any other answer that is not a success, or one that cannot be understood.
        """
        data = b"" if body is None else msgspec.json.encode(body)
        try:
            async with asyncio.timeout(self._endpoint.timeout), self._turns:
                status, content = await self._exchange(method, path, data)
        except TimeoutError:
            raise SignerUnavailable("the signer did not answer in time") from None
        except (OSError, EOFError) as error:
            raise SignerUnavailable(f"the signer cannot be reached: {_reason(error)}") from error
        except NotHttpError as error:
            raise SignerRefused(str(error)) from None
        if status != HTTPStatus.OK:
            raise _failure(status, content)
        try:
            return msgspec.json.decode(content, type=answer)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise SignerRefused("the signer's answer cannot be understood") from None

    async def _exchange(self, method: str, path: str, data: bytes) -> tuple[int, bytes]:
        endpoint = self._endpoint
        tls = endpoint.tls() if callable(endpoint.tls) else endpoint.tls
        while self._idle:
            kept = self._idle.pop()
            if kept.ended or not kept.fresh(tls):
                kept.close()
                continue
            try:
                return await self._over(kept, method, path, data)
            except (ConnectionError, ssl.SSLError, EOFError):
                # It died unnoticed, and the others with it. Every call of the signer's API may be repeated (creating
                # gives the unused key again), so once more over a new one.
                await self.close()
                break
        async with asyncio.timeout(CONNECT_TIMEOUT):
            fresh = await connect(endpoint.base_url, tls, endpoint.unix_socket)
        return await self._over(fresh, method, path, data)

    async def _over(self, connection: Connection, method: str, path: str, data: bytes) -> tuple[int, bytes]:
        try:
            answered = await connection.exchange(method, path, data, _request_id())
        except BaseException:
            connection.abort()
            raise
        if connection.ended:
            connection.close()
        else:
            self._idle.append(connection)
        return answered


def _reason(error: OSError | EOFError) -> str:
    """What keeps us from the signer, for the log and for health."""
    match error:
        case ssl.SSLCertVerificationError():
            return f"its certificate is refused ({error.verify_message}); check trust_service.tls_ca_file and hostname"
        case ssl.SSLError() | EOFError() | ConnectionResetError() | BrokenPipeError():
            return "it closed the connection; perhaps it refuses trust_service.tls_client_cert"
        case _:
            return error.strerror or type(error).__name__


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
