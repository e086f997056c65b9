"""Tables on a terminal."""

from __future__ import annotations

from collections.abc import Sequence


def printable(text: str) -> str:
    """`text` from outside: nothing in it may steer a terminal."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def columns(rows: Sequence[Sequence[str]]) -> str:
    """The rows, the first of which has the headings, in columns."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
