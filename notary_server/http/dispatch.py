"""From a request to its answer: clean address, known route, permitted repository, handler, error."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from notary_common import tracing
from notary_common.log import get_logger
from notary_server.auth.access import ANONYMOUS, Identity, Level, Wanted
from notary_server.errors import InvalidGun, MetadataNotFound, NotaryError, Unauthorized
from notary_server.tuf.names import Gun, RoleName, gun_problem

from .answer import TEXT, Answer
from .audit import access_refused
from .call import Call, Services
from .render import render, render_unknown
from .routes import KNOWN_METHODS, UNKNOWN_LEVEL, Handler, Route, find_route
from .target import BadTarget, Target, decode_target

_log = get_logger()

MAX_KEPT_TARGET: Final = 512
"""Bytes of a request target that is remembered; that of a checksum has some 150."""
KEPT_TARGETS: Final = 4096
"""Request targets that are remembered, the least recently asked for is forgotten: 10 MiB at most."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """An answer, and the name under which metrics count it (None: they do not)."""

    answer: Answer
    operation: str | None = None


@dataclass(frozen=True, slots=True)
class Address:
    """Who answers a request, what its sender must be allowed to do (None: nothing), and what its target names.

    `operation` as in `Outcome`, the rest as in `Call`.
    """

    handler: Handler
    wanted: Wanted | None
    operation: str | None
    gun: Gun
    role: RoleName
    selector: str
    query: str


def resolve(
    method: str, raw_target: str, gun_prefixes: tuple[str, ...], *, guarded: bool
) -> Address | Outcome:
    """Find out who answers, or the answer itself where the target alone decides it.

    Args:
        guarded: whether senders are asked who they are; then only what nobody needs permission for is answered here.
    """
    find = _resolve if len(raw_target) <= MAX_KEPT_TARGET else _resolve.__wrapped__
    return find(method, raw_target, gun_prefixes, guarded)


@lru_cache(KEPT_TARGETS)
def _resolve(method: str, raw_target: str, gun_prefixes: tuple[str, ...], guarded: bool) -> Address | Outcome:
    try:
        target = decode_target(raw_target)
    except BadTarget:
        return Outcome(bad_request())
    path = target.clean_path
    if path != target.path and not _answered_directly(method, target):
        return Outcome(Answer(301, headers={"Location": target.clean_location}))
    found = find_route(method, path)
    if found is None:
        if method not in KNOWN_METHODS:
            return Outcome(Answer(405))
        return _given(render(_no_route()), UNKNOWN_LEVEL, None, guarded)
    route, names = found
    gun = Gun(names.get("gun", ""))
    refusal = _gun_refusal(route, gun, gun_prefixes) if gun else None
    if refusal is not None:
        return Outcome(render(refusal), route.operation)
    if isinstance(route.answer, Answer):
        return _given(route.answer, route.level, route.operation, guarded)
    role, selector = RoleName(names.get("role", "")), names.get("selector", "")
    wanted = None if route.level is None else Wanted(route.level, gun)
    return Address(route.answer, wanted, route.operation, gun, role, selector, target.query or "")


def _given(found: Answer, level: Level | None, operation: str | None, guarded: bool) -> Address | Outcome:
    """An answer that is known already, for whoever may have it."""
    if level is None or not guarded:
        return Outcome(found, operation)

    async def give(_: Call) -> Answer:
        return found

    return Address(give, Wanted(level, Gun("")), operation, Gun(""), RoleName(""), "", "")


async def answer(
    services: Services,
    address: Address,
    headers: Mapping[str, str],
    client: str,
    subject: str,
    read_body: Callable[[], Awaitable[bytes]],
    request_id: str,
) -> Outcome:
    """Let the handler answer if the sender may have its answer; never raises an error of ours.

    `subject`: the name in the client's certificate, by which it is known where nothing else names it.
    """
    with (
        tracing.SILENT
        if not tracing.active()
        else tracing.request(
            address.operation or "Other",
            headers,
            trusted=services.settings.trust_client_traces,
            gun=address.gun,
            role=address.role,
            request_id=request_id,
        ) as told
    ):
        gun, wanted = address.gun, address.wanted
        try:
            identity = ANONYMOUS if wanted is None else await services.access.authorize(wanted, headers)
            if subject and not identity.name:
                identity = Identity(subject)
            found = await address.handler(
                Call(
                    services=services,
                    gun=gun,
                    role=address.role,
                    selector=address.selector,
                    query=address.query,
                    headers=headers,
                    identity=identity,
                    client=client,
                    request_id=request_id,
                    read_body=read_body,
                )
            )
        except NotaryError as error:
            if isinstance(error, Unauthorized) and wanted is not None:
                services.metrics.access_refusal(error.reason)
                access_refused(services.audit, wanted, headers, client, request_id, error)
            if error.status >= 500:
                # The cause is for operators alone: clients get `message`.
                cause = "" if error.__cause__ is None else str(error.__cause__)
                _log.error("request failed", code=error.code, reason=error.message, cause=cause, gun=gun)
            found = render(error) if error.code != "UNKNOWN" else render_unknown(request_id)
        except Exception:  # noqa: BLE001 - whatever it is, the client gets an answer and the log gets the rest
            _log.exception("request failed: a defect of this server", gun=gun)
            found = render_unknown(request_id)
        told.set_attribute("http.response.status_code", found.status)
        return Outcome(found, address.operation)


def bad_request() -> Answer:
    """The answer to what is no proper HTTP request."""
    return Answer(400, b"400 Bad Request", TEXT, close=True)


def _answered_directly(method: str, target: Target) -> bool:
    # Portieris sends //v2/..., and no client follows a redirect of /v2/ as it should.
    return method == "GET" and target.only_slashes_doubled


def _gun_refusal(route: Route, gun: Gun, prefixes: tuple[str, ...]) -> NotaryError | None:
    """Why this server does not take a repository of that name, or none can have it; None if neither."""
    problem: str | None
    if prefixes and not gun.startswith(prefixes):
        problem = "this server only takes repositories whose name begins with " + " or ".join(prefixes)
    else:
        problem = gun_problem(gun)
    if problem is None:
        return None
    return InvalidGun(problem) if route.operation == "UpdateTUF" else _no_route()


def _no_route() -> MetadataNotFound:
    return MetadataNotFound("You have requested metadata that does not exist.")
