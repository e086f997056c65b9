"""Files exactly as Notary's clients write them, read in one pass; most files are.

Decoding such a file into its known members and spelling these again gives back the very same bytes. That proves at
once what `tree` and `shape` look at one by one: no member is unknown, missing, doubled or spelled in another case,
no text is ambiguous, and what is signed stands there in its canonical form already. Whatever differs by one byte is
left to them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

import msgspec

from .model import Signature
from .names import ROOT, SNAPSHOT, TIMESTAMP, RoleName
from .shape import Common, Delegations, MetaBody, RootBody

DEPTH: Final = 6
"""Nested JSON values in the deepest file that is read here."""

PREFIX: Final = b'{"signed":'
"""What stands before the message in such a file."""

_ENCODER: Final = msgspec.json.Encoder(order="sorted")
_LONG_NUMBER: Final = re.compile(rb":-?\d{16}")
"""A number that may lie beyond `canonical.MAX_INTEGER`, which has 16 digits; all numbers here are members of objects."""


class Digests(msgspec.Struct, frozen=True, gc=False):
    """The hashes that clients give."""

    sha256: bytes
    sha512: bytes


class Listed(msgspec.Struct, frozen=True, gc=False):
    """A target as clients list it. Half as expensive as `FileMeta`, and there may be thousands."""

    hashes: Digests
    length: int


class PlainTargets(Common, frozen=True, kw_only=True):
    """`signed` of targets without custom data."""

    targets: dict[str, Listed]
    delegations: Delegations


Body = TypeVar("Body", bound=Common)


class _File(msgspec.Struct, Generic[Body], frozen=True):
    signed: Body
    signatures: tuple[Signature, ...]


@dataclass(frozen=True, slots=True)
class Written(Generic[Body]):
    """A file's typed members, and `message`: the canonical form of `signed`, as it stands in the file."""

    signed: Body
    signatures: tuple[Signature, ...]
    message: bytes


class _Reader(Generic[Body]):
    """Reads the files of those roles whose `signed` is a `Body`."""

    def __init__(self, body: type[Body]) -> None:
        self._decoder = msgspec.json.Decoder(_File[body])  # type: ignore[valid-type]

    def read(self, data: bytes) -> Written[Body] | None:
        """The file, None if it is written in any other way."""
        if b"\\" in data or _LONG_NUMBER.search(data):
            return None
        try:
            file = self._decoder.decode(data)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            return None
        message = _ENCODER.encode(file.signed)
        if PREFIX + message + b',"signatures":' + _ENCODER.encode(file.signatures) + b"}" != data:
            return None
        return Written(file.signed, file.signatures, message)


_ROOT: Final = _Reader(RootBody)
_TARGETS: Final = _Reader(PlainTargets)
_META: Final = _Reader(MetaBody)


def read(role: RoleName, data: bytes) -> Written[RootBody] | Written[PlainTargets] | Written[MetaBody] | None:
    """The file of that role, None if it is written in any other way than Notary's clients do."""
    if role == ROOT:
        return _ROOT.read(data)
    return _META.read(data) if role in {SNAPSHOT, TIMESTAMP} else _TARGETS.read(data)
