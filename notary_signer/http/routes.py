"""The whole URL table, and the server around it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final

from aiohttp import web

from notary_signer.audited import AuditedSigner
from notary_signer.clients import Identity
from notary_signer.metrics import Metrics

from . import handlers
from .caller import identify
from .envelope import Envelope
from .handlers import Handler

_KEYS: Final = "/v1/keys"
TABLE: Final[Mapping[str, Mapping[str, Handler]]] = {
    "/v1/health": {"GET": handlers.health},
    "/v1/metrics": {"GET": handlers.metrics},
    "/v1/keys": {"POST": handlers.create_key},
    "/v1/keys/describe": {"POST": handlers.describe_keys},
    "/v1/keys/{key_id}": {"GET": handlers.get_key},
    "/v1/keys/{key_id}/sign": {"POST": handlers.sign},
    "/v1/keys/{key_id}/retire": {"POST": handlers.retire_key},
}
"""Addresses, and what answers there by method."""


def build_server(
    signer: AuditedSigner,
    metrics: Metrics,
    *,
    max_request_bytes: int,
    request_timeout: float,
    line_is_record: bool,
    identified: Callable[[web.BaseRequest], Identity] = identify,
) -> web.Server:
    """The signer's API over `signer`, for the running event loop.

    Args:
        max_request_bytes: longer bodies are refused with 413.
        request_timeout: seconds that a body may take to arrive.
        line_is_record: there is no other record of an act than its log line, so it is written at every level.
        identified: who the client of a request is; may raise `ClientRefused`.
    """
    envelope = Envelope(signer, metrics, identified, request_timeout, line_is_record=line_is_record)
    loop = asyncio.get_running_loop()

    def bounded(message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
        return web.BaseRequest(
            message, payload, protocol, writer, task, loop, client_max_size=max_request_bytes
        )

    async def serve(request: web.BaseRequest) -> web.StreamResponse:
        methods, key_id = _find(request.path)
        return await envelope.answer(request, key_id, methods)

    return web.Server(serve, request_factory=bounded, access_log=None)


def _find(path: str) -> tuple[Mapping[str, Handler], str]:
    """What the address answers, by method; and the key ID in it, or what stands in its place."""
    if path in TABLE and "{" not in path:
        return TABLE[path], ""
    prefix, _, rest = path.partition(_KEYS + "/")
    key_id, slash, verb = rest.partition("/")
    if prefix or not key_id:
        return {}, ""
    return TABLE.get(f"{_KEYS}/{{key_id}}{slash}{verb}", {}), key_id
