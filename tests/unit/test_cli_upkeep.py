"""`notary-server repo verify | prune` at the prompt: what is refused, what is shown, and with which status."""

from __future__ import annotations

import json

import pytest

from .repo_prompt import config, run

__all__ = ["config"]

pytestmark = pytest.mark.usefixtures("logging_restored")


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
