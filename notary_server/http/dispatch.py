"""From a request to its answer: clean address, known route, permitted repository, handler, error."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from notary_common.log import get_logger
from notary_server.errors import InvalidGun, MetadataNotFound, NotaryError
from notary_server.tuf.names import Gun, RoleName, gun_problem

from .answer import TEXT, Answer
from .call import Call, Services
from .render import render, render_unknown
from .routes import KNOWN_METHODS, Route, find_route
from .target import BadTarget, Target, decode_target

_log = get_logger()


@dataclass(frozen=True, slots=True)
class Outcome:
    """An answer, and the name under which metrics count it (None: they do not)."""

    answer: Answer
    operation: str | None = None


async def dispatch(
    services: Services,
    method: str,
    raw_target: str,
    headers: Mapping[str, str],
    read_body: Callable[[], Awaitable[bytes]],
    request_id: str,
) -> Outcome:
    """Answer one request; never raises an error of ours."""
    try:
        target = decode_target(raw_target)
    except BadTarget:
        return Outcome(bad_request())
    path = target.clean_path
    if path != target.path and not _answered_directly(method, target):
        return Outcome(Answer(301, headers={"Location": target.clean_location}))
    found = find_route(method, path)
    if found is None:
        return Outcome(render(_no_route()) if method in KNOWN_METHODS else Answer(405))
    route, names = found
    call = Call(
        services,
        Gun(names.get("gun", "")),
        RoleName(names.get("role", "")),
        names.get("selector", ""),
        target.query or "",
        headers,
        read_body,
    )
    return Outcome(await _answer(route, call, request_id), route.operation)


def bad_request() -> Answer:
    """The answer to what is no proper HTTP request."""
    return Answer(400, b"400 Bad Request", TEXT, close=True)


def _answered_directly(method: str, target: Target) -> bool:
    # Portieris sends //v2/..., and no client follows a redirect of /v2/ as it should.
    return method == "GET" and target.only_slashes_doubled


async def _answer(route: Route, call: Call, request_id: str) -> Answer:
    try:
        if call.gun:
            _check_gun(route, call)
        return await route.answer(call)
    except NotaryError as error:
        if error.status >= 500:
            # The cause is for operators alone: clients get `message`.
            cause = "" if error.__cause__ is None else str(error.__cause__)
            _log.error("request failed", code=error.code, reason=error.message, cause=cause, gun=call.gun)
        return render(error) if error.code != "UNKNOWN" else render_unknown(request_id)
    except Exception:  # noqa: BLE001 - whatever it is, the client gets an answer and the log gets the rest
        _log.exception("request failed: a defect of this server", gun=call.gun)
        return render_unknown(request_id)


def _check_gun(route: Route, call: Call) -> None:
    """Refuse repositories that this server does not take and names that none can have."""
    prefixes = call.services.settings.gun_prefixes
    problem: str | None
    if prefixes and not call.gun.startswith(prefixes):
        problem = "this server only takes repositories whose name begins with " + " or ".join(prefixes)
    else:
        problem = gun_problem(call.gun)
    if problem is None:
        return
    if route.operation == "UpdateTUF":
        raise InvalidGun(problem)
    raise _no_route()


def _no_route() -> MetadataNotFound:
    return MetadataNotFound("You have requested metadata that does not exist.")
