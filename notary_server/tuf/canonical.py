"""Docker's Go canonical JSON, and the travelling form of files (docs/reference/protocol.md, 4)."""

from __future__ import annotations

import re
from typing import Final

import msgspec

MAX_INTEGER: Final = 2**53
"""The largest magnitude of a number that every reader sees alike: Go reads numbers as 64-bit floats to verify."""

_ENCODER: Final = msgspec.json.Encoder(order="sorted")
_CONTROL: Final = re.compile(rb"[\x00-\x1f]")
_ENCODED_ESCAPE: Final = re.compile(rb"\\(?:u00([01][0-9a-f])|(.))")
_SHORT_ESCAPES: Final = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t"}
_ESCAPED: Final = re.compile(r'["\\]')
_SPELLED: Final = (
    (b"<", b"\\u003c"),
    (b">", b"\\u003e"),
    (b"&", b"\\u0026"),
    ("\u2028".encode(), b"\\u2028"),
    ("\u2029".encode(), b"\\u2029"),
)


def encode(value: object) -> bytes:
    """The canonical form of a JSON value: None, bool, int, float, str, list or dict with str keys.

    A float of whole value is spelled as that integer, which is what Go makes of every number it verifies.

    Raises:
        ValueError: a number that canonical JSON cannot carry (a fraction, or beyond `MAX_INTEGER`), a lone
            surrogate, or nesting beyond what the interpreter can follow.
        TypeError: something that is no JSON value.
    """
    pieces: list[str] = []
    try:
        _append(value, pieces)
    except RecursionError:
        raise ValueError("the value is nested too deeply") from None
    return "".join(pieces).encode()


def encode_plain(value: object) -> bytes:
    """As `encode`, many times faster, for a value whose numbers are known to be integers up to `MAX_INTEGER`.

    The C encoder differs from the canonical form in numbers, which the caller has looked at, and in that it
    escapes control characters.
    """
    encoded = _ENCODER.encode(value)
    return _ENCODED_ESCAPE.sub(_unescape, encoded) if b"\\" in encoded else encoded


def travelling(canonical: bytes) -> bytes:
    """How Go's encoder spells canonical bytes on the wire: `<`, `>`, `&`, U+2028 and U+2029 escaped.

    Raises:
        ValueError: a control character, which Go's encoder cannot express.
    """
    if _CONTROL.search(canonical):
        raise ValueError("a control character cannot travel")
    for character, escape in _SPELLED:
        canonical = canonical.replace(character, escape)
    return canonical


def _unescape(escape: re.Match[bytes]) -> bytes:
    """A control character for its escape; an escaped quote or backslash stays as it is."""
    if escape[1] is not None:
        return bytes([int(escape[1], 16)])
    return _SHORT_ESCAPES.get(escape[2], escape[0])


def _append(value: object, pieces: list[str]) -> None:
    match value:
        case str():
            pieces.append(_string(value))
        case None | True | False:
            pieces.append({None: "null", True: "true", False: "false"}[value])
        case int() | float():
            pieces.append(_integer(value))
        case list():
            separator = "["
            for element in value:
                pieces.append(separator)
                _append(element, pieces)
                separator = ","
            pieces.append("]" if value else "[]")
        case dict():
            separator = "{"
            # The order of code points is the order of their UTF-8 bytes.
            for name in sorted(value):
                pieces.extend((separator, _string(name), ":"))
                _append(value[name], pieces)
                separator = ","
            pieces.append("}" if value else "{}")
        case _:
            raise TypeError(f"{type(value).__name__} is no JSON value")


def _string(text: str) -> str:
    return '"' + _ESCAPED.sub(r"\\\g<0>", text) + '"'


def _integer(number: float) -> str:
    # The comparison also turns away what is no number at all (NaN) and the infinities.
    if not -MAX_INTEGER <= number <= MAX_INTEGER or number != int(number):
        raise ValueError("a number is fractional or too large to be signed")
    return str(int(number))
