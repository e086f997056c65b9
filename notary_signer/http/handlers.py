"""Translate requests into operations and back. Nothing is decided here."""

from __future__ import annotations

import asyncio
import re
from typing import Final, TypeVar

import msgspec
from aiohttp import web

from notary_common import wire
from notary_signer.errors import BadRequest
from notary_signer.operations import SignerService

SERVICE: Final = web.AppKey("service", SignerService)
REQUEST_TIMEOUT: Final = web.AppKey("request_timeout", float)
"""Seconds that a body may take to arrive."""
AUDIT: Final = web.RequestKey("audit", dict[str, object])
"""What the request's log line says besides; never payloads."""

_KEY_ID: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)

Body = TypeVar("Body")


def answer(value: msgspec.Struct, status: int = 200) -> web.Response:
    """A JSON response that nobody may keep."""
    return web.Response(
        body=msgspec.json.encode(value),
        status=status,
        content_type="application/json",
        headers={"Cache-Control": "no-store"},
    )


async def _read(request: web.Request, kind: type[Body]) -> Body:
    if request.content_type != "application/json":
        raise BadRequest("the body must be application/json")
    try:
        async with asyncio.timeout(request.app[REQUEST_TIMEOUT]):
            data = await request.read()
    except TimeoutError:
        raise BadRequest("the body did not arrive in time") from None
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        # msgspec names the member and the type that it wanted, never the value.
        reason = str(error) if isinstance(error, msgspec.ValidationError) else "it is not JSON"
        raise BadRequest(f"the body cannot be understood: {reason}") from None


def _key_id(request: web.Request) -> str:
    key_id = request.match_info["key_id"]
    if _KEY_ID.fullmatch(key_id) is None:
        raise BadRequest("a key ID is 64 lower-case hexadecimal digits")
    return key_id


def _note(request: web.Request, **facts: object) -> None:
    request[AUDIT].update(facts)


async def create_key(request: web.Request) -> web.Response:
    """POST /v1/keys."""
    body = await _read(request, wire.CreateKeyRequest)
    _note(request, operation="create_key", gun=body.gun, role=body.role)
    key, new = await request.app[SERVICE].create_key(body.gun, body.role, body.algorithm)
    _note(request, key_id=key.key_id, algorithm=key.algorithm, created=new)
    return answer(key)


async def describe_keys(request: web.Request) -> web.Response:
    """POST /v1/keys/describe."""
    body = await _read(request, wire.DescribeRequest)
    _note(request, operation="describe_keys", count=len(body.key_ids))
    return answer(wire.DescribeResponse(await request.app[SERVICE].describe(body.key_ids)))


async def get_key(request: web.Request) -> web.Response:
    """GET /v1/keys/{key_id}."""
    key_id = _key_id(request)
    _note(request, operation="get_key", key_id=key_id)
    return answer(await request.app[SERVICE].key(key_id))


async def sign(request: web.Request) -> web.Response:
    """POST /v1/keys/{key_id}/sign."""
    key_id = _key_id(request)
    body = await _read(request, wire.SignRequest)
    _note(request, operation="sign", key_id=key_id, gun=body.gun, role=body.role)
    signed = await request.app[SERVICE].sign(key_id, body.gun, body.role, body.payload)
    _note(request, version=signed.version, payload_sha256=signed.payload_sha256)
    return answer(signed.response)


async def retire_key(request: web.Request) -> web.Response:
    """POST /v1/keys/{key_id}/retire."""
    key_id = _key_id(request)
    body = await _read(request, wire.RetireRequest)
    _note(request, operation="retire_key", key_id=key_id, gun=body.gun)
    return answer(await request.app[SERVICE].retire(key_id, body.gun))


async def health(request: web.Request) -> web.Response:
    """GET /v1/health: 200 when a signature could be made just now, else 503."""
    _note(request, operation="health")
    problems = await request.app[SERVICE].health()
    return answer(wire.Health(ready=not problems, problems=problems), status=503 if problems else 200)
