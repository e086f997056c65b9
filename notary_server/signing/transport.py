"""One exchange with one signer over HTTP: kept connections, a deadline, and the kinds of failure."""

from __future__ import annotations

import asyncio
import ssl
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, Generic, Literal, TypeVar

import msgspec
from structlog.contextvars import get_contextvars

from notary_common import tracing, wire

from ..errors import SignerRefused, TooManyKeys
from .connection import Answered, Connection, NotHttpError, connect
from .failures import FaultError, KeyNotHeldError, KeyRefusedError, NotAskedError

MAX_CONNECTIONS: Final = 32
"""Connections to one signer at once; its token works on one thing at a time anyway."""
CONNECT_TIMEOUT: Final = 2.0
"""Seconds for a new connection with its TLS handshake: one that is not there by then is not worth the wait."""

Answer = TypeVar("Answer")
Operation = Literal["create", "describe", "sign", "retire", "health"]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a signer is.

    Attributes:
        base_url: `https://host:port`; for a Unix socket only its scheme counts.
        tls: asked at each new connection, so that a renewed certificate needs nothing more; for `https`. None from
            it: what the system believes.
        unix_socket: path of the socket, or None for TCP.
    """

    base_url: str
    tls: Callable[[], ssl.SSLContext | None]
    unix_socket: str | None = None

    @property
    def name(self) -> str:
        """What logs and metrics call it."""
        return self.base_url.partition("://")[2] if self.unix_socket is None else f"unix://{self.unix_socket}"


@dataclass(frozen=True, slots=True)
class Call(Generic[Answer]):
    """One request of the signer's API. Every one may be repeated: creating gives the unused key again.

    Attributes:
        body: sent as JSON, nothing if None.
        answer: what a success is decoded as.
    """

    operation: Operation
    method: str
    path: str
    body: msgspec.Struct | None
    answer: type[Answer]


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

    async def call(self, call: Call[Answer], seconds: float) -> Answer:
        """Send the call and read the answer, within `seconds`.

        Raises:
            NotAskedError: no answer within the deadline, no connection, or 502 to 504.
            FaultError: another answer of 500 and more, or one that cannot be understood.
            KeyNotHeldError, KeyRefusedError: 404 and 403 with the signer's own codes for them.
            TooManyKeys: 429.
            SignerRefused: any other answer that is not a success.
        """
        data = b"" if call.body is None else msgspec.json.encode(call.body)
        fields = {"X-Request-ID": _request_id()}
        with tracing.call(f"signer {call.operation}", fields, peer=self._endpoint.name):
            return await self._call(call, data, fields, seconds)

    async def _call(
        self, call: Call[Answer], data: bytes, fields: Mapping[str, str], seconds: float
    ) -> Answer:
        try:
            async with asyncio.timeout(seconds), self._turns:
                answered = await self._exchange(call.method, call.path, data, fields)
        except TimeoutError:
            raise NotAskedError("timeout", "it did not answer in time", certain=False) from None
        except (OSError, EOFError) as error:
            raise _unreachable(error) from error
        except NotHttpError as error:
            raise FaultError(str(error)) from None
        if answered.status != HTTPStatus.OK:
            raise _failure(answered)
        try:
            return msgspec.json.decode(answered.body, type=call.answer)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise FaultError("the signer's answer cannot be understood") from None

    async def _exchange(self, method: str, path: str, data: bytes, fields: Mapping[str, str]) -> Answered:
        endpoint = self._endpoint
        tls = endpoint.tls()
        while self._idle:
            kept = self._idle.pop()
            if kept.ended or not kept.fresh(tls):
                kept.close()
                continue
            try:
                return await self._over(kept, method, path, data, fields)
            except (ConnectionError, ssl.SSLError, EOFError):
                # It died unnoticed, and the others with it: once more over a new one.
                await self.close()
                break
        async with asyncio.timeout(CONNECT_TIMEOUT):
            fresh = await connect(endpoint.base_url, tls, endpoint.unix_socket)
        return await self._over(fresh, method, path, data, fields)

    async def _over(
        self, connection: Connection, method: str, path: str, data: bytes, fields: Mapping[str, str]
    ) -> Answered:
        try:
            answered = await connection.exchange(method, path, data, fields)
        except BaseException:
            connection.abort()
            raise
        if connection.ended:
            connection.close()
        else:
            self._idle.append(connection)
        return answered


def _unreachable(error: OSError | EOFError) -> NotAskedError:
    """What keeps us from the signer, for the log and for health."""
    match error:
        case ssl.SSLCertVerificationError():
            said = f"its certificate is refused ({error.verify_message}); check trust_service.tls_ca_file and hostname"
            return NotAskedError("tls", said, certain=True)
        case ssl.SSLError():
            said = "it closed the connection; perhaps it refuses trust_service.tls_client_cert"
            return NotAskedError("tls", said, certain=True)
        case EOFError() | ConnectionResetError() | BrokenPipeError():
            said = "it closed the connection; perhaps it refuses trust_service.tls_client_cert"
            return NotAskedError("connection", said, certain=True)
        case _:
            said = f"it cannot be reached: {error.strerror or type(error).__name__}"
            return NotAskedError("connection", said, certain=True)


def _request_id() -> str:
    """The ID of the request being served, so that both logs tell one story; else a new one."""
    bound = get_contextvars().get("http.request.id")
    return bound if isinstance(bound, str) else uuid.uuid4().hex


def _failure(answered: Answered) -> Exception:
    status = answered.status
    try:
        error = msgspec.json.decode(answered.body, type=wire.ErrorResponse).error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        error = None
    if status in {HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT}:
        said = "it is not ready" if error is None else f"it is not ready: {error.message}"
        return NotAskedError("not_ready", said, certain=False)
    if error is None or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        # What went wrong inside the signer is for its log; this text may reach the public.
        return FaultError(f"the signer failed ({status}); its log has the details under this request's ID")
    match status, error.code:
        case HTTPStatus.NOT_FOUND, "KEY_UNKNOWN":
            return KeyNotHeldError()
        case HTTPStatus.FORBIDDEN, "KEY_REFUSED":
            return KeyRefusedError(f"the signer refused: {error.message}")
        case HTTPStatus.TOO_MANY_REQUESTS, _:
            return TooManyKeys(answered.retry_after)
    return SignerRefused(f"the signer refused: {error.message}")
