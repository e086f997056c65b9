"""PEM text (RFC 7468) and the certificates in it, read as Go's clients read them."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from . import spki

MAX_TEXT: Final = 65_536
"""Bytes of PEM text that are looked at. A certificate takes two thousand; longer text holds nothing for us."""

_BEGIN: Final = re.compile(rb"^-----BEGIN ([^\r\n]*?)-----[ \t]*\r?$", re.MULTILINE)
_HEADER: Final = re.compile(rb"^[^\r\n:]+:[^\r\n]*$")
_LINE: Final = 64
"""Characters of base64 in a line that is written."""


@dataclass(frozen=True, slots=True)
class Block:
    """One PEM block: what is between its lines, and what its first line calls it."""

    label: bytes
    der: bytes


def blocks(text: bytes) -> list[Block]:
    """All well-formed blocks, in order; text around them and malformed blocks are skipped."""
    return list(_blocks(text)) if len(text) <= MAX_TEXT else []


def dump(der: bytes) -> bytes:
    """A certificate as PEM: lines of 64 characters, ended by LF."""
    encoded = base64.b64encode(der)
    lines = [encoded[start : start + _LINE] for start in range(0, len(encoded), _LINE)]
    return b"\n".join([b"-----BEGIN CERTIFICATE-----", *lines, b"-----END CERTIFICATE-----", b""])


def certificate(der: bytes) -> x509.Certificate | None:
    """The certificate, None if it is none or its key is of a kind that Notary knows no way to verify with."""
    try:
        parsed = x509.load_der_x509_certificate(der)
        key = parsed.public_key()
        is_sound = spki.is_usable(key) and spki.dump(key) in parsed.tbs_certificate_bytes
        list(parsed.subject)
        list(parsed.extensions)
    except (ValueError, UnsupportedAlgorithm, x509.DuplicateExtension):
        return None
    return parsed if is_sound else None


def first_certificate_key(text: bytes) -> spki.BareKey | None:
    """The key of the certificate in the first block, None if that is none."""
    found = blocks(text)
    parsed = certificate(found[0].der) if found else None
    return None if parsed is None else certificate_key(parsed)


def certificate_key(parsed: x509.Certificate) -> spki.BareKey:
    """The key of a certificate that `certificate` returned."""
    key = parsed.public_key()
    if not spki.is_usable(key):
        raise TypeError("the certificate was not read by this module")
    return key


def _blocks(text: bytes) -> Iterator[Block]:
    position = 0
    while (begin := _BEGIN.search(text, position)) is not None:
        end = text.find(b"\n-----END ", begin.end())
        if end < 0:
            return
        last_line, _, _ = text[end + len(b"\n-----END ") :].partition(b"\n")
        position = end + 1
        der = _decode(text[begin.end() : end])
        if last_line.rstrip(b" \t\r") == begin[1] + b"-----" and der is not None:
            yield Block(begin[1], der)


def _decode(body: bytes) -> bytes | None:
    """The bytes of a block's body; header lines before an empty line are skipped."""
    lines = body.split(b"\n")
    while lines and (not lines[0].strip() or _HEADER.match(lines[0])):
        del lines[0]
    try:
        return base64.b64decode(b"".join(b"".join(lines).split()), validate=True)
    except ValueError:
        return None
