"""The claims of a token: what they must look like, and whether audience and time are right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from .grants import Grants
from .refusal import Reason, Refusal, shown

MAX_SECONDS: Final = 2**63 - 1
"""Times are 64-bit integers for every other reader of these tokens."""


@dataclass(frozen=True, slots=True)
class Claims:
    """Claims of the right types; absent ones are empty, None or 0 as noted.

    Attributes:
        expires: seconds since 1970; 0, which is long past, if absent.
        not_before: likewise; None if absent.
    """

    issuer: str
    subject: str
    audience: tuple[str, ...]
    expires: int
    not_before: int | None
    grants: Grants


class _WrongTypeError(Exception):
    """A claim is not what it has to be; the text names it."""


def read_claims(members: dict[str, Any], max_entries: int) -> Claims | Refusal:
    """Give the claims their types; never raises.

    Args:
        max_entries: of the list `access`.
    """
    access = members.get("access")
    if isinstance(access, list) and len(access) > max_entries:
        text = f"the token lists {len(access)} accesses, more than the {max_entries} of auth.max_token_access"
        return Refusal(Reason.TOO_LARGE, text, {"entries": len(access), "max_entries": max_entries})
    try:
        _seconds(members, "iat")
        _text(members, "jti")
        return Claims(
            issuer=_text(members, "iss"),
            subject=_text(members, "sub"),
            audience=_audience(members.get("aud")),
            expires=_seconds(members, "exp") or 0,
            not_before=_seconds(members, "nbf"),
            grants=_grants(access),
        )
    except _WrongTypeError as error:
        return Refusal(Reason.MALFORMED, f"the claim {error} has the wrong type")


def audience_refusal(claims: Claims, service: str) -> Refusal | None:
    """Why the token is not for this server; None if it is."""
    if service in claims.audience:
        return None
    seen = ", ".join(shown(one) for one in claims.audience[:5]) or "nobody"
    return Refusal(
        Reason.AUDIENCE,
        f'the token is for "{seen}", this server is "{service}" (auth.options.service)',
        {"audience_seen": seen, "audience_wanted": service},
    )


def not_before_refusal(claims: Claims, now: float, leeway: int) -> Refusal | None:
    """Why it is too early for the token; None if it is not."""
    if claims.not_before is None or now >= claims.not_before - leeway:
        return None
    seconds = int(claims.not_before - now)
    text = f"the token is valid in {seconds} seconds only; compare the clocks of token service and server"
    return Refusal(Reason.NOT_YET_VALID, text, {"seconds": seconds, "leeway": leeway})


def expiry_refusal(claims: Claims, now: float, leeway: int) -> Refusal | None:
    """Why it is too late for the token; None if it is not."""
    if now <= claims.expires + leeway:
        return None
    seconds = int(now - claims.expires)
    text = "the token has no end (exp)" if claims.expires == 0 else f"the token ended {seconds} seconds ago"
    return Refusal(Reason.EXPIRED, text, {"seconds": seconds, "leeway": leeway})


def _text(members: dict[str, Any], name: str) -> str:
    value = members.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _WrongTypeError(name)
    return value


def _seconds(members: dict[str, Any], name: str) -> int | None:
    value = members.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) > MAX_SECONDS:
        raise _WrongTypeError(name)
    return value


def _audience(value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    if isinstance(value, str):
        return (value,)
    return _texts(value, "aud")


def _grants(access: object) -> Grants:
    grants: dict[tuple[str, str], frozenset[str]] = {}
    if access is None:
        return grants
    if not isinstance(access, list):
        raise _WrongTypeError("access")
    for entry in access:
        if not isinstance(entry, dict):
            raise _WrongTypeError("access")
        resource = _text(entry, "type"), _text(entry, "name")
        actions = entry.get("actions")
        granted = frozenset(() if actions is None else _texts(actions, "access"))
        grants[resource] = grants.get(resource, frozenset()) | granted
    return grants


def _texts(value: object, name: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise _WrongTypeError(name)
    return tuple(value)
