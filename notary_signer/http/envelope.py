"""Around every request: its ID, its one log line, and the shape of every error."""

from __future__ import annotations

import re
import time
import traceback
import uuid
from collections.abc import Callable, Collection, Mapping
from http import HTTPStatus
from typing import Final

from aiohttp import web

from notary_common import tracing
from notary_common.log import get_logger
from notary_common.wire import ErrorBody, ErrorResponse
from notary_signer.audited import AuditedSigner, Caller
from notary_signer.clients import Identity
from notary_signer.errors import (
    AuditUnavailable,
    RegistryUnavailable,
    SignerError,
    TokenFault,
    TokenUnavailable,
    TooManyKeys,
)
from notary_signer.metrics import Metrics, Outcome

from .handlers import Call, Handler, answer

REQUEST_ID_HEADER: Final = "X-Request-ID"
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)

_AUDITED: Final = {"create_key", "sign", "retire_key"}
"""Operations whose line is written at every log level where it is the only record: who had what signed must never be
unknown."""

_PROBES: Final = {"health", "metrics"}
_PARTS: Final[tuple[tuple[type[SignerError], str], ...]] = (
    (TokenUnavailable, "token"),
    (TokenFault, "token"),
    (RegistryUnavailable, "registry"),
    (AuditUnavailable, "audit"),
)

_log = get_logger("notary.signer")
_audit = get_logger("notary.signer.audit")


def _request_id(request: web.BaseRequest) -> str:
    given = request.headers.get(REQUEST_ID_HEADER, "")
    return given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex


def _error(error: SignerError) -> web.Response:
    response = answer(ErrorResponse(ErrorBody(error.code, error.message)), status=error.status)
    if isinstance(error, TooManyKeys):
        response.headers["Retry-After"] = str(error.retry_after)
    return response


def _refusal(status: HTTPStatus) -> web.Response:
    """No such address or method, or a body that is too large."""
    return answer(ErrorResponse(ErrorBody("BAD_REQUEST", status.phrase)), status=status)


async def _handled(call: Call, methods: Mapping[str, Handler]) -> web.Response:
    handler = methods.get(call.request.method)
    if handler is not None:
        return await handler(call)
    if not methods:
        return _refusal(HTTPStatus.NOT_FOUND)
    response = _refusal(HTTPStatus.METHOD_NOT_ALLOWED)
    response.headers["Allow"] = ", ".join(sorted(methods))
    return response


class Envelope:
    """Answers requests; for one event loop."""

    def __init__(
        self,
        signer: AuditedSigner,
        metrics: Metrics,
        identified: Callable[[web.BaseRequest], Identity],
        body_timeout: float,
        *,
        line_is_record: bool,
    ) -> None:
        """See `routes.build_server`."""
        self._signer = signer
        self._metrics = metrics
        self._identified = identified
        self._body_timeout = body_timeout
        self._audited: Collection[str] = _AUDITED if line_is_record else ()

    async def answer(
        self, request: web.BaseRequest, key_id: str, methods: Mapping[str, Handler]
    ) -> web.Response:
        """Answer by what `methods` has for the request's, give it an ID, bring errors into the wire's form, count it
        and write one line about it."""
        request_id = _request_id(request)
        path = request.path.replace(key_id, "KEY") if key_id else request.path
        # Whoever may come in is one of our servers: what it says of traces is believed.
        with tracing.request(
            f"{request.method} {path}", request.headers, trusted=True, request_id=request_id
        ) as told:
            response = await self._answered(request, request_id, key_id, methods)
            told.set_attribute("http.response.status_code", response.status)
            return response

    async def _answered(
        self, request: web.BaseRequest, request_id: str, key_id: str, methods: Mapping[str, Handler]
    ) -> web.Response:
        facts: dict[str, object] = {}
        begun = time.monotonic()
        try:
            identity = self._identified(request)
            facts["client"] = identity.name
            caller = Caller(identity, request_id)
            call = Call(self._signer, caller, request, key_id, self._body_timeout, facts)
            response = await _handled(call, methods)
        except SignerError as error:
            response = self._refused(error, facts)
        except web.HTTPRequestEntityTooLarge:
            response = _refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        except Exception as error:  # noqa: BLE001 - nothing may leave without an answer of our form
            # Only the type and the places: an unforeseen text could hold anything.
            places = [f"{frame.name}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)]
            places += getattr(error, "__notes__", [])
            _log.error("unexpected error", request_id=request_id, kind=type(error).__name__, places=places)
            self._metrics.failure("signer")
            response = _error(SignerError("the signer met an unexpected error; its log has the details"))
        response.headers[REQUEST_ID_HEADER] = request_id
        seconds = time.monotonic() - begun
        self._metrics.request(facts.get("operation"), _outcome(response.status), seconds)
        self._write_line(request, response.status, request_id, seconds, facts)
        return response

    def _refused(self, error: SignerError, facts: dict[str, object]) -> web.Response:
        facts["error"] = error.message
        if error.__cause__ is not None:
            facts["cause"] = str(error.__cause__)
        if error.status < HTTPStatus.INTERNAL_SERVER_ERROR:
            self._metrics.refusal(error.code)
        else:
            self._metrics.failure(next((part for kind, part in _PARTS if isinstance(error, kind)), "signer"))
        return _error(error)

    def _write_line(
        self, request: web.BaseRequest, status: int, request_id: str, seconds: float, facts: dict[str, object]
    ) -> None:
        if facts.get("operation") in self._audited:
            write = _audit.info
        elif facts.get("operation") in _PROBES and status == HTTPStatus.OK:
            # They come every few seconds and say nothing while all is well.
            write = _log.debug
        else:
            write = _log.info
        write(
            "request",
            request_id=request_id,
            method=request.method,
            path=request.path,
            status=status,
            milliseconds=round(seconds * 1000, 3),
            **facts,
        )


def _outcome(status: int) -> Outcome:
    if status < HTTPStatus.BAD_REQUEST:
        return "done"
    return "refused" if status < HTTPStatus.INTERNAL_SERVER_ERROR else "failed"
