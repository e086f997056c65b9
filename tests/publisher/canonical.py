"""Notary's canonical JSON (what is signed) and its travelling form (what is sent), from plain Python values.

Notary behaviour: docs/reference/protocol.md, 4.
"""

from __future__ import annotations

from typing import Any

_GO_ESCAPES = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def _write(value: Any, out: list[str], escapes: dict[str, str]) -> None:
    if value is None:
        out.append("null")
    elif isinstance(value, bool):
        out.append("true" if value else "false")
    elif isinstance(value, int):
        out.append(str(value))
    elif isinstance(value, str):
        text = value.replace("\\", "\\\\").replace('"', '\\"')
        for raw, escaped in escapes.items():
            text = text.replace(raw, escaped)
        out.append(f'"{text}"')
    elif isinstance(value, list | tuple):
        out.append("[")
        for index, item in enumerate(value):
            out.append("," if index else "")
            _write(item, out, escapes)
        out.append("]")
    elif isinstance(value, dict):
        out.append("{")
        for index, name in enumerate(sorted(value, key=lambda name: name.encode())):
            out.append("," if index else "")
            _write(name, out, escapes)
            out.append(":")
            _write(value[name], out, escapes)
        out.append("}")
    else:
        raise TypeError(f"canonical JSON has no {type(value).__name__}")


def canonical(value: Any) -> bytes:
    """The bytes that a signature or a key ID is made over.

    Raises:
        TypeError: a value (a float, for one) has no canonical form.
    """
    out: list[str] = []
    _write(value, out, {})
    return "".join(out).encode()


def travelling(value: Any) -> bytes:
    """The canonical form with the five escapes that Go's JSON encoder adds for browsers."""
    out: list[str] = []
    _write(value, out, _GO_ESCAPES)
    return "".join(out).encode()
