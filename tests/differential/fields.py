"""Every member of a file, one after the other, replaced by raw JSON and signed as it stands."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from typing import Any

from tests.publisher import Key, Publisher, canonical
from tests.publisher.files import envelope

A, AB = "targets/a", "targets/a/b"
Path = tuple[str | int, ...]
_HOLE = "a hole for raw text"


def places(value: Any, path: Path = ()) -> Iterator[Path]:
    """The path of every member and item inside `value`."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in inside:
        yield (*path, name)
        yield from places(item, (*path, name))


def holed(value: Any, path: Path) -> Any:
    """`value` with a hole at `path`."""
    made = copy.deepcopy(value)
    inner = made
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = _HOLE
    return made


def filled(data: bytes, raw: bytes) -> bytes:
    """Raw text in place of the hole."""
    return data.replace(canonical(_HOLE), raw)


def signed_with(document: Mapping[str, Any], keys: list[Key], raw: bytes) -> bytes:
    """A file whose `signed` has a hole, filled, and signed over the text that is sent."""
    message = filled(canonical(document), raw)
    return filled(envelope(document, [key.signature(message) for key in keys]), raw)


def second_version(pub: Publisher) -> dict[str, bytes]:
    """A good second upload of every role; the client's snapshot, if it signs one, lists all of it."""
    files = {
        "root": pub.root(2),
        "targets": pub.targets(2, delegates=[A]),
        A: pub.delegation(A, 2, delegates=[AB]),
    }
    if pub.snapshot_keys:
        files["snapshot"] = pub.snapshot(files, 2)
    return files


def signed_of(pub: Publisher, files: Mapping[str, bytes], role: str) -> tuple[dict[str, Any], list[Key]]:
    """`signed` of one of the files, and the keys that sign it."""
    keys = {"root": pub.root_keys, "snapshot": pub.snapshot_keys}
    return json.loads(files[role])["signed"], keys.get(role) or pub.keys_of(role)
