"""Parts of documents that are made from the code: they stand between two comments."""

from __future__ import annotations

from collections.abc import Callable, Iterable


def between(name: str, text: str) -> str:
    """What stands between `<!-- NAME -->` and the next `<!-- end -->`, each on a line of its own."""
    return _parts(name, text)[1]


def replaced(text: str, names: Iterable[str], make: Callable[[str], str]) -> str:
    """`text` with each of these parts as `make` has it."""
    for name in names:
        before, _, after = _parts(name, text)
        text = before + make(name) + after
    return text


def _parts(name: str, text: str) -> tuple[str, str, str]:
    begin, end = f"<!-- {name} -->\n", "\n<!-- end -->"
    start = text.index(begin) + len(begin)
    stop = text.index(end, start)
    return text[:start], text[start:stop], text[stop:]
