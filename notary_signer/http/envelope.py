"""Around every request: its ID, its one log line, and the shape of every error."""

from __future__ import annotations

import logging
import re
import time
import traceback
import uuid
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from aiohttp import web

from notary_common.log import get_logger
from notary_common.wire import ErrorBody, ErrorResponse
from notary_signer.errors import SignerError

from .handlers import Call, Handler, answer

REQUEST_ID_HEADER: Final = "X-Request-ID"
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)

_AUDITED: Final = {"create_key", "sign", "retire_key"}
"""Operations whose line is written at every log level: who had what signed must never be unknown."""

_log = get_logger("notary.signer")
_audit = get_logger("notary.signer.audit")
logging.getLogger("notary.signer.audit").setLevel(logging.INFO)


def _request_id(request: web.BaseRequest) -> str:
    given = request.headers.get(REQUEST_ID_HEADER, "")
    return given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex


def client_name(request: web.BaseRequest) -> str | None:
    """The common name of the client's certificate, None on a Unix socket."""
    certificate = request.get_extra_info("peercert") or {}
    for part in certificate.get("subject", ()):
        for name, value in part:
            if name == "commonName":
                return str(value)
    return None


def _error(error: SignerError) -> web.Response:
    return answer(ErrorResponse(ErrorBody(error.code, error.message)), status=error.status)


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


async def envelope(call: Call, methods: Mapping[str, Handler]) -> web.Response:
    """Answer by what `methods` has for the request's, give it an ID, bring errors into the wire's form, and write
    one line about it."""
    request_id = _request_id(call.request)
    facts = call.facts
    begun = time.monotonic()
    try:
        response = await _handled(call, methods)
    except SignerError as error:
        facts["error"] = error.message
        if error.__cause__ is not None:
            facts["cause"] = str(error.__cause__)
        response = _error(error)
    except web.HTTPRequestEntityTooLarge:
        response = _refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    except Exception as error:  # noqa: BLE001 - nothing may leave without an answer of our form
        # Only the type and the places: an unforeseen text could hold anything.
        places = [f"{frame.name}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)]
        places += getattr(error, "__notes__", [])
        _log.error("unexpected error", request_id=request_id, kind=type(error).__name__, places=places)
        response = _error(SignerError("the signer met an unexpected error; its log has the details"))
    response.headers[REQUEST_ID_HEADER] = request_id
    _write_line(call.request, response.status, request_id, time.monotonic() - begun, facts)
    return response


def _write_line(
    request: web.BaseRequest, status: int, request_id: str, seconds: float, facts: dict[str, object]
) -> None:
    if facts.get("operation") in _AUDITED:
        write = _audit.info
    elif facts.get("operation") == "health" and status == HTTPStatus.OK:
        # Health checks come every few seconds and say nothing while all is well.
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
        client=client_name(request),
        **facts,
    )
