"""The token of a request's header."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol, runtime_checkable

from .token.refusal import Reason, Refusal

FIELD: Final = "authorization"


@runtime_checkable
class _ManyFields(Protocol):
    """A header that may have several fields of one name, as aiohttp's."""

    def getall(self, key: str, default: list[str]) -> list[str]:
        """All values of a name."""


def bearer_token(headers: Mapping[str, str]) -> str | Refusal:
    """The one token that came, or why none can be taken: scheme `Bearer` in any case, one space, the token."""
    # A plain mapping never lost a field: whoever read it refuses headers that name one twice.
    several = headers.getall(FIELD, []) if isinstance(headers, _ManyFields) else []
    if len(several) > 1:
        return Refusal(Reason.SEVERAL_CREDENTIALS, f"the request has {len(several)} Authorization headers")
    value = headers.get(FIELD)
    if value is None:
        return Refusal(Reason.NO_TOKEN, "the request has no Authorization header")
    scheme, _, token = value.partition(" ")
    if scheme.lower() != "bearer" or not token or " " in token:
        return Refusal(Reason.NO_TOKEN, 'the Authorization header is not "Bearer", one space and one token')
    return token
