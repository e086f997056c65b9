"""Ways to bend `signed` before it is signed, by path."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from tests.publisher import Edit

Path = str | tuple[str | int, ...]


def _walk(signed: Any, path: Path) -> tuple[Any, Any]:
    steps = tuple(path.split(".")) if isinstance(path, str) else path
    for step in steps[:-1]:
        signed = signed[step]
    return signed, steps[-1]


def put(path: Path, value: Any) -> Edit:
    """Set a member, given by dotted path or tuple."""

    def edit(signed: dict[str, Any]) -> None:
        holder, last = _walk(signed, path)
        holder[last] = copy.deepcopy(value)

    return edit


def change(path: Path, by: Callable[[Any], Any]) -> Edit:
    """Replace a member by a function of itself."""

    def edit(signed: dict[str, Any]) -> None:
        holder, last = _walk(signed, path)
        holder[last] = by(holder[last])

    return edit


def drop(path: Path) -> Edit:
    """Remove a member."""

    def edit(signed: dict[str, Any]) -> None:
        holder, last = _walk(signed, path)
        del holder[last]

    return edit


def all_of(*edits: Edit) -> Edit:
    """One edit after the other."""

    def edit(signed: dict[str, Any]) -> None:
        for one in edits:
            one(signed)

    return edit


def swap(old: bytes, new: bytes, count: int = 1) -> Callable[[bytes], bytes]:
    """Spell a finished file differently: replace `old`, which must occur, by `new`."""

    def spell(data: bytes) -> bytes:
        assert old in data, f"{old!r} is not in the file"
        return data.replace(old, new, count)

    return spell
