"""`notary-server repo export | import | renew` at the prompt: what is refused, what is shown, and with which status."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from .repo_prompt import config, run

__all__ = ["config"]

pytestmark = pytest.mark.usefixtures("logging_restored")


def test_nothing_is_stored(config: str, tmp_path: Path) -> None:
    """All of nothing is an archive, which can be imported."""
    path = str(tmp_path / "all.tar")
    exported = run("export", "--all", "--output", path, "--json", "--config", config)
    nothing = {"dry_run": False, "repositories": 0, "files": 0, "bytes": 0, "left_out": [], "unsound": []}
    assert (exported.exit_code, json.loads(exported.stdout)) == (0, nothing)
    imported = run("import", path, "--json", "--config", config)
    assert (imported.exit_code, json.loads(imported.stdout)) == (
        0,
        {"dry_run": False, "repositories": [], "signer_not_asked": None},
    )
    assert run("import", path, "--dry-run", "--config", config).stdout == (
        "repositories: 0 imported, 0 current, 0 refused; 0 files with 0 bytes would be stored\n"
    )
    assert run("renew", "--all", "--config", config).stdout == "0 repositories were renewed\n"


def test_wrong_use(config: str, tmp_path: Path) -> None:
    """Neither one nor all, both, a prefix of one, no file; a name of which nothing is stored."""
    to = ("--output", str(tmp_path / "a.tar"), "--config", config)
    assert run("export", *to).exit_code == 2
    assert run("export", "a/b", "--all", *to).exit_code == 2
    assert run("export", "a/b", "--prefix", "a", *to).exit_code == 2
    assert run("export", "--all", "--config", config).exit_code == 2
    assert run("import", "--config", config).exit_code == 2
    assert run("import", str(tmp_path / "none.tar"), "--config", config).exit_code == 2
    for words in (("export", "a/b", *to), ("renew", "a/b", "--config", config)):
        unknown = run(*words)
        assert (unknown.exit_code, "repo list" in unknown.stderr) == (1, True)
    assert not (tmp_path / "a.tar").exists()


def test_what_is_no_archive(config: str, tmp_path: Path) -> None:
    """The file and the member are named."""
    path = tmp_path / "some.tar"
    path.write_bytes(os.urandom(4096))
    refused = run("import", str(path), "--config", config)
    assert refused.exit_code == 1
    assert f"{path} is refused: notary-archive.json: " in refused.stderr


def test_a_file_that_cannot_be_written(config: str, tmp_path: Path) -> None:
    """It is there already, or its folder is not."""
    path = tmp_path / "all.tar"
    path.write_bytes(b"precious")
    there = run("export", "--all", "--output", str(path), "--config", config)
    assert (there.exit_code, "exists already" in there.stderr) == (1, True)
    assert path.read_bytes() == b"precious"
    nowhere = run("export", "--all", "--output", str(tmp_path / "none" / "all.tar"), "--config", config)
    assert (nowhere.exit_code, "cannot be written" in nowhere.stderr) == (1, True)
