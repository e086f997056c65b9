"""Percent escapes in database addresses. No error text repeats the address: it may hold a password."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import parse_qsl, unquote

from .errors import DatabaseUrlError

_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")


def decode(text: str, what: str) -> str:
    """`text` with its escapes undone; `what` names the part for the error.

    Raises:
        DatabaseUrlError: a bad escape, or not UTF-8.
    """
    if _BAD_ESCAPE.search(text):
        raise DatabaseUrlError(f"storage.db_url: the {what} holds a '%' that begins no escape; write %25")
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise DatabaseUrlError(f"storage.db_url: the {what} is not UTF-8") from None


def parameters(query: str) -> list[tuple[str, str]]:
    """What follows the question mark of an address, in order.

    Raises:
        DatabaseUrlError: a bad escape.
    """
    if _BAD_ESCAPE.search(query):
        raise DatabaseUrlError("storage.db_url: a parameter holds a '%' that begins no escape; write %25")
    return parse_qsl(query, keep_blank_values=True)
