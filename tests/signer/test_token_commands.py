"""`notary-signer token` as an operator uses it: check, a second signer, custodians, another PIN."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from pkcs11 import TokenFlag

from notary_common.database import open_database, parse_url
from notary_common.migrate import upgrade
from notary_signer import encoding
from notary_signer.cli import main
from notary_signer.ports import NewKey
from notary_signer.registry.sql_registry import SqlRegistry
from notary_signer.token import initialise, login
from notary_signer.token.keeper import Keeper
from notary_signer.token.native import Native
from notary_signer.token.settings import TokenSettings
from tests.support import nss, softhsm
from tests.support.softhsm import SoftHsm

MESSAGE = b"a message"


class Machine:
    """A signer's machine: its token store, its PIN file, its configuration."""

    def __init__(self, hsm: SoftHsm, monkeypatch: pytest.MonkeyPatch) -> None:
        self.hsm = hsm
        self._monkeypatch = monkeypatch
        self.config = hsm.directory / "signer.json"
        self.configure()

    def configure(self, **pkcs11: Any) -> None:
        """Write the configuration, with more in its section `pkcs11`."""
        document = {
            "server": {"http_addr": "unix://signer.sock"},
            "storage": {"backend": "sqlite3", "db_url": "signer.db"},
            "pkcs11": {"token_label": self.hsm.label, "pin_file": str(self.hsm.pin_file), **pkcs11},
        }
        self.config.write_text(json.dumps(document))

    def audit(self, file: str) -> list[tuple[str, str]]:
        """What the commands' audit log holds, as action and outcome, once it is configured to be `file`."""
        lines = (self.hsm.directory / file).read_text()
        assert softhsm.PIN not in lines
        records = [json.loads(line) for line in lines.splitlines()]
        return [(record["action"], record["outcome"]) for record in records if record["action"] != "start"]

    def run(self, *words: object, answer: str | None = None) -> Result:
        """A command on this machine."""
        self._monkeypatch.setenv("SOFTHSM2_CONF", str(self.hsm.conf))
        command = ["token", str(words[0]), "--config", str(self.config), *map(str, words[1:])]
        result = CliRunner().invoke(main, command, input=answer, prog_name="notary-signer")
        assert softhsm.PIN not in result.output
        assert "Traceback" not in result.output
        return result

    def keeper(self, **changes: Any) -> Keeper:
        """The token as the signer on this machine has it."""
        self._monkeypatch.setenv("SOFTHSM2_CONF", str(self.hsm.conf))
        keeper = Keeper(self.hsm.settings(**changes), lambda state, sentence: None)
        keeper.start()
        return keeper

    def signs(self, key: NewKey) -> bool:
        """Whether the signer on this machine can use a key of the registry."""
        keeper = self.keeper()
        try:
            signature = keeper.attempt(lambda c: c.sign(key.key_id, key.algorithm, key.private, MESSAGE))
        finally:
            keeper.close()
        return encoding.verifies(key.algorithm, key.public, signature, MESSAGE)


