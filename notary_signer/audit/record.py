"""PURE: one record of the audit log, its line of text, and the hash that chains it to the record before.

A line is one JSON object in ASCII whose last member is `hash`: the SHA-256, in hexadecimal, of the line without that
member. `previous` is the hash of the record before, so that whoever changes a record must change all that follow.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Final, Literal

import msgspec

from notary_signer.ports import AuditEvent, AuditOutcome

SIGNER: Final = "signer"
"""The actor of what the signer itself has to say."""
MAX_TEXT: Final = 255
"""Characters of any text in a record: a refused request may name a repository as long as a request can be."""

_HASH_OPENS: Final = b',"hash":"'
_HASH_CLOSES: Final = b'"}'
_TAIL: Final = len(_HASH_OPENS) + 64 + len(_HASH_CLOSES)
_HASH: Final = re.compile(rb"[0-9a-f]{64}")


class NotARecord(ValueError):
    """A line that no signer wrote so; the text goes on from "the line"."""


@dataclass(frozen=True, slots=True)
class Head:
    """The end of a chain: the number and the hash of its last record."""

    sequence: int
    hash: str

    def __str__(self) -> str:
        return f"{self.sequence}:{self.hash}"


START: Final = Head(0, "0" * 64)
"""What the first record of a chain follows."""


@dataclass(frozen=True, slots=True)
class Record:
    """One line, ready to be written.

    Attributes:
        head: the end of the chain once it is written.
        line: ASCII, without an end of line.
    """

    head: Head
    line: bytes


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a line says, without its hash."""

    format: Literal[1]
    writer: str
    sequence: int
    time: str
    actor: str
    action: str
    outcome: AuditOutcome
    request_id: str
    reason: str
    gun: str
    role: str
    key_id: str
    version: int | None
    payload_sha256: str
    previous: str


def link(writer: str, head: Head, event: AuditEvent, moment: datetime) -> Record:
    """The record of `event` that follows `head` in the chain of `writer`; `moment` is in UTC."""
    said = {
        name: _bounded(value) if isinstance(value, str) else value for name, value in asdict(event).items()
    }
    members = {
        "format": 1,
        "writer": writer,
        "sequence": head.sequence + 1,
        "time": moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        **said,
        "previous": head.hash,
    }
    body = json.dumps(members, separators=(",", ":")).encode("ascii")
    digest = hashlib.sha256(body).hexdigest()
    line = body[:-1] + _HASH_OPENS + digest.encode("ascii") + _HASH_CLOSES
    return Record(Head(head.sequence + 1, digest), line)


def parse(line: bytes) -> tuple[Entry, Head]:
    """What a line says, and the end of the chain after it.

    Raises:
        NotARecord: it is no record, or its hash is not that of its content.
    """
    tail = line[-_TAIL:]
    digest = tail[len(_HASH_OPENS) : -len(_HASH_CLOSES)]
    if not (
        tail.startswith(_HASH_OPENS) and tail.endswith(_HASH_CLOSES) and _HASH.fullmatch(digest) is not None
    ):
        raise NotARecord("is not a record")
    body = line[:-_TAIL] + b"}"
    if hashlib.sha256(body).hexdigest().encode("ascii") != digest:
        raise NotARecord("was altered: its hash is not that of its content")
    try:
        entry = msgspec.json.decode(body, type=Entry)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise NotARecord("is not a record") from None
    return entry, Head(entry.sequence, digest.decode("ascii"))


def resume(found: Head, noted: Head | None) -> tuple[Head, AuditEvent | None]:
    """Where a chain goes on, and what must be said there first.

    The numbers of records that were lost are never given again, so the gap stays visible for good.

    Args:
        found: the end of the chain as its store has it.
        noted: the end as it was noted elsewhere, if at all.
    """
    if noted is None or noted.sequence < found.sequence or noted == found:
        return found, None
    if noted.sequence == found.sequence:
        return found, _about_end(f"record {found.sequence} is not the one that was noted: {noted}")
    return noted, _about_end(f"the chain ended with {found}, but {noted} was noted: its end is lost")


def _about_end(reason: str) -> AuditEvent:
    return AuditEvent(SIGNER, "audit_end_differs", "done", reason=reason)


def _bounded(text: str) -> str:
    short = text if len(text) <= MAX_TEXT else text[:MAX_TEXT] + "..."
    # A lone surrogate could be written as an escape, and no reader would take it.
    return short if short.isascii() else short.encode("utf-8", "replace").decode("utf-8")
