"""What an operator sees of the keys in the registry."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from notary_common.table import columns, printable

from .ports import KeyEntry

_SHORT = 12
"""Digits of a key ID that people need to tell a few apart, and that commands take."""


def entry_as_json(entry: KeyEntry) -> dict[str, Any]:
    """One key; times as ISO 8601 in UTC."""
    return {
        name: _instant(value) if isinstance(value, datetime) else value
        for name, value in asdict(entry).items()
    }


def list_as_text(entries: Sequence[KeyEntry]) -> str:
    """A table, a line for each key."""
    if not entries:
        return "no such keys"
    table = [["KEY", "STATE", "ROLE", "ALGORITHM", "VERSION", "CREATED", "LAST USED", "REPOSITORY"]]
    for entry in entries:
        table.append(
            [
                printable(entry.key_id[:_SHORT]),
                entry.state,
                printable(entry.role),
                printable(entry.algorithm),
                _version(entry),
                _day(entry.created_at),
                _day(entry.last_used),
                printable(entry.gun),
            ]
        )
    return columns(table)


def entry_as_text(entry: KeyEntry) -> str:
    """All there is to say of one key, a line for each thing."""
    lines = {
        "key": printable(entry.key_id),
        "repository": printable(entry.gun),
        "role": printable(entry.role),
        "algorithm": printable(entry.algorithm),
        "state": entry.state,
        "kept": _kept(entry),
        "highest version signed": _version(entry),
        "created": _time(entry.created_at),
        "activated": _activated(entry),
        "last used": _time(entry.last_used),
        "retired": _time(entry.retired_at),
        "destroyed": _time(entry.destroyed_at),
    }
    width = max(map(len, lines)) + 1
    return "\n".join(f"{name + ':':<{width}} {value}" for name, value in lines.items())


def _kept(entry: KeyEntry) -> str:
    if entry.keeping is None:
        return "by Notary's own signer, under a pass phrase; this signer cannot use it"
    if entry.state == "destroyed":
        return "no more: the private half is gone"
    if entry.keeping == "resident":
        return "in the token"
    return f"wrapped under {printable(entry.kek_label)} ({printable(entry.keywrap)})"


def _version(entry: KeyEntry) -> str:
    if entry.highest_version is not None:
        return str(entry.highest_version)
    return "-" if entry.last_used is None else "unknown"


def _activated(entry: KeyEntry) -> str:
    if entry.activated_at is None and entry.last_used is not None:
        return "before this was noted"
    return _time(entry.activated_at)


def _instant(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _time(moment: datetime | None) -> str:
    return "-" if moment is None else _instant(moment)


def _day(moment: datetime | None) -> str:
    return "-" if moment is None else moment.strftime("%Y-%m-%d")
