"""Metadata files exactly as the original client spells them, with a hook at every step (docs/reference/protocol.md, 4, 8)."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
from collections.abc import Callable, Sequence
from typing import Any

from .canonical import canonical, travelling
from .keys import Key

Signed = dict[str, Any]
Edit = Callable[[dict[str, Any]], Any]
Spell = Callable[[bytes], bytes]

LIFETIME_DAYS = {"root": 3650, "targets": 1095, "snapshot": 1095, "timestamp": 14}


def expires_in(days: float) -> str:
    """An expiry so many days from now, with a fraction as Go writes one."""
    moment = dt.datetime.now(dt.UTC) + dt.timedelta(days=days)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond:06d}789Z"


def entry(data: bytes, **more: Any) -> dict[str, Any]:
    """A file entry for `data`: `sha256`, `sha512` and `length`; `more` members are added or replaced."""
    digests = {name: hashlib.new(name, data).digest() for name in ("sha256", "sha512")}
    hashed = {name: base64.b64encode(digest).decode() for name, digest in digests.items()}
    return {"hashes": hashed, "length": len(data)} | more


def envelope(signed: Any, signatures: Sequence[Any]) -> bytes:
    """`{"signed":...,"signatures":[...]}` in the travelling form."""
    parts = [
        b'{"keyid":'
        + travelling(one["keyid"])
        + b',"method":'
        + travelling(one["method"])
        + b',"sig":'
        + travelling(one["sig"])
        + b"}"
        for one in signatures
    ]
    return b'{"signed":' + travelling(signed) + b',"signatures":[' + b",".join(parts) + b"]}"


def file_of(
    signed: Any,
    keys: Sequence[Key],
    *,
    method: str | None = None,
    sign_over: Callable[[bytes], bytes] | None = None,
    signatures: Callable[[list[dict[str, str]]], Sequence[Any]] | None = None,
    spell: Spell | None = None,
) -> bytes:
    """Sign and spell a file.

    Args:
        method: used for every signature, instead of each key's own.
        sign_over: maps the canonical bytes to what is really signed.
        signatures: maps the list of signatures to the one that is sent.
        spell: maps the finished file to the bytes that are sent.
    """
    message = canonical(signed)
    if sign_over:
        message = sign_over(message)
    made: Sequence[Any] = [key.signature(message, method) for key in keys]
    if signatures:
        made = signatures(list(made))
    data = envelope(signed, made)
    return spell(data) if spell else data


def signed_file(signed: Signed, keys: Sequence[Key], edit: Edit | None = None, **knobs: Any) -> bytes:
    """Like `file_of`, after `edit` has changed `signed` in place (or returned something else to sign)."""
    if edit:
        replaced = edit(signed)
        signed = signed if replaced is None else replaced
    return file_of(signed, keys, **knobs)
