"""Bytes to a JSON value that every reader reads alike, or a refusal.

Go, Python and others disagree about duplicate members, invalid UTF-8, lone surrogates and byte-order marks
(RFC 8259, 4 and 8; RFC 7493, 2): a document with any of these is refused. Two ways lead to the same value: a
fast one for what is spelled without detours, as the clients in the field do, and an exact one for the rest.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

import msgspec

from .canonical import MAX_INTEGER

_DECODER: Final = msgspec.json.Decoder()
_ENCODER: Final = msgspec.json.Encoder()
_WHITESPACE: Final = " \t\n\r"
_LONGEST_INTEGER: Final = 20
"""Characters of an integer of 64 bits, sign included. Python's conversion of longer ones takes quadratic time."""


class TreeError(Exception):
    """The bytes do not begin with a JSON value that all readers agree about; the text is for people."""


class AmbiguousError(TreeError):
    """They begin with a JSON value, but readers disagree about what it says."""


@dataclass(frozen=True, slots=True)
class Tree:
    """The first JSON value of some bytes.

    Attributes:
        value: None, bool, int, float, str, list or dict. An integer beyond 64 bits is an infinite float.
        complete: nothing but white space follows the value.
        plain: every number is an integer between -2**53 and 2**53.
    """

    value: object
    complete: bool
    plain: bool


def load(data: bytes, max_depth: int) -> Tree:
    """Read the first JSON value of `data`.

    Raises:
        TreeError: no JSON value, or one nested deeper than `max_depth`.
        AmbiguousError: one that readers disagree about.
    """
    try:
        value, complete = _fast(data)
        if not complete:
            value, complete = _exact(data)
        return Tree(value, complete, _survey(value, max_depth))
    except RecursionError:
        raise TreeError("it is nested too deeply") from None


def _fast(data: bytes) -> tuple[object, bool]:
    """The value and True, if `data` is one JSON value without white space and without needless escapes.

    Spelling the value again gives back `data` only if no member was lost.
    """
    try:
        value = _DECODER.decode(data)
        return value, _ENCODER.encode(value) == data
    except (msgspec.MsgspecError, UnicodeError):
        return None, False


def _exact(data: bytes) -> tuple[object, bool]:
    text, whole = _text(data)
    start = len(text) - len(text.lstrip(_WHITESPACE))
    try:
        value, end = _JSON.raw_decode(text, start)
    except ValueError as error:
        if not whole and _begins_with_json(data.decode(errors="replace")):
            raise AmbiguousError("it is not UTF-8") from None
        raise TreeError("it is not JSON" if isinstance(error, json.JSONDecodeError) else str(error)) from None
    if "\\u" in text:
        _refuse_surrogates(value)
    return value, whole and not text[end:].strip(_WHITESPACE)


def _begins_with_json(text: str) -> bool:
    try:
        _JSON.raw_decode(text, len(text) - len(text.lstrip(_WHITESPACE)))
    except ValueError:
        return False
    return True


def _text(data: bytes) -> tuple[str, bool]:
    """`data` as text up to the first byte that is not UTF-8, and whether that is all of it."""
    try:
        return data.decode(), True
    except UnicodeDecodeError as error:
        return data[: error.start].decode(), False


def _members(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise AmbiguousError("an object has two members of one name")
    return members


def _constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= _LONGEST_INTEGER else float("inf")


_JSON: Final = json.JSONDecoder(object_pairs_hook=_members, parse_constant=_constant, parse_int=_integer)


def _refuse_surrogates(value: object) -> None:
    try:
        _ENCODER.encode(value)
    except UnicodeError:
        raise AmbiguousError("a string holds half a surrogate pair") from None


def _survey(value: object, max_depth: int) -> bool:
    """Whether all numbers are plain, level by level, with as little Python per value as possible."""
    plain = True
    depth = 0
    level: list[Any] = [value]
    while level:
        types = set(map(type, level))
        if float in types or (int in types and not _all_small(v for v in level if type(v) is int)):
            plain = False
        containers = [v for v in level if type(v) is dict or type(v) is list] if types & {dict, list} else []
        if containers:
            depth += 1
            if depth > max_depth:
                raise TreeError(f"it is nested more than {max_depth} levels deep")
        level = list(chain.from_iterable(v.values() if type(v) is dict else v for v in containers))
    return plain


def _all_small(numbers: Iterable[int]) -> bool:
    ordered = sorted(numbers)
    return ordered[0] >= -MAX_INTEGER and ordered[-1] <= MAX_INTEGER
