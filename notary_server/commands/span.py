"""Spans of time as the commands take them."""

from __future__ import annotations

import re
from typing import Any

import click

_SPAN = re.compile(r"([0-9]{1,5})([dy])")
_DAYS = {"d": 1, "y": 365}


class Span(click.ParamType[int]):
    """Days or years, `90d` or `3y`; in days."""

    name = "span"

    def __init__(self, at_least: int = 0) -> None:
        """`at_least`: the fewest days that make sense."""
        self._at_least = at_least

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number of days."""
        found = _SPAN.fullmatch(value)
        days = int(found[1]) * _DAYS[found[2]] if found is not None else -1
        if days < self._at_least:
            bound = f", at least {self._at_least}d" if self._at_least else ""
            self.fail(f"{value!r}: write days or years{bound}, such as 30d or 3y", param, ctx)
        return days
