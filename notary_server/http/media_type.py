"""`Content-Type` and `Content-Disposition` values, read as Go's mime package reads them (RFC 2045, RFC 2231)."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote_to_bytes

_TOKEN: Final = re.compile(r"[!#$%&'*+\-.0-9A-Z^_`a-z{|}~]+")
_SPACE: Final = " \t\n\v\f\r\x85\xa0"
_SPECIALS: Final = frozenset('()<>@,;:\\"/[]?=')
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")


class BadMediaType(Exception):
    """The value cannot be read."""


def parse_media_type(value: str) -> tuple[str, dict[str, str]]:
    """The type (or disposition) in lower case, and the parameters by lower-case name.

    Raises:
        BadMediaType: no type, a malformed parameter, or one given twice.
    """
    base, _, _ = value.partition(";")
    kind = base.strip(_SPACE).lower()
    tokens = kind.split("/")
    if len(tokens) > 2 or not all(_TOKEN.fullmatch(token) for token in tokens):
        raise BadMediaType
    return kind, _merge_pieces(_parameters(value[len(base) :]))


def _parameters(rest: str) -> dict[str, str]:
    found: dict[str, str] = {}
    while rest := rest.lstrip(_SPACE):
        if rest.strip(_SPACE) == ";":
            break
        name, value, rest = _parameter(rest)
        if name in found:
            raise BadMediaType
        found[name] = value
    return found


def _parameter(text: str) -> tuple[str, str, str]:
    """Name, value and what follows of `; name=value`."""
    if not text.startswith(";"):
        raise BadMediaType
    text = text[1:].lstrip(_SPACE)
    token = _TOKEN.match(text)
    if token is None:
        raise BadMediaType
    text = text[token.end() :].lstrip(_SPACE)
    if not text.startswith("="):
        raise BadMediaType
    text = text[1:].lstrip(_SPACE)
    if text.startswith('"'):
        value, rest = _quoted(text)
    else:
        bare = _TOKEN.match(text)
        if bare is None:
            raise BadMediaType
        value, rest = bare[0], text[bare.end() :]
    return token[0].lower(), value, rest


def _quoted(text: str) -> tuple[str, str]:
    """The content of a quoted string and what follows it. A backslash escapes only special characters,
    so that paths of old Windows browsers survive."""
    content: list[str] = []
    place = 1
    while place < len(text):
        character = text[place]
        if character == '"':
            return "".join(content), text[place + 1 :]
        if character == "\\" and text[place + 1 : place + 2] in _SPECIALS:
            place += 1
            character = text[place]
        elif character in "\r\n":
            break
        content.append(character)
        place += 1
    raise BadMediaType


def _merge_pieces(found: dict[str, str]) -> dict[str, str]:
    """Join `name*0`, `name*1*` ... and decode `name*` (RFC 2231); these win over a plain `name`."""
    merged = {name: value for name, value in found.items() if "*" not in name}
    for name in dict.fromkeys(key.partition("*")[0] for key in found if "*" in key):
        if f"{name}*" in found:
            whole = _decode_extended(found[f"{name}*"])
            if whole is not None:
                merged[name] = whole
            continue
        pieces: list[str] = []
        while True:
            plain, extended = f"{name}*{len(pieces)}", f"{name}*{len(pieces)}*"
            if plain in found:
                pieces.append(found[plain])
            elif extended in found:
                text = found[extended]
                pieces.append((_unescape(text) if pieces else _decode_extended(text)) or "")
            else:
                break
        if pieces:
            merged[name] = "".join(pieces)
    return merged


def _decode_extended(value: str) -> str | None:
    charset, _, rest = value.partition("'")
    language, mark, text = rest.partition("'")
    del language
    if not mark or charset.lower() not in {"us-ascii", "utf-8"}:
        return None
    return _unescape(text)


def _unescape(text: str) -> str | None:
    if _BAD_ESCAPE.search(text):
        return None
    return unquote_to_bytes(text.encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape")
