"""`notary-signer keys` at the prompt, over a registry in SQLite and, where it is needed, a real token."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
from click.testing import CliRunner, Result
from sqlalchemy.ext.asyncio import AsyncEngine

from notary_common.database import open_database, parse_url
from notary_common.database.engine import EngineDatabase
from notary_common.migrate import upgrade_engine
from notary_signer.cli import main
from notary_signer.registry.schema import private_keys
from notary_signer.registry.sql_registry import SqlRegistry
from notary_signer.token.hardware import HardwareToken
from tests.support.softhsm import SoftHsm

from .test_catalogue import FOREIGN, LONG_AGO, age
from .test_registry import new_key

T = TypeVar("T")


@dataclass
class Prompt:
    """A configuration, and what a test does with its registry."""

    folder: Path
    config: Path

    def run(self, *words: str, answer: str | None = None) -> Result:
        """`notary-signer keys` with `words`."""
        return CliRunner().invoke(
            main, ["keys", *words, "--config", str(self.config)], prog_name="notary-signer", input=answer
        )

    def json(self, *words: str) -> Any:
        """What it writes as JSON."""
        result = self.run(*words, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    def work(self, work: Callable[[SqlRegistry, AsyncEngine], Awaitable[T]]) -> T:
        """Do something with the registry."""

        async def opened() -> T:
            database = open_database(parse_url("sqlite3", "signer.db", self.folder))
            assert isinstance(database, EngineDatabase)
            await upgrade_engine(database.engine, "signer", lambda _: None)
            try:
                return await work(SqlRegistry(database, lambda _: None), database.engine)
            finally:
                await database.close()

        return asyncio.run(opened())


@pytest.fixture
def prompt(tmp_path: Path, hsm: SoftHsm) -> Prompt:
    """With a pending, an active and a foreign key in the registry."""
    config = tmp_path / "signer-config.json"
    document = {
        "server": {"http_addr": "unix://signer.sock"},
        "storage": {"backend": "sqlite3", "db_url": "signer.db"},
        "pkcs11": {"token_label": hsm.label, "pin_file": str(hsm.pin_file)},
        "logging": {"level": "error"},
    }
    config.write_text(json.dumps(document))
    made = Prompt(tmp_path, config)

    async def fill(registry: SqlRegistry, engine: AsyncEngine) -> None:
        await registry.add_unless_unused(new_key(1), "reg/one", "timestamp")
        await registry.add_unless_unused(new_key(2), "reg/two\x1b[31m", "snapshot")
        await registry.note_version(new_key(2).key_id, 12)
        async with engine.begin() as connection:
            await connection.execute(private_keys.insert().values(FOREIGN))

    made.work(fill)
    return made


PENDING, ACTIVE, ALIEN = new_key(1).key_id, new_key(2).key_id, str(FOREIGN["key_id"])


def test_keys_are_listed_and_shown(prompt: Prompt) -> None:
    """All of them, or by prefix, state and role; names cannot steer the terminal."""
    listed = prompt.json("list")
    assert [(key["key_id"], key["state"]) for key in listed] == [
        (PENDING, "pending"), (ACTIVE, "active"), (ALIEN, "foreign"),
    ]  # fmt: skip
    assert [key["key_id"] for key in prompt.json("list", "--gun-prefix", "reg/t")] == [ACTIVE]
    assert [key["key_id"] for key in prompt.json("list", "--role", "timestamp", "--state", "pending")] == [
        PENDING
    ]
    text = prompt.run("list").output
    assert "\x1b" not in text
    assert len(text.splitlines()) == 4
    assert prompt.run("list", "--gun-prefix", "nobody").output == "no such keys\n"
    shown = prompt.json("show", ACTIVE[:10])
    assert (shown["key_id"], shown["highest_version"], shown["kek_label"]) == (ACTIVE, 12, "kek")
    assert datetime.fromisoformat(shown["activated_at"]) > datetime.now(UTC) - timedelta(hours=1)
    text = prompt.run("show", ACTIVE[:10]).output
    assert "highest version signed: 12\n" in text
    assert "wrapped under kek (AES256-KWP)" in text
    assert "another" not in text
    assert "this signer cannot use it" in prompt.run("show", ALIEN[:10]).output


@pytest.mark.parametrize(
    ("key_id", "said"),
    [("xyz", "is no key ID"), ("abc", "give at least four"), ("0" * 12, "holds no key 000000000000")],
)
def test_a_key_that_is_not_meant_clearly_is_refused(prompt: Prompt, key_id: str, said: str) -> None:
    """No key ID, too short, unknown."""
    result = prompt.run("show", key_id)
    assert result.exit_code == 1
    assert said in result.stderr


def test_an_ambiguous_key_id_is_answered_with_the_candidates(prompt: Prompt) -> None:
    """Nothing is done to either."""

    async def twins(_: SqlRegistry, engine: AsyncEngine) -> None:
        async with engine.begin() as connection:
            await connection.execute(
                private_keys.insert().values(FOREIGN | {"key_id": PENDING[:20] + "0" * 44})
            )

    prompt.work(twins)
    result = prompt.run("retire", PENDING[:20], "--yes")
    assert result.exit_code == 1
    assert f"2 keys begin with {PENDING[:20]}; give more digits" in result.stderr
    assert PENDING in result.stderr
    assert prompt.json("show", PENDING)["state"] == "pending"


def test_retiring_and_destroying_ask_first(prompt: Prompt) -> None:
    """No answer, no: nothing is changed. Twice is once. Foreign keys are left alone. Each act is in the audit log."""
    for answer, said in ((None, "say --yes"), ("n\n", "nothing was changed")):
        result = prompt.run("retire", ACTIVE, answer=answer)
        assert result.exit_code == 1
        assert said in result.stderr
    assert prompt.json("show", ACTIVE)["state"] == "active"
    done = prompt.run("retire", ACTIVE[:12], answer="y\n")
    assert done.exit_code == 0, done.output
    assert f"key {ACTIVE} is retired" in done.stdout
    assert "was retired already" in prompt.run("retire", ACTIVE).stdout
    for words in (("retire", ALIEN, "--yes"), ("destroy", ALIEN, "--yes")):
        assert "is foreign" in prompt.run(*words).stderr
    early = prompt.run("destroy", ACTIVE, "--yes")
    assert early.exit_code == 1
    assert "it can be destroyed from" in early.stderr
    assert "only a retired one" in prompt.run("destroy", PENDING, "--yes").stderr
    prompt.work(lambda _, engine: age(engine, ACTIVE, deleted_at=LONG_AGO))
    assert "say --yes" in prompt.run("destroy", ACTIVE).stderr
    assert f"key {ACTIVE} is destroyed" in prompt.run("destroy", ACTIVE, "--yes").stdout
    assert "destroyed already" in prompt.run("destroy", ACTIVE, "--yes").stdout
    assert prompt.json("show", ACTIVE)["state"] == "destroyed"


def test_every_act_is_in_the_audit_log(prompt: Prompt) -> None:
    """Begun before, done after, by whom."""
    document = json.loads(prompt.config.read_text())
    prompt.config.write_text(json.dumps(document | {"audit": {"file": "audit.jsonl"}}))
    assert prompt.run("retire", ACTIVE, "--yes").exit_code == 0
    lines = (prompt.folder / "audit.operator.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    assert [(entry["action"], entry["outcome"], entry["key_id"]) for entry in records] == [
        ("retire_key", "begun", ACTIVE), ("retire_key", "done", ACTIVE),
    ]  # fmt: skip
    assert all(entry["actor"].startswith("operator:") for entry in records)


def test_unused_keys_are_collected(prompt: Prompt) -> None:
    """`--dry-run` only lists them."""
    assert "0 keys were collected" in prompt.run("collect").stdout
    prompt.work(lambda _, engine: age(engine, PENDING, updated_at=LONG_AGO))
    told = prompt.run("collect", "--dry-run").stdout
    assert PENDING in told
    assert "1 keys would be collected" in told
    assert prompt.json("show", PENDING)["state"] == "pending"
    assert "1 keys were collected" in prompt.run("collect").stdout
    assert prompt.json("show", PENDING)["state"] == "destroyed"


def test_rewrapping(prompt: Prompt, hsm: SoftHsm, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted, done, and what could not be moved shown with status 1; the old KEK stays until nothing needs it."""
    monkeypatch.setattr("notary_signer.rewrap.SETTLING", 0.0)

    async def real(registry: SqlRegistry, _: AsyncEngine) -> None:
        token = HardwareToken(hsm.settings(), on_event=print)
        await token.open()
        await registry.add_unless_unused(await token.generate("ecdsa", "x"), "real", "timestamp")
        await token.close()

    prompt.work(real)
    assert prompt.json("rewrap", "--new-kek", "--dry-run") == {
        "kek": "notary-kek-2", "kek_would_be_made": True, "would_be_moved": 3,
    }  # fmt: skip
    unknown = prompt.run("rewrap", "--to", "notary-kek-2")
    assert unknown.exit_code == 1
    assert "import 'notary-kek-2' first" in unknown.stderr
    # The other two were never made by a token.
    failing = prompt.run("rewrap", "--new-kek", "--json")
    assert failing.exit_code == 1
    summary = json.loads(failing.stdout)
    assert (summary["moved"], set(summary["failed"])) == (1, {PENDING, ACTIVE})
    assert f"{PENDING} was not moved: " in prompt.run("rewrap").stdout
    assert prompt.json("list", "--gun-prefix", "real")[0]["kek_label"] == "notary-kek-2"
    # They are wrapped under a KEK that the token never had, and so hold no other back.
    assert "say --yes" in prompt.run("rewrap", "--destroy-old-kek").stderr
    gone = prompt.run("rewrap", "--destroy-old-kek", "--yes")
    assert (gone.exit_code, gone.stdout) == (0, "destroyed: notary-kek-1\n"), gone.output
    assert "nothing to destroy" in prompt.run("rewrap", "--destroy-old-kek").stdout
    wrong = prompt.run("rewrap", "--destroy-old-kek", "--dry-run")
    assert wrong.exit_code == 1
    assert "goes with neither" in wrong.stderr
    assert "leave --to out" in prompt.run("rewrap", "--new-kek", "--to", "notary-kek-3").stderr


def test_an_unfit_configuration_is_refused_with_every_problem(prompt: Prompt) -> None:
    """As for the daemon."""
    document = json.loads(prompt.config.read_text())
    prompt.config.write_text(json.dumps(document | {"limits": {"pending_key_days": 3}, "pkcs11": {}}))
    result = prompt.run("list")
    assert result.exit_code == 1
    assert "limits.pending_key_days: is 3; write a whole number from 7 to 3650" in result.stderr
    assert "pkcs11.pin_file" in result.stderr
