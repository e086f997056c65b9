"""Findings counted, and a few of each kind kept to be shown: a hundred thousand of them take no more room than ten."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from notary_common.table import printable

from .examine import WEIGHTS, Finding, Weight

SHOWN: Final = 10
"""Repositories of one kind that are named for people; JSON has all."""

_HEADINGS: Final[Mapping[Weight, str]] = {
    "broken": "Broken",
    "owner": "For their owners to do",
    "note": "Good to know",
}


@dataclass(slots=True)
class _Kind:
    count: int = 0
    first: list[Finding] = field(default_factory=list)


@dataclass(slots=True)
class Tally:
    """Counts per weight and kind."""

    _kinds: dict[tuple[Weight, str], _Kind] = field(default_factory=dict)

    def add(self, finding: Finding) -> None:
        """Count it, and keep it if it is one of the first of its kind."""
        kind = self._kinds.setdefault((finding.weight, finding.kind), _Kind())
        kind.count += 1
        if len(kind.first) < SHOWN:
            kind.first.append(finding)

    def count(self, *weights: Weight) -> int:
        """How many there are of these weights."""
        return sum(kind.count for (weight, _), kind in self._kinds.items() if weight in weights)

    def as_lines(self) -> list[str]:
        """For people: by weight and kind, after an empty line each."""
        lines: list[str] = []
        for weight in WEIGHTS:
            chosen = {name: kind for (of, name), kind in self._kinds.items() if of == weight}
            if chosen:
                lines += ["", f"{_HEADINGS[weight]}:"]
            for name, kind in chosen.items():
                lines += [
                    f"  {printable(one.gun or 'database')}: {printable(one.text)}" for one in kind.first
                ]
                if kind.count > SHOWN:
                    lines.append(f"  and {kind.count - SHOWN} more of the kind {name!r}; --json names all")
        return lines or ["nothing needs attention"]


def as_json(finding: Finding) -> dict[str, object]:
    """For programs."""
    return {"gun": finding.gun, "weight": finding.weight, "kind": finding.kind, "text": finding.text}
