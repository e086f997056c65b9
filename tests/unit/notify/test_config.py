"""The section `notifications`: what is taken, and what each mistake is told as."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from notary_server.config import ServerConfig, inspect

GOOD: dict[str, Any] = {"name": "ci", "url": "https://ci.example.org/hook", "secret_file": "secret"}


def read(folder: Path, *webhooks: Any) -> tuple[ServerConfig, list[str]]:
    """The draft, and the problems that are about webhooks."""
    secret = folder / "secret"
    secret.write_text("whsec_" + "QUJD" * 10)
    secret.chmod(0o600)
    path = folder / "server-config.json"
    path.write_text(json.dumps({"notifications": {"webhooks": list(webhooks)}}))
    reading = inspect(path, {})
    return reading.draft, [str(one) for one in reading.problems if one.key.startswith("notifications")]


def test_a_webhook_with_all_its_keys(tmp_path: Path) -> None:
    """And one with those that are needed."""
    whole = {**GOOD, "events": ["deleted"], "gun_prefixes": ["example.org/"], "timeout": 3}
    draft, problems = read(tmp_path, whole, {**GOOD, "name": "two", "url": "http://localhost:1/x"})
    assert problems == []
    first, second = draft.notifications.webhooks
    assert (first.events, first.gun_prefixes, first.timeout) == (("deleted",), ("example.org/",), 3.0)
    assert (second.events, second.gun_prefixes) == (("published", "deleted", "keys-rotated", "expiring"), ())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"url": "http://ci.example.org/hook"}, "entry 1, url: is plain http to another machine"),
        ({"url": "ftp://ci.example.org"}, 'entry 1, url: is "ftp://ci.example.org"; write https://host/path'),
        ({"url": "https://user:pass@ci.example.org"}, "write https://host/path"),
        ({"url": None}, "entry 1, url:"),
        ({"name": None}, "entry 1, name:"),
        ({"name": "x" * 65}, "has a name of more than 64 characters"),
        ({"secret_file": "missing"}, "entry 1, secret_file:"),
        ({"secret_file": "server-config.json"}, "holds no secret"),
        ({"events": ["publish"]}, 'entry 1, events: "publish" is not known; choose among published, deleted'),
        ({"events": []}, "entry 1, events:"),
        ({"timeout": 600}, "entry 1, timeout:"),
        ({"retries": 3}, "entry 1, retries:"),
    ],
)
def test_a_mistake_is_named_with_its_place(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    """The entry, the key, and what to write."""
    (problem,) = read(tmp_path, GOOD | changes)[1]
    assert said in problem
    assert "pass@" not in problem


def test_two_of_one_name_and_no_objects(tmp_path: Path) -> None:
    """How far a webhook has come is kept under its name."""
    assert "has one name twice" in read(tmp_path, GOOD, GOOD)[1][0]
    assert "entry 1 is a string; write an object with name, url and secret_file" in read(tmp_path, "x")[1][0]
