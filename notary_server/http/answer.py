"""What a handler gives back, and how a JSON body is spelled."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import Final

TEXT: Final = "text/plain; charset=utf-8"
JSON: Final = "application/json; charset=utf-8"

_ESCAPES: Final = str.maketrans(
    {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
    | {chr(code): "\ufffd" for code in range(0xD800, 0xE000)}
)


@dataclass(frozen=True, slots=True)
class Answer:
    """A finished answer. Its body is sent whole, with its length, never compressed; but for a stream.

    Attributes:
        content_type: None where there is no body to describe.
        close: whether the connection must end with this answer.
        stream: instead of a body, what is sent piece by piece as long as both sides want; empty pieces are not.
    """

    status: int = 200
    body: bytes = b""
    content_type: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    close: bool = False
    stream: AsyncGenerator[bytes] | None = None


def spell_json(value: object) -> bytes:
    """JSON without white space as Go spells it: UTF-8, with `<`, `>`, `&`, U+2028 and U+2029 escaped.

    What is not UTF-8 arrives here as lone surrogates and becomes U+FFFD.
    """
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.translate(_ESCAPES).encode()
