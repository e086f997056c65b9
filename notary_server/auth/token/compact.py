"""A token in compact form taken apart: three base64url parts, two of them JSON objects; bounded, read in one way only."""

from __future__ import annotations

import json
import re
from base64 import urlsafe_b64decode
from binascii import Error as Base64Error
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from .refusal import Reason, Refusal

MAX_DEPTH: Final = 16
"""Nested JSON values in a header or in claims. Registry tokens have four; other issuers add a few of their own."""

_PART: Final = re.compile(r"([A-Za-z0-9_-]*)={0,2}")


@dataclass(frozen=True, slots=True)
class Parts:
    """A token that is nothing but well-formed. Nobody vouches for what it says.

    Attributes:
        signed: the bytes that the signature is over.
    """

    header: dict[str, Any]
    claims: dict[str, Any]
    signed: bytes
    signature: bytes


class _MalformedError(Exception):
    """The text says what is wrong, without the token."""


def take_apart(token: str, max_bytes: int) -> Parts | Refusal:
    """Read a token; never raises.

    Args:
        max_bytes: a longer token is not looked at.
    """
    if len(token) > max_bytes:
        text = f"the token has {len(token)} bytes, more than the {max_bytes} of auth.max_token_bytes"
        return Refusal(Reason.TOO_LARGE, text, {"bytes": len(token), "max_bytes": max_bytes})
    pieces = token.split(".")
    if len(pieces) != 3:
        return Refusal(
            Reason.MALFORMED, f"a token has three parts with a dot between them, this has {len(pieces)}"
        )
    try:
        header, claims = _object(pieces[0], "header"), _object(pieces[1], "claims")
        signature = _decoded(pieces[2], "signature")
    except _MalformedError as error:
        return Refusal(Reason.MALFORMED, str(error))
    return Parts(header, claims, f"{pieces[0]}.{pieces[1]}".encode("ascii"), signature)


def _decoded(piece: str, name: str) -> bytes:
    found = _PART.fullmatch(piece)
    if found is None or len(found[1]) % 4 == 1:
        raise _MalformedError(f"the {name} is not base64url")
    try:
        return urlsafe_b64decode(found[1] + "=" * (-len(found[1]) % 4))
    except Base64Error:  # pragma: no cover - the pattern leaves nothing to complain of
        raise _MalformedError(f"the {name} is not base64url") from None


def _object(piece: str, name: str) -> dict[str, Any]:
    data = _decoded(piece, name)
    try:
        value = json.loads(data.decode(), object_pairs_hook=_once, parse_constant=_no_constant)
        too_deep = _deeper_than(value, MAX_DEPTH)
    except RecursionError:
        too_deep = True
    except _MalformedError as error:
        raise _MalformedError(f"the {name} {error}") from None
    except ValueError:
        raise _MalformedError(f"the {name} is not JSON in UTF-8") from None
    if too_deep:
        raise _MalformedError(f"the {name} is nested more than {MAX_DEPTH} levels deep")
    if not isinstance(value, dict):
        raise _MalformedError(f"the {name} is no JSON object")
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # Of a member given twice, readers take either: what was checked must be what is meant.
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _MalformedError("gives a member twice")
    return found


def _no_constant(_: str) -> NoReturn:
    raise ValueError


def _deeper_than(value: object, limit: int) -> bool:
    level = [value]
    for _ in range(limit):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True