@pytest.fixture
def machine(hsm: SoftHsm, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """One with a token that is ready."""
    return Machine(hsm, monkeypatch)


def test_a_key_encryption_key_on_three_machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Made to be exported on the first, encrypted for the second, put together from shares on the third."""
    first, second, third = (Machine(softhsm.prepare(tmp_path / name), monkeypatch) for name in "abc")
    kek, transport = tmp_path / "kek", tmp_path / "second.json"
    assert first.run("init", "--exportable-kek").exit_code == 0
    unfit = first.run("check")
    assert unfit.exit_code == 1
    assert "token export-kek" in unfit.output

    prepared = second.run("transport-key", "--out", transport)
    assert prepared.exit_code == 0
    (fingerprint,) = (line for line in prepared.output.splitlines() if line.startswith("fingerprint"))

    export = ("export-kek", "--for", transport, "--custodians", 3, "--threshold", 2, "--out", kek)
    declined = first.run(*export, answer="n\n")
    assert declined.exit_code == 1
    assert fingerprint in declined.output
    assert not any(kek.iterdir())
    exported = first.run(*export, answer="y\n")
    assert exported.exit_code == 0
    files = sorted(kek.iterdir())
    assert [path.name for path in files] == [
        "kek-for-1.json", "kek-share-1.json", "kek-share-2.json", "kek-share-3.json",
    ]  # fmt: skip
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert json.loads(files[1].read_text())["words"] not in exported.output

    again = first.run("export-kek", "--custodians", 3, "--threshold", 2, "--out", tmp_path / "again")
    assert again.exit_code == 1
    assert "cannot leave it" in again.output
    assert first.run("check").exit_code == 0

    assert second.run("init", "--import-kek", files[0]).exit_code == 0
    few = third.run("init", "--import-kek", files[1])
    assert few.exit_code == 1
    assert not any(third.hsm.tokens.iterdir())
    assert third.run("init", "--import-kek", files[3], "--import-kek", files[1]).exit_code == 0
    for machine in (second, third):
        refused = machine.run("init", "--existing", "--import-kek", files[2], "--import-kek", files[1])
        assert refused.exit_code == 1
        assert "left as it is" in refused.output

    keeper = first.keeper()
    key = keeper.attempt(lambda connection: connection.generate("ecdsa", "a/b timestamp"))
    keeper.close()
    assert all(machine.signs(key) for machine in (first, second, third))


def test_what_was_not_exported_for_this_token_is_refused(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key encrypted for another token, a KEK that was never made to leave, and a witness of another KEK."""
    source, target = (Machine(softhsm.prepare(tmp_path / name), monkeypatch) for name in "ab")
    kek = tmp_path / "kek"
    never = machine.run("export-kek", "--custodians", 2, "--threshold", 2, "--out", kek)
    assert never.exit_code == 1
    assert "--exportable-kek" in never.output

    assert source.run("init", "--exportable-kek").exit_code == 0
    assert target.run("transport-key", "--out", tmp_path / "t.json").exit_code == 0
    assert source.run("export-kek", "--for", tmp_path / "t.json", "--out", kek, "--yes").exit_code == 0
    exported = kek / "kek-for-1.json"
    document = json.loads(exported.read_text())
    wrong = tmp_path / "wrong.json"
    for change, words in {
        "fingerprint": "does not hold",
        "wrapped": "does not unwrap",
        "witness": "is not the key-encryption key",
    }.items():
        damaged = dict(document)
        if change == "witness":
            damaged["witness"] = {
                **document["witness"],
                "blob": document["witness"]["blob"][::-1].lstrip("=") + "=",
            }
        else:
            damaged[change] = document[change][::-1]
        wrong.write_text(json.dumps(damaged))
        refused = target.run("init", "--import-kek", wrong)
        assert refused.exit_code == 1
        assert words in refused.output
    assert target.run("init", "--import-kek", exported).exit_code == 0


def test_a_report_of_a_token_that_works(machine: Machine) -> None:
    """People get a page, programs JSON; SoftHSM wraps two of three algorithms; nothing is left in the token."""
    before = sorted(machine.hsm.tokens.rglob("*.object"))
    shown = machine.run("check")
    assert shown.exit_code == 0
    assert "the signer can work with this token" in shown.output
    report = json.loads(machine.run("check", "--json").stdout)
    assert report["works"] is True
    assert report["kek"] == {
        "label": "notary-kek-1", "found": True, "fit": True,
        "keywraps": ["AES256-KWP", "AES256-KW"], "opens_registry": None,
    }  # fmt: skip
    kept = {found["algorithm"]: (found["kept"], found["sign_ms"] > 0) for found in report["algorithms"]}
    assert kept == {"ecdsa": ("wrapped", True), "rsa": ("wrapped", True), "ed25519": ("resident", True)}
    assert sorted(machine.hsm.tokens.rglob("*.object")) == before
    machine.configure(keys="resident")
    report = json.loads(machine.run("check", "--json").stdout)
    assert {found["kept"] for found in report["algorithms"]} == {"resident"}


def test_a_report_of_another_module(tmp_path: Path, machine: Machine) -> None:
    """NSS has no ed25519 and pads by PKCS#7, and the report warns that it lets sealed keys out."""
    made = nss.make(tmp_path / "nss")
    machine.configure(
        module=str(made.module),
        module_arguments=made.arguments,
        token_label=nss.LABEL,
        pin_file=str(made.pin_file),
    )
    result = machine.run("check", "--json")
    assert result.exit_code == 0
    report = json.loads(result.stdout)
    kept = {found["algorithm"]: (found["kept"], found["keywrap"]) for found in report["algorithms"]}
    assert kept == {
        "ecdsa": ("wrapped", "AES256-KW-PKCS7"), "rsa": ("wrapped", "AES256-KW-PKCS7"), "ed25519": ("", ""),
    }  # fmt: skip
    assert any("not extractable" in finding["text"] for finding in report["findings"])


def test_a_report_of_a_wrong_pin_costs_one_try(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second check says what happened and tries nothing; before the last try it wants to be told."""
    machine.hsm.pin_file.write_text("0000-wrong\n")
    tried: list[None] = []
    real = Native.login

    def counted(*arguments: Any, **options: Any) -> None:
        tried.append(None)
        real(*arguments, **options)

    monkeypatch.setattr(Native, "login", counted)
    for words in ("refused the PIN", "refused the PIN"):
        result = machine.run("check")
        assert result.exit_code == 1
        assert words in result.output
        assert "0000-wrong" not in result.output
    assert len(tried) == 1
    machine.hsm.pin_file.write_text(softhsm.PIN + "\n")
    real_flags = login._flags
    monkeypatch.setattr(login, "_flags", lambda token: real_flags(token) | TokenFlag.USER_PIN_FINAL_TRY)
    refused = machine.run("check")
    assert refused.exit_code == 1
    assert "--final-try" in refused.output
    assert len(tried) == 1
    assert machine.run("check", "--final-try").exit_code == 0


async def _registry_with(machine: Machine, key: NewKey) -> None:
    target = parse_url("sqlite3", "signer.db", machine.hsm.directory)
    database = open_database(target)
    await SqlRegistry(database, print).add_unless_unused(key, "a/b", "timestamp")
    await database.close()


@pytest.mark.parametrize("own", [True, False])
def test_a_report_says_whether_the_token_opens_the_registry(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: bool
) -> None:
    """A token whose KEK was made anew has the right label, and cannot open a single key."""
    import asyncio

    owner = machine if own else Machine(softhsm.make(tmp_path / "other"), monkeypatch)
    keeper = owner.keeper()
    key = keeper.attempt(lambda connection: connection.generate("ecdsa", "a/b timestamp"))
    keeper.close()
    upgrade(parse_url("sqlite3", "signer.db", machine.hsm.directory), "signer", lambda line: None)
    asyncio.run(_registry_with(machine, key))
    result = machine.run("check", "--json")
    assert json.loads(result.stdout)["kek"]["opens_registry"] is own
    assert result.exit_code == (0 if own else 1)


def test_another_pin(machine: Machine, tmp_path: Path) -> None:
    """The token and the file change together; a running signer reads the file at its next login."""
    running = machine.keeper()
    key = running.attempt(lambda connection: connection.generate("ecdsa", "a/b timestamp"))
    running.close()
    machine.hsm.pin_file.chmod(0o640)
    new = tmp_path / "new"
    new.touch(0o600)
    new.write_text("9253-another\n")
    changed = machine.run("change-pin", "--new-pin-file", new)
    assert changed.exit_code == 0, changed.output
    assert "9253" not in changed.output
    assert machine.hsm.pin_file.read_text() == "9253-another\n"
    assert stat.S_IMODE(machine.hsm.pin_file.stat().st_mode) == 0o640
    assert machine.signs(key)
    same = machine.run("change-pin", "--new-pin-file", new)
    assert same.exit_code == 1
    assert "nothing was changed" in same.output
    asked = machine.run("change-pin", answer=f"{softhsm.PIN}\n{softhsm.PIN}\n")
    assert asked.exit_code == 0
    assert machine.signs(key)


@pytest.mark.parametrize(("new", "words"), [("12", "shorter"), ("x" * 255, "did not take")])
def test_a_pin_that_the_token_does_not_take(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, new: str, words: str
) -> None:
    """Nothing changes, and nothing is left lying about."""
    from notary_signer.token.native import CallFailed

    def refuse(*_arguments: object) -> None:
        raise CallFailed("C_SetPIN", 0xA2)

    monkeypatch.setattr(Native, "set_pin", refuse)
    path = tmp_path / "new"
    path.touch(0o600)
    path.write_text(new)
    result = machine.run("change-pin", "--new-pin-file", path)
    assert result.exit_code == 1
    assert words in result.output
    assert machine.hsm.pin_file.read_text() == softhsm.PIN + "\n"
    assert not Path(f"{machine.hsm.pin_file}.new").exists()
    assert machine.run("check").exit_code == 0


def test_a_change_that_was_broken_off_is_told(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the token and the file the new PIN is beside the file, and the next call says what to do with it."""
    real = Path.replace

    def broken(self: Path, target: Path) -> Path:
        if self.name == "pin.new":
            raise OSError(28, "No space left on device")
        return real(self, target)

    path = tmp_path / "new"
    path.touch(0o600)
    path.write_text("9253-another\n")
    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", broken)
        half = machine.run("change-pin", "--new-pin-file", path)
    assert half.exit_code == 1
    assert "the PIN is in" in half.output
    told = machine.run("change-pin", "--new-pin-file", path)
    assert told.exit_code == 1
    assert f"mv {machine.hsm.pin_file}.new {machine.hsm.pin_file}" in told.output
    Path(f"{machine.hsm.pin_file}.new").replace(machine.hsm.pin_file)
    assert machine.run("check").exit_code == 0


def test_a_pin_does_not_stay_in_memory(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The buffers that a login used hold zeros afterwards."""
    seen: list[bytearray] = []
    real = Native.login

    def look(self: Native, session: Any, pin: bytearray, **options: Any) -> None:
        assert pin == softhsm.PIN.encode()
        seen.append(pin)
        real(self, session, pin, **options)

    monkeypatch.setattr(Native, "login", look)
    machine.keeper().close()
    assert [set(pin) for pin in seen] == [{0}]


def test_a_token_of_the_vendors_own_tool_gets_only_a_key(machine: Machine, tmp_path: Path) -> None:
    """With --existing nothing is initialised; a token that wraps nothing gets none, and that is said."""
    softhsm.run(
        machine.hsm,
        "import pkcs11; from pkcs11 import Attribute\n"
        "session = pkcs11.lib(str(module)).get_token(token_label=label).open(rw=True, user_pin=pin_file.read_text().strip())\n"
        "[key.destroy() for key in session.get_objects({Attribute.LABEL: 'notary-kek-1'})]",
    )
    assert machine.run("check").exit_code == 1
    made = machine.run("init", "--existing")
    assert made.exit_code == 0
    assert "was there already" in made.output
    assert machine.run("check").exit_code == 0
    again = machine.run("init", "--existing")
    assert again.exit_code == 1
    assert "left as it is" in again.output


def test_a_token_that_wraps_nothing_needs_no_key(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said that all keys will be resident."""
    monkeypatch.setattr(initialise, "WRAPPING_MECHANISMS", ())
    made = machine.run("init", "--existing")
    assert made.exit_code == 0
    assert "resident" in made.output


def test_how_to_export_must_be_said(machine: Machine, tmp_path: Path) -> None:
    """Neither a target nor custodians, half of a pair of options, or a threshold that is none."""
    out = tmp_path / "kek"
    for words, said in {
        ("--out", out): "--for",
        ("--out", out, "--custodians", 3): "belong together",
        ("--out", out, "--custodians", 3, "--threshold", 4): "threshold",
        ("--out", out, "--for", tmp_path / "none"): "cannot read",
    }.items():
        result = machine.run("export-kek", *words)
        assert result.exit_code == 1
        assert said in result.output
    assert not out.exists()
    both = machine.run("init", "--exportable-kek", "--import-kek", tmp_path / "none")
    assert both.exit_code == 1
    assert "leave --exportable-kek out" in both.output


def test_acts_are_recorded_and_nothing_is_done_without(machine: Machine, tmp_path: Path) -> None:
    """Each act is in the log before and after; where that cannot be written, the PIN stays as it is."""
    document = json.loads(machine.config.read_text())
    machine.config.write_text(json.dumps({**document, "audit": {"file": "audit.jsonl"}}))
    new = tmp_path / "new"
    new.touch(0o600)
    new.write_text("9253-another\n")
    assert machine.run("change-pin", "--new-pin-file", new).exit_code == 0
    assert machine.run("init", "--existing").exit_code == 1
    assert machine.audit("audit.operator.jsonl") == [
        ("change_pin", "begun"), ("change_pin", "done"), ("init_token", "begun"), ("init_token", "failed"),
    ]  # fmt: skip
    machine.config.write_text(json.dumps({**document, "audit": {"to": "database"}}))
    new.write_text("7777-third\n")
    refused = machine.run("change-pin", "--new-pin-file", new)
    assert refused.exit_code == 1
    assert "audit" in refused.output
    assert machine.hsm.pin_file.read_text() == "9253-another\n"


def test_settings_hold_no_pin(hsm: SoftHsm) -> None:
    """What crosses to the token's process names the PIN's file alone."""
    assert softhsm.PIN not in repr(hsm.settings())
    assert "pin" not in TokenSettings.__slots__
