"""`notary-signer` at the prompt: making a token, checks before the start, serving on a socket of its own."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from notary_signer.cli import main
from tests.support.pki import local_pki
from tests.support.softhsm import PIN, SoftHsm, prepare

ROOT = Path(__file__).parents[2]


NOT_SECRET = {
    "if_missing", "config_file", "existing", "exportable_kek", "kek_files", "as_json", "final_try", "new_pin_file", "out", "targets",
    "custodians", "threshold", "yes",
}  # fmt: skip
"""Options of `token`: flags, numbers, and names of files."""


def _run(*args: str) -> Result:
    return CliRunner().invoke(main, args, prog_name="notary-signer")


def _start(hsm: SoftHsm, *args: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, as SoftHSM reads its configuration once per process."""
    command = [sys.executable, "-m", "notary_signer", *args]
    return subprocess.run(
        command,
        check=False,
        env=hsm.environ,
        cwd=ROOT,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=100,
    )


@pytest.fixture
def hsm(tmp_path: Path) -> SoftHsm:
    """An empty SoftHSM store and a PIN file."""
    return prepare(tmp_path / "hsm")


def _write(folder: Path, hsm: SoftHsm, **sections: Any) -> str:
    document = {
        "server": {"http_addr": "unix://signer.sock"},
        "storage": {"backend": "sqlite3", "db_url": "signer.db"},
        "pkcs11": {"token_label": hsm.label, "pin_file": str(hsm.pin_file)},
        "logging": {"level": "info"},
        **sections,
    }
    path = folder / "signer.json"
    path.write_text(json.dumps(document))
    return str(path)


@pytest.mark.parametrize(
    "command",
    [
        *([], ["serve"], ["db"], ["db", "upgrade"], ["token"], ["keys"]),
        *(["token", word] for word in ("init", "check", "change-pin", "transport-key", "export-kek")),
        *(
            ["keys", word]
            for word in ("list", "show", "retire", "destroy", "collect", "rewrap", "import", "export")
        ),
    ],
)
def test_every_command_has_help_with_an_example(command: list[str]) -> None:
    """--help shows how to call it."""
    result = _run(*command, "--help")
    assert result.exit_code == 0
    assert "Example:" in result.output


def test_no_option_takes_a_pin() -> None:
    """A PIN or a share cannot be given as an argument or through the environment, only a file that holds it."""
    group: Any = main
    options = {
        (name, parameter.name)
        for name, command in group.commands["token"].commands.items()
        for parameter in command.params
        if parameter.envvar is not None or parameter.name not in NOT_SECRET
    }
    assert not options


def test_a_token_is_made_once_and_the_next_command_named(tmp_path: Path, hsm: SoftHsm) -> None:
    """`token init` reads the PIN file, says what it made and what comes next; a second one touches nothing."""
    config = _write(tmp_path, hsm)
    made = _start(hsm, "token", "init", "--config", config)
    assert made.returncode == 0, made.stderr
    assert hsm.label in made.stdout
    assert f"next: notary-signer db upgrade --config {config}" in made.stdout
    before = {path: path.read_bytes() for path in hsm.tokens.rglob("*") if path.is_file()}
    assert before
    again = _start(hsm, "token", "init", "--config", config)
    assert again.returncode == 1
    assert "left as it is" in again.stderr
    assert {path: path.read_bytes() for path in hsm.tokens.rglob("*") if path.is_file()} == before
    assert PIN not in made.stdout + made.stderr + again.stdout + again.stderr


