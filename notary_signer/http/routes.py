"""The whole URL table, and the application around it."""

from __future__ import annotations

from aiohttp import web

from notary_signer.operations import SignerService

from . import handlers
from .middleware import envelope


def build_application(
    service: SignerService, *, max_request_bytes: int, request_timeout: float
) -> web.Application:
    """The signer's API over `service`.

    Args:
        max_request_bytes: longer bodies are refused with 413.
        request_timeout: seconds that a body may take to arrive.
    """
    application = web.Application(middlewares=[envelope], client_max_size=max_request_bytes)
    application[handlers.SERVICE] = service
    application[handlers.REQUEST_TIMEOUT] = request_timeout
    application.add_routes(
        [
            web.get("/v1/health", handlers.health, allow_head=False),
            web.post("/v1/keys", handlers.create_key),
            web.post("/v1/keys/describe", handlers.describe_keys),
            web.get("/v1/keys/{key_id}", handlers.get_key, allow_head=False),
            web.post("/v1/keys/{key_id}/sign", handlers.sign),
            web.post("/v1/keys/{key_id}/retire", handlers.retire_key),
        ]
    )
    return application
