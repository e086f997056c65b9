"""What docs/ quotes of our answers is what the code says: the messages of troubleshooting.md, the codes of errors.md."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from notary_server import errors
from notary_server.errors import NotaryError

PROJECT = Path(__file__).parents[3]
_ROW = re.compile(r"^\| (?P<messages>.+?) \| (?P<by>server|client) \| ", re.MULTILINE)
_PLACEHOLDER = r"\.\.\.|\b[A-Z]{2,}\b|\b[0-9]\b"
"""What stands for names and numbers in a message."""
_NEVER_SENT = {"SignerRefused", "KeyGone", "VersionPassed", "HeadMoved", "NotaryError"}
"""These have no code of their own: what is left of them is UNKNOWN."""


def _texts() -> str:
    """Every text of the server and of what it shares with the signer, as it is after adjacent ones are joined."""
    found: list[str] = []
    for folder in ("notary_server", "notary_common"):
        for path in (PROJECT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found.append(node.value)
    return "\n".join(found)


def _quoted(by: str) -> list[str]:
    page = (PROJECT / "docs" / "troubleshooting.md").read_text()
    rows = [row["messages"] for row in _ROW.finditer(page) if row["by"] == by]
    return [message for row in rows for message in re.findall(r"`([^`]+)`", row)]


@pytest.mark.parametrize("message", _quoted("server"))
def test_a_message_of_ours_is_in_the_code(message: str) -> None:
    """Apart from the placeholders."""
    texts = _texts()
    parts = [part.strip() for part in re.split(_PLACEHOLDER, message)]
    assert any(len(part) > 12 for part in parts), message
    for part in parts:
        assert part in texts, part


@pytest.mark.parametrize("message", _quoted("client"))
def test_a_message_of_a_client_was_seen(message: str) -> None:
    """Some test with a real client reads it on the screen, or the page says where it comes from."""
    seen = "".join(path.read_text() for path in (PROJECT / "tests").rglob("test_*.py"))
    longest = max(re.split(_PLACEHOLDER, message), key=len).strip()
    assert longest in seen, longest


def test_both_kinds_are_quoted() -> None:
    """The page is read at all."""
    assert len(_quoted("server")) >= 4
    assert len(_quoted("client")) >= 5


def test_every_code_is_explained_with_its_status() -> None:
    """errors.md has a row for the code and status of every error that the server answers with, and no other code."""
    page = (PROJECT / "docs" / "reference" / "errors.md").read_text()
    rows = re.findall(r"^\| ([A-Z_]+) \| (\d{3})", page, re.MULTILINE)
    answered = {
        (kind.code, str(kind.status))
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, NotaryError) and kind.__name__ not in _NEVER_SENT
    } | {("UNKNOWN", "500")}
    assert answered <= set(rows)
    assert {code for code, _ in rows} == {code for code, _ in answered}
