"""Every claim of the threat model names a test that exists, or says that it has none; likewise the tables of faults and of
TUF 1.0's scenarios."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs/THREAT_MODEL.md"
FAULTS = ROOT / "docs/operations/signers.md"
SCENARIOS = ROOT / "docs/reference/tuf-1.0-scenarios.md"
MAX_UNTESTED = 4
"""Claims without a test: few, or the document is wishful thinking."""

_NAMED = re.compile(r"`(tests/[\w/]+\.py)::([\w:]+)`")


def names(path: Path) -> set[str]:
    """The tests of a file: functions, and methods behind the name of their class."""
    found: set[str] = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.ClassDef):
            methods = [
                inner.name for inner in node.body if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef)
            ]
            found.update(f"{node.name}::{method}" for method in methods)
    return found


@pytest.mark.parametrize(("document", "at_least"), [(DOCUMENT, 30), (FAULTS, 20), (SCENARIOS, 20)])
def test_every_test_that_is_named_exists(document: Path, at_least: int) -> None:
    """A renamed or removed test takes its claim with it."""
    named = _NAMED.findall(document.read_text())
    assert len(named) > at_least
    missing = [
        f"{file}::{name}"
        for file, name in named
        if not (ROOT / file).is_file() or name not in names(ROOT / file)
    ]
    assert not missing


def test_every_row_has_a_test_and_few_claims_have_none() -> None:
    """A row of a table names at least one test; what has none says so in its sentence."""
    text = DOCUMENT.read_text()
    rows = [
        line
        for line in text.splitlines()
        if line.startswith("| ") and not line.startswith(("| Claim", "| ---"))
    ]
    assert rows
    assert [row for row in rows if not _NAMED.search(row)] == []
    assert text.count("(no test)") <= MAX_UNTESTED