def test_without_a_pin_file_the_pin_is_asked_for_and_not_shown(tmp_path: Path, hsm: SoftHsm) -> None:
    """At a terminal the PIN is typed twice and never echoed."""
    config = _write(tmp_path, hsm, pkcs11={"token_label": hsm.label})
    master, slave = pty.openpty()
    command = [sys.executable, "-m", "notary_signer", "token", "init", "--config", config]
    process = subprocess.Popen(
        command, env=hsm.environ, cwd=ROOT, stdin=slave, stdout=slave, stderr=slave, start_new_session=True
    )
    os.close(slave)
    shown, typed = b"", 0
    while select.select([master], [], [], 100)[0]:
        try:
            chunk = os.read(master, 4096)
        except OSError:  # the other side is closed
            break
        if not chunk:
            break
        shown += chunk
        if shown.count(b"PIN of the new token") + shown.count(
            b"Repeat for confirmation"
        ) > typed and shown.endswith(b": "):
            os.write(master, PIN.encode() + b"\n")
            typed += 1
    os.close(master)
    assert process.wait(100) == 0, shown
    assert typed == 2
    assert PIN.encode() not in shown
    assert b"pkcs11.pin_file" in shown
    assert any(hsm.tokens.iterdir())


def test_checks_name_what_is_missing(tmp_path: Path, hsm: SoftHsm) -> None:
    """No PIN file, no client CA, no tables: all at once, status 1."""
    config = _write(tmp_path, hsm, server={"grpc_addr": ":0"}, pkcs11={})
    result = _run("-config", config, "-check-config")
    assert result.exit_code == 1
    keys = [line.strip().split(":")[0] for line in result.output.splitlines()[1:]]
    assert keys == [
        "server.tls_cert_file",
        "server.tls_key_file",
        "server.client_ca_file",
        "pkcs11.pin_file",
        "storage.db_url",
    ]


def test_tls_files_are_loaded_by_the_check(tmp_path: Path, hsm: SoftHsm) -> None:
    """A key that is not the certificate's is found before the start."""
    pki = tmp_path / "pki"
    local_pki(pki)
    server = {
        "grpc_addr": "127.0.0.1:0",
        "tls_cert_file": "pki/signer.pem",
        "tls_key_file": "pki/server-key.pem",
        "client_ca_file": "pki/ca.pem",
    }
    config = _write(tmp_path, hsm, server=server, storage={"backend": "memory"})
    result = _run("serve", "--check-config", "--config", config)
    assert result.exit_code == 1
    assert "server.tls_key_file" in result.output
    assert "1 problem:" in result.output


def test_a_missing_token_stops_the_start_with_a_sentence(tmp_path: Path, hsm: SoftHsm) -> None:
    """Without `token init` the signer does not start and says what to do."""
    config = _write(tmp_path, hsm)
    assert _start(hsm, "db", "upgrade", "--config", config).returncode == 0
    done = _start(hsm, "serve", "--config", config)
    assert done.returncode == 1
    assert "notary-signer: " in done.stderr
    assert "Traceback" not in done.stderr
    assert PIN not in done.stderr


def test_the_old_spelling_serves_until_sigterm(tmp_path: Path, hsm: SoftHsm) -> None:
    """token init, db upgrade, then `-config=FILE -logf=json`: ready on its socket; SIGTERM ends it with 0."""
    config = _write(tmp_path, hsm)
    assert _start(hsm, "token", "init", "--config", config).returncode == 0
    assert _start(hsm, "db", "upgrade", "--config", config).returncode == 0
    good = _start(hsm, "serve", "--check-config", "--config", config)
    assert (good.returncode, good.stdout) == (0, "configuration is good\n")
    command = [sys.executable, "-m", "notary_signer", f"-config={config}", "-logf=json"]
    with subprocess.Popen(command, env=hsm.environ, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        watchdog = threading.Timer(100, process.kill)
        watchdog.start()
        try:
            assert process.stderr is not None
            seen = []
            for line in process.stderr:
                seen.append(line)
                if '"ready to sign"' in line:
                    break
            assert seen, "no log line"
            assert json.loads(seen[-1])["address"] == f"unix://{tmp_path}/signer.sock"
            process.send_signal(signal.SIGTERM)
            seen += process.stderr
            assert process.wait() == 0
        finally:
            watchdog.cancel()
            process.kill()
    # Where the tests run as root, the signer says that it should not.
    others = [json.loads(line) for line in seen if "runs as root" not in line]
    assert all(line["level"] in {"info", "warning"} for line in others)
    assert PIN not in "".join(seen)
