"""Around every request: its ID, its one log line, and the shape of every error."""

from __future__ import annotations

import logging
import re
import time
import traceback
import uuid
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Final

from aiohttp import web

from notary_common.log import get_logger
from notary_common.wire import ErrorBody, ErrorResponse
from notary_signer.errors import SignerError

from .handlers import AUDIT, answer

REQUEST_ID_HEADER: Final = "X-Request-ID"
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_AUDITED: Final = {"create_key", "sign", "retire_key"}
"""Operations whose line is written at every log level: who had what signed must never be unknown."""

_log = get_logger("notary.signer")
_audit = get_logger("notary.signer.audit")
logging.getLogger("notary.signer.audit").setLevel(logging.INFO)


def _request_id(request: web.Request) -> str:
    given = request.headers.get(REQUEST_ID_HEADER, "")
    return given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex


def client_name(request: web.Request) -> str | None:
    """The common name of the client's certificate, None on a Unix socket."""
    certificate = request.get_extra_info("peercert") or {}
    for part in certificate.get("subject", ()):
        for name, value in part:
            if name == "commonName":
                return str(value)
    return None


def _error(error: SignerError) -> web.Response:
    return answer(ErrorResponse(ErrorBody(error.code, error.message)), status=error.status)


def _refusal(error: web.HTTPException) -> web.Response:
    """What aiohttp itself refuses: no such address or method, a body that is too large."""
    body = ErrorResponse(ErrorBody("BAD_REQUEST", error.reason))
    response = answer(body, status=error.status)
    if "Allow" in error.headers:
        response.headers["Allow"] = error.headers["Allow"]
    return response


@web.middleware
async def envelope(request: web.Request, handler: _Handler) -> web.StreamResponse:
    """Give the request an ID, answer errors in the wire's form, and write one line about it."""
    request_id = _request_id(request)
    facts: dict[str, object] = {}
    request[AUDIT] = facts
    begun = time.monotonic()
    response: web.StreamResponse
    try:
        response = await handler(request)
    except SignerError as error:
        facts["error"] = error.message
        if error.__cause__ is not None:
            facts["cause"] = str(error.__cause__)
        response = _error(error)
    except web.HTTPException as error:
        response = _refusal(error)
    except Exception as error:  # noqa: BLE001 - nothing may leave without an answer of our form
        # Only the type and the places: an unforeseen text could hold anything.
        places = [f"{frame.name}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)]
        places += getattr(error, "__notes__", [])
        _log.error("unexpected error", request_id=request_id, kind=type(error).__name__, places=places)
        response = _error(SignerError("the signer met an unexpected error; its log has the details"))
    response.headers[REQUEST_ID_HEADER] = request_id
    _write_line(request, response.status, request_id, time.monotonic() - begun, facts)
    return response


def _write_line(
    request: web.Request, status: int, request_id: str, seconds: float, facts: dict[str, object]
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
