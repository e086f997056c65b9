"""Translate requests into operations and back. Nothing is decided here."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, TypeVar

import msgspec
from aiohttp import web

from notary_common import wire
from notary_common.management import METRICS_TYPE
from notary_signer.audited import AuditedSigner, Caller
from notary_signer.errors import BadRequest

JSON: Final = {"Content-Type": "application/json", "Cache-Control": "no-store"}

_KEY_ID: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)

Body = TypeVar("Body")


@dataclass(slots=True)
class Call:
    """One request and what it needs.

    Attributes:
        caller: who sent it.
        key_id: the part of the address that names a key, as sent; empty in an address without one.
        body_timeout: seconds that the body may take to arrive.
        facts: what the request's log line says besides; never payloads.
    """

    signer: AuditedSigner
    caller: Caller
    request: web.BaseRequest
    key_id: str
    body_timeout: float
    facts: dict[str, object] = field(default_factory=dict)


Handler = Callable[[Call], Awaitable[web.Response]]


def answer(value: msgspec.Struct, status: int = 200) -> web.Response:
    """A JSON response that nobody may keep."""
    return web.Response(body=msgspec.json.encode(value), status=status, headers=JSON)


async def _read(call: Call, kind: type[Body]) -> Body:
    request = call.request
    if request.content_type != "application/json":
        raise BadRequest("the body must be application/json")
    try:
        async with asyncio.timeout(call.body_timeout):
            data = await request.read()
    except TimeoutError:
        raise BadRequest("the body did not arrive in time") from None
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        # msgspec names the member and the type that it wanted, never the value.
        reason = str(error) if isinstance(error, msgspec.ValidationError) else "it is not JSON"
        raise BadRequest(f"the body cannot be understood: {reason}") from None


def _key_id(call: Call) -> str:
    if _KEY_ID.fullmatch(call.key_id) is None:
        raise BadRequest("a key ID is 64 lower-case hexadecimal digits")
    return call.key_id


async def create_key(call: Call) -> web.Response:
    """POST /v1/keys."""
    body = await _read(call, wire.CreateKeyRequest)
    call.facts.update(operation="create_key", gun=body.gun, role=body.role)
    key, new = await call.signer.create_key(call.caller, body.gun, body.role, body.algorithm)
    call.facts.update(key_id=key.key_id, algorithm=key.algorithm, created=new)
    return answer(key)


async def describe_keys(call: Call) -> web.Response:
    """POST /v1/keys/describe."""
    body = await _read(call, wire.DescribeRequest)
    call.facts.update(operation="describe_keys", count=len(body.key_ids))
    return answer(wire.DescribeResponse(await call.signer.describe(call.caller, body.key_ids)))


async def get_key(call: Call) -> web.Response:
    """GET /v1/keys/{key_id}."""
    key_id = _key_id(call)
    call.facts.update(operation="get_key", key_id=key_id)
    return answer(await call.signer.key(call.caller, key_id))


async def sign(call: Call) -> web.Response:
    """POST /v1/keys/{key_id}/sign."""
    key_id = _key_id(call)
    body = await _read(call, wire.SignRequest)
    call.facts.update(operation="sign", key_id=key_id, gun=body.gun, role=body.role)
    signed = await call.signer.sign(call.caller, key_id, body.gun, body.role, body.payload)
    call.facts.update(version=signed.version, payload_sha256=signed.payload_sha256)
    return answer(signed.response)


async def retire_key(call: Call) -> web.Response:
    """POST /v1/keys/{key_id}/retire."""
    key_id = _key_id(call)
    body = await _read(call, wire.RetireRequest)
    call.facts.update(operation="retire_key", key_id=key_id, gun=body.gun)
    return answer(await call.signer.retire(call.caller, key_id, body.gun))


async def health(call: Call) -> web.Response:
    """GET /v1/health: 200 when a signature could be made just now, else 503."""
    call.facts["operation"] = "health"
    problems = await call.signer.health(call.caller)
    return answer(wire.Health(ready=not problems, problems=problems), status=503 if problems else 200)


async def metrics(call: Call) -> web.Response:
    """GET /v1/metrics: what this process counted."""
    call.facts["operation"] = "metrics"
    body = await call.signer.exposition(call.caller)
    return web.Response(body=body, headers={"Content-Type": METRICS_TYPE, "Cache-Control": "no-store"})
