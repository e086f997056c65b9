"""`notary-server repo verify | prune` at the prompt: what is refused, what is shown, and with which status."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from notary_common import migrate
from notary_common.database import parse_url
from notary_server.cli import main

pytestmark = pytest.mark.usefixtures("logging_restored")


def run(*words: str) -> Result:
    """`notary-server repo` with `words`."""
    return CliRunner().invoke(main, ["repo", *words], prog_name="notary-server")


@pytest.fixture
def config(tmp_path: Path) -> str:
    """A server over an empty SQLite database."""
    migrate.upgrade(parse_url("sqlite3", "new.db", tmp_path), "server", lambda _: None)
    path = tmp_path / "server.json"
    path.write_text(
        json.dumps(
            {
                "server": {"http_addr": ":4443"},
                "trust_service": {"type": "local"},
                "storage": {"backend": "sqlite3", "db_url": "new.db"},
            }
        )
    )
    return str(path)


def test_nothing_is_stored(config: str) -> None:
    """All of nothing is fine."""
    verified = run("verify", "--all", "--config", config)
    assert (verified.exit_code, verified.stdout) == (
        0,
        "0 repositories, 0 files, 0 bytes\nnothing needs attention\n",
    )
    pruned = run("prune", "--all", "--dry-run", "--json", "--config", config)
    assert pruned.exit_code == 0
    assert json.loads(pruned.stdout) == {
        "dry_run": True,
        "repositories": 0,
        "rows": 0,
        "bytes": 0,
        "torn": [],
    }


@pytest.mark.parametrize("command", ["verify", "prune"])
def test_one_or_all(config: str, command: str) -> None:
    """Neither and both are wrong use; a name of which nothing is stored is said to be so."""
    assert run(command, "--config", config).exit_code == 2
    assert run(command, "a/b", "--all", "--config", config).exit_code == 2
    unknown = run(command, "a/b", "--config", config)
    assert (unknown.exit_code, "repo list" in unknown.stderr) == (1, True)


@pytest.mark.parametrize("days", ["0d", "30", "-1d", "1h", ""])
def test_a_grace_period_that_is_none(config: str, days: str) -> None:
    """At least a day, and in days."""
    assert run("prune", "--all", "--older-than", days, "--config", config).exit_code == 2
