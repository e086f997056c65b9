"""PURE: a token in the form that the registry and the trust server read (docs/reference/protocol.md, 16)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from joserfc import jwt

from .keys import TokenKey
from .scopes import Scope


def signed_token(
    key: TokenKey,
    *,
    issuer: str,
    service: str,
    subject: str,
    granted: Iterable[Scope],
    now: datetime,
    lifetime: int,
    token_id: str,
) -> str:
    """A token that says who asks and what is granted.

    Args:
        service: the audience, one word: Notary's own server takes no list.
        lifetime: seconds.
    """
    issued = int(now.timestamp())
    claims = {
        "iss": issuer,
        "sub": subject,
        "aud": service,
        "iat": issued,
        "nbf": issued,
        "exp": issued + lifetime,
        "jti": token_id,
        "access": [_entry(scope) for scope in granted],
    }
    return jwt.encode(key.header, claims, key.jose, algorithms=["ES256"])


def _entry(scope: Scope) -> dict[str, Any]:
    part = {"class": scope.part} if scope.part else {}
    return {"type": scope.kind, **part, "name": scope.name, "actions": sorted(scope.actions)}
