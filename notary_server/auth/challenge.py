"""The challenge of a refusal: where a token can be had, and what it must grant (RFC 6750, 3; RFC 7235, 2.1)."""

from __future__ import annotations

import re
from typing import Final

from .token.grants import Required

_HOST: Final = re.compile(r"(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?", re.ASCII)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


def challenge(realm: str, service: str, need: Required, error: str | None) -> str:
    """The value of `WWW-Authenticate`.

    One header with realm, service and scope together: an admission controller takes no other.

    Args:
        error: `invalid_token` or `insufficient_scope`; None where no usable token came.
    """
    text = f"Bearer realm={_quoted(realm)},service={_quoted(service)},scope={_quoted(need.scope)}"
    return text if error is None else f"{text},error={_quoted(error)}"


def redirected_realm(host: str | None) -> str | None:
    """The token service beside this server, under the name that the client used; None if that is no name."""
    if host is None or _HOST.fullmatch(host) is None:
        return None
    return f"https://{host}/auth/token"


def _quoted(text: str) -> str:
    # A repository's name may hold what would end the header; no token service is asked for such names in earnest.
    safe = _CONTROL.sub(lambda found: f"%{ord(found[0]):02X}", text)
    return '"' + safe.replace("\\", "\\\\").replace('"', '\\"') + '"'
