"""Every numbered flaw has a case, and the suite is as large as it is meant to be."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

import pytest

from . import test_flaws_in_time
from .case import Case

HERE = Path(__file__).parent
LEFT_OUT = {21}
"""A null in a token's access list: tokens are not part of the server yet."""
CASES_AT_LEAST = 700
REFUSALS_AT_LEAST = 400


def cases() -> list[Case]:
    """All cases of all tables."""
    found: dict[int, Case] = {}
    for path in HERE.glob("test_*.py"):
        module: Any = importlib.import_module(f"{__package__}.{path.stem}")
        for value in vars(module).values():
            for item in value if isinstance(value, list) else []:
                if isinstance(item, Case):
                    found[id(item)] = item
    return list(found.values())


@pytest.mark.differential
def test_every_flaw_has_a_case() -> None:
    """All 39 flaws but the one about tokens are demonstrated and answered soundly."""
    shown = {case.flaw for case in cases()} - {None}
    text = test_flaws_in_time.__doc__ or ""
    in_time = {int(number) for number in re.findall(r"\d+", text)}
    assert shown | in_time == set(range(1, 40)) - LEFT_OUT


@pytest.mark.differential
def test_the_tables_are_large_and_most_cases_are_refusals() -> None:
    """A table that shrinks by accident is noticed."""
    listed = cases()
    assert len(listed) >= CASES_AT_LEAST
    assert sum(case.answer.status >= 400 for case in listed) >= REFUSALS_AT_LEAST
