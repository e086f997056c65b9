"""`notary-signer keys import | export` at the prompt: what is refused before any key is moved, and what is written where."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from click.testing import Result

from notary_common import migrate
from notary_common.database import open_database, parse_url
from notary_signer.takeover.target import OldTable

from .test_keys_commands import Prompt, prompt
from .test_takeover_keys import PASSPHRASE, new, sealed

__all__ = ["prompt"]


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """An old signer's database with a key, beside the file that names it."""
    target = parse_url("sqlite3", "old.db", tmp_path)
    migrate.upgrade(target, "signer", lambda _: None)

    async def fill() -> None:
        database = open_database(target)
        await OldTable(database).add([sealed(new())])
        await database.close()

    asyncio.run(fill())
    document = {"storage": {"backend": "sqlite3", "db_url": "old.db", "default_alias": "alias1"}}
    (tmp_path / "old.json").write_text(json.dumps(document))
    (tmp_path / "passphrase").write_bytes(PASSPHRASE + b"\n")
    (tmp_path / "passphrase").chmod(0o600)
    return tmp_path


def imported(prompt: Prompt, old: Path, *words: str) -> Result:
    """`keys import` from that database."""
    return prompt.run("import", "--from-config", str(old / "old.json"), *words)


def test_keys_come_over_with_the_passphrase_in_a_file(prompt: Prompt, old: Path) -> None:
    """The report is for people, and for programs in a file that nobody else reads; the passphrase is in neither."""
    report = old / "report.json"
    words = ("--passphrase-file", str(old / "passphrase"), "--report", str(report))
    done = imported(prompt, old, *words)
    assert done.exit_code == 0, done.output
    assert done.stdout == "keys: 1 imported, 0 present, 0 skipped, 0 refused\n"
    assert report.stat().st_mode & 0o777 == 0o600
    assert json.loads(report.read_text())["keys"][0]["outcome"] == "imported"
    again = imported(prompt, old, *words)
    assert again.stdout == "keys: 0 imported, 1 present, 0 skipped, 0 refused\n"
    assert PASSPHRASE.decode() not in done.output + again.output + report.read_text()


def test_the_passphrase_comes_from_the_environment_as_before(
    prompt: Prompt, old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under the name by which the old signer finds it."""
    monkeypatch.setenv("NOTARY_SIGNER_ALIAS1", PASSPHRASE.decode())
    assert imported(prompt, old).exit_code == 0


def test_without_the_passphrase_the_report_says_which(prompt: Prompt, old: Path) -> None:
    """The status is 1, and the sentence names the variable."""
    refused = imported(prompt, old)
    assert refused.exit_code == 1
    assert "NOTARY_SIGNER_ALIAS1" in refused.stdout


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "say where the old signer's database is"),
        (("--from-config", "a", "--from-database", "b"), "say where the old signer's database is"),
        (("--from-config", "nowhere.json"), "nowhere.json"),
        (("--from-database", "mysql://u:secret@h/d"), "of no kind that Notary used"),
        (("--from-database", "postgres://u:secret@h:port/d"), "--from-database"),
    ],
)
def test_an_old_database_that_is_not_said(prompt: Prompt, words: tuple[str, ...], sentence: str) -> None:
    """Nothing of an address is repeated."""
    refused = prompt.run("import", *words)
    assert refused.exit_code == 1
    assert sentence in refused.stderr
    assert "secret" not in refused.output


def test_a_passphrase_file_that_others_may_change(prompt: Prompt, old: Path) -> None:
    """It is refused, with the remedy."""
    (old / "passphrase").chmod(0o622)
    refused = imported(prompt, old, "--passphrase-file", str(old / "passphrase"))
    assert refused.exit_code == 1
    assert "chmod 600" in refused.stderr


def test_the_registry_is_not_the_old_database(prompt: Prompt, old: Path) -> None:
    """The source stays as it is."""
    (old / "old.json").write_text(json.dumps({"storage": {"backend": "sqlite3", "db_url": "signer.db"}}))
    refused = imported(prompt, old)
    assert refused.exit_code == 1
    assert "a new database" in refused.stderr


def exported(prompt: Prompt, old: Path, *words: str, answer: str | None = None) -> Result:
    """`keys export` to that database."""
    where = ("--to-config", str(old / "old.json"), "--alias", "alias1")
    return prompt.run("export", *where, "--passphrase-file", str(old / "passphrase"), *words, answer=answer)


def test_keys_leave_only_where_that_is_allowed(prompt: Prompt, old: Path) -> None:
    """By the configuration, and by whoever is asked."""
    refused = exported(prompt, old, "--yes")
    assert refused.exit_code == 1
    assert "pkcs11.allow_export is false" in refused.stderr
    document = json.loads(prompt.config.read_text())
    document["pkcs11"]["allow_export"] = True
    prompt.config.write_text(json.dumps(document))
    declined = exported(prompt, old, answer="n\n")
    assert declined.exit_code == 1
    assert "nothing was changed" in declined.stderr


def test_keys_do_not_leave_under_a_passphrase_that_everybody_knows(prompt: Prompt, old: Path) -> None:
    """The old signer can have another alias for it."""
    document = json.loads(prompt.config.read_text())
    document["pkcs11"]["allow_export"] = True
    prompt.config.write_text(json.dumps(document))
    (old / "passphrase").write_text("defaultalias\n")
    refused = exported(prompt, old, "--yes")
    assert refused.exit_code == 1
    assert "everybody knows" in refused.stderr
