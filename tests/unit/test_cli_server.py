"""`notary-server` at the prompt: spelling, help, checks before the start, starting and stopping."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from notary_common.command import modern
from notary_server.cli import main
from tests.publisher import Client
from tests.support.pki import local_pki

ROOT = Path(__file__).parents[2]
PLANTED = "planted-passw0rd"


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a throw-away authority and pairs."""
    folder = tmp_path_factory.mktemp("pki")
    local_pki(folder)
    return folder


def _run(*args: str) -> Result:
    return CliRunner().invoke(main, args, prog_name="notary-server")


def _document(**sections: Any) -> dict[str, Any]:
    return {
        "server": {"http_addr": "127.0.0.1:0"},
        "trust_service": {"type": "local"},
        "storage": {"backend": "sqlite3", "db_url": "server.db"},
        **sections,
    }


def _write(folder: Path, document: dict[str, Any]) -> str:
    path = folder / "server.json"
    path.write_text(json.dumps(document))
    return str(path)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (["-config=f.json", "-logf=json"], ["serve", "--config=f.json", "--logf=json"]),
        (["-config", "f.json", "-logf", "logfmt"], ["serve", "--config", "f.json", "--logf", "logfmt"]),
        (["--config", "f.json"], ["serve", "--config", "f.json"]),
        (["--config=f.json", "-debug"], ["serve", "--config=f.json", "--debug"]),
        (["-debug=true", "-config=f.json"], ["serve", "--debug", "--config=f.json"]),
        (["-debug=false", "-config=f.json"], ["serve", "--config=f.json"]),
        (["-logf=json", "-config=a=b.json"], ["serve", "--logf=json", "--config=a=b.json"]),
        (["-bootstrap", "-config=f"], ["serve", "--bootstrap", "--config=f"]),
        (["-config=f", "-check-config"], ["serve", "--config=f", "--check-config"]),
        (["-version"], ["--version"]),
        (["--version"], ["--version"]),
        (["-config=f", "-version"], ["--version"]),
        (["-h"], ["--help"]),
        (["-help"], ["--help"]),
        (["serve", "-config=f"], ["serve", "--config=f"]),
        (["serve", "--config", "f"], ["serve", "--config", "f"]),
        (["repo", "show", "a/b", "--config", "f"], ["repo", "show", "a/b", "--config", "f"]),
        (["repo", "list", "-help"], ["repo", "list", "--help"]),
        ([], []),
    ],
)
def test_notarys_spelling_means_serve(old: list[str], new: list[str]) -> None:
    """Go's flags are read as today's options, with a dash or two, with `=` or a blank."""
    assert modern(old) == new


@pytest.mark.parametrize(
    "command",
    [
        [],
        ["serve"],
        ["db"],
        ["db", "upgrade"],
        ["repo"],
        ["repo", "list"],
        ["repo", "show"],
        ["auth"],
        ["auth", "explain"],
        ["takeover"],
        *(["takeover", word] for word in ("plan", "run", "verify", "mirror")),
        ["tokens"],
        ["tokens", "serve"],
        ["tokens", "key"],
        ["tokens", "key", "create"],
        ["tokens", "key", "list"],
        ["tokens", "key", "remove"],
        ["tokens", "robot"],
        ["tokens", "robot", "create"],
        ["tokens", "robot", "list"],
        ["tokens", "robot", "revoke"],
    ],
)
def test_every_command_has_help_with_an_example(command: list[str]) -> None:
    """--help shows how to call it; groups list their commands."""
    result = _run(*command, "--help")
    assert result.exit_code == 0
    assert "Example:\n    notary-server" in result.output


def test_serving_does_not_load_what_only_upgrading_needs() -> None:
    """Neither daemon loads alembic in order to serve, nor a single server process gunicorn."""
    program = (
        "import sys, notary_server.app, notary_signer.app, notary_common.schema\n"
        "print(sorted({'alembic', 'gunicorn', 'notary_common.migrate'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True, cwd=ROOT, timeout=60
    )
    assert done.stdout == "[]\n", done.stderr


@pytest.mark.parametrize("command", ["notary_server", "notary_signer"])
def test_help_loads_nothing_heavy(command: str) -> None:
    """--help of either daemon, started as a module, neither opens nor imports what only work needs."""
    program = (
        "import runpy, sys\n"
        "sys.argv = ['x', '--help']\n"
        f"try: runpy.run_module({command!r}, run_name='__main__')\n"
        "except SystemExit: pass\n"
        "heavy = {'pydantic', 'sqlalchemy', 'aiohttp', 'cryptography', 'pkcs11', 'alembic'} & set(sys.modules)\n"
        "print('HEAVY', sorted(heavy))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True, cwd=ROOT, timeout=60
    )
    assert "serve" in done.stdout
    assert done.stdout.endswith("HEAVY []\n")


def test_the_version_is_the_packages() -> None:
    """--version and -version print the same."""
    assert _run("--version").output == _run("-version").output
    assert _run("-version").output.startswith("notary-server 1.")


def test_serving_without_a_file_names_the_option() -> None:
    """There is no default file; the error says --config."""
    result = _run("serve")
    assert result.exit_code == 2
    assert "--config" in result.output


def test_bootstrap_is_refused_with_what_to_do(tmp_path: Path) -> None:
    """The flag of the RethinkDB days points to `db upgrade`."""
    result = _run("-bootstrap", f"-config={_write(tmp_path, _document())}")
    assert result.exit_code == 1
    assert "db upgrade" in result.output


@pytest.mark.parametrize("number", ["0", "-1", "129", "many"])
def test_a_number_of_workers_that_cannot_be_is_refused(tmp_path: Path, number: str) -> None:
    """--workers says what it takes."""
    result = _run("serve", "--workers", number, "--config", _write(tmp_path, _document()))
    assert result.exit_code == 2
    assert "--workers" in result.output
    assert ("must be from 1 to 128" in result.output) == (number != "many")


def test_workers_need_what_they_can_share(tmp_path: Path) -> None:
    """A database in memory and local keys belong to one process; with one worker both are fine."""
    config = _write(tmp_path, _document(storage={"backend": "memory"}))
    assert _run("serve", "--check-config", "--config", config).exit_code == 0
    refused = _run("serve", "--check-config", "--workers", "2", "--config", config)
    assert refused.exit_code == 1
    assert [line.strip().split(":")[0] for line in refused.output.splitlines()[1:]] == [
        "storage.backend",
        "trust_service.type",
    ]


def test_a_database_without_tables_is_refused_and_then_upgraded(tmp_path: Path) -> None:
    """--check-config names the command, makes nothing; after it the configuration is good."""
    config = _write(tmp_path, _document())
    refused = _run("serve", "--check-config", "--config", config)
    assert refused.exit_code == 1
    assert f"run: notary-server db upgrade --config {config}" in refused.output
    assert not (tmp_path / "server.db").exists()
    assert _run("db", "upgrade", "--config", config).exit_code == 0
    again = _run("db", "upgrade", "--config", config)
    assert again.exit_code == 0
    assert "up to date" in again.output
    good = _run("-config", config, "-check-config")
    assert (good.exit_code, good.output) == (0, "configuration is good\n")


def test_an_empty_database_file_is_refused(tmp_path: Path) -> None:
    """A file without our tables is not served from."""
    (tmp_path / "server.db").touch()
    refused = _run("serve", "--check-config", "--config", _write(tmp_path, _document()))
    assert refused.exit_code == 1
    assert (
        "storage.db_url: the database has no tables of this version yet; run: notary-server db upgrade"
        in refused.output
    )


def test_upgrading_needs_the_storage_section_alone(tmp_path: Path) -> None:
    """`db upgrade` runs where the certificates are not there yet."""
    document = _document(server={"tls_cert_file": "gone.pem"}, trust_service={"type": "remote"})
    assert _run("db", "upgrade", "--config", _write(tmp_path, document)).exit_code == 0


def test_upgrading_memory_does_nothing(tmp_path: Path) -> None:
    """A database in memory has nothing to upgrade."""
    result = _run("db", "upgrade", "--config", _write(tmp_path, _document(storage={"backend": "memory"})))
    assert result.exit_code == 0
    assert "nothing to do" in result.output


@pytest.mark.parametrize(
    "storage",
    [
        {"backend": "postgres", "db_url": f"postgres://u:{PLANTED}@127.0.0.1:1/d?sslmode=disable"},
        {"backend": "postgres", "db_url": f"postgres://u:{PLANTED}@127.0.0.1:1/d?sslmode=sometimes"},
        {"backend": "postgres", "db_url": f"u:{PLANTED}"},
        {"backend": "sqlite3", "db_url": "gone/server.db"},
    ],
)
def test_an_unusable_database_is_refused_without_its_password(
    tmp_path: Path, storage: dict[str, str]
) -> None:
    """What is wrong is said under storage.db_url; the password is not."""
    config = _write(tmp_path, _document(storage=storage))
    for command in (["serve", "--check-config"], ["db", "upgrade"], ["repo", "list"]):
        result = _run(*command, "--config", config)
        assert result.exit_code == 1
        assert "  storage.db_url" in result.output
        assert PLANTED not in result.output
        assert "Traceback" not in result.output


def test_configuration_certificates_and_database_are_all_reported_at_once(tmp_path: Path, pki: Path) -> None:
    """One start tells everything: an unknown key, bad TLS files of both sides, and a database without tables."""
    (tmp_path / "garbage.pem").write_text("garbage")
    document = _document(
        server={
            "http_addr": "127.0.0.1:0",
            "tls_cert_file": str(pki / "server.pem"),
            "tls_key_file": str(pki / "signer-key.pem"),
            "client_ca_file": "garbage.pem",
        },
        trust_service={
            "type": "remote",
            "hostname": "localhost",
            "port": 1,
            "key_algorithm": "ecdsa",
            "tls_ca_file": "garbage.pem",
            "tls_client_cert": str(pki / "server-client.pem"),
            "tls_client_key": "garbage.pem",
        },
        surprise=1,
    )
    result = _run("serve", "--config", _write(tmp_path, document))
    assert result.exit_code == 1
    keys = [line.strip().split(":")[0] for line in result.output.splitlines()[1:]]
    assert keys == [
        "surprise",
        "server.tls_key_file",
        "server.client_ca_file",
        "trust_service.tls_client_key",
        "trust_service.tls_ca_file",
        "storage.db_url",
    ]
    assert "6 problems" in result.output


def test_an_expired_certificate_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pki: Path
) -> None:
    """A daemon whose certificate ran out still starts, for what does not need it, but says so."""
    monkeypatch.setattr("deploy.local.pki.LIFETIME", timedelta(minutes=-1))
    local_pki(tmp_path)
    document = _document(
        server={
            "http_addr": "127.0.0.1:0",
            "tls_cert_file": "server.pem",
            "tls_key_file": "server-key.pem",
            "client_ca_file": str(pki / "ca.pem"),
        },
        storage={"backend": "memory"},
    )
    result = _run("serve", "--check-config", "--config", _write(tmp_path, document))
    assert result.exit_code == 0
    assert result.stdout == "configuration is good\n"
    (line,) = result.stderr.splitlines()
    assert line.startswith(
        f"warning: server.tls_cert_file: {tmp_path / 'server.pem'}: the certificate expired"
    )


def test_problems_go_to_standard_error(tmp_path: Path) -> None:
    """Standard output stays empty when something is wrong."""
    result = _run("serve", "--check-config", "--config", str(tmp_path / "gone.json"))
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "there is no such file" in result.stderr


class Serving:
    """A running `notary-server`, its log lines as they come, and what it printed."""

    def __init__(self, *args: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "notary_server", *args],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        self.lines: list[str] = []
        self._watchdog = threading.Timer(90, self.process.kill)
        self._watchdog.start()

    def line(self, wanted: Callable[[str], bool]) -> str:
        """The next log line that is `wanted`; the process's end is a failure."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line)
            if wanted(line):
                return line
        raise AssertionError(f"ended with {self.process.wait()}: {''.join(self.lines)}")

    def stop(self, number: int) -> int:
        """Its exit status after the signal."""
        self.process.send_signal(number)
        assert self.process.stderr is not None
        self.lines += self.process.stderr
        return self.process.wait()

    def close(self) -> None:
        """Kill what is left."""
        self._watchdog.cancel()
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def serving() -> Iterator[Callable[..., Serving]]:
    """Starts servers that end with the test."""
    started: list[Serving] = []

    def start(*args: str) -> Serving:
        started.append(Serving(*args))
        return started[-1]

    yield start
    for one in started:
        one.close()


def _served(folder: Path, pki: Path, **sections: Any) -> str:
    server = {
        "http_addr": "127.0.0.1:0",
        "tls_cert_file": str(pki / "server.pem"),
        "tls_key_file": str(pki / "server-key.pem"),
    }
    config = _write(folder, _document(server=server, logging={"level": "info"}, **sections))
    assert _run("db", "upgrade", "--config", config).exit_code == 0
    return config


def test_the_old_spelling_serves_until_sigterm(
    tmp_path: Path, pki: Path, serving: Callable[..., Serving]
) -> None:
    """`-config=FILE -logf=json -debug` starts a server over TLS; its log is JSON lines; SIGTERM ends it with 0."""
    config = _served(tmp_path, pki, reporting={"bugsnag": {"api_key": PLANTED}})
    server = serving(f"-config={config}", "-logf=json", "-debug")
    address = json.loads(server.line(lambda line: '"serving"' in line))["address"]
    assert Client(address, str(pki / "ca.pem")).request("GET", "/v2/").status == 200
    assert server.stop(signal.SIGTERM) == 0
    messages = [json.loads(line)["msg"] for line in server.lines]
    assert sum("bugsnag" in message for message in messages) == 1
    assert sum("-debug" in message for message in messages) == 1
    assert PLANTED not in "".join(server.lines)


def test_logfmt_is_readable_and_the_level_steps(
    tmp_path: Path, pki: Path, serving: Callable[..., Serving]
) -> None:
    """`--logf logfmt` writes logfmt; SIGUSR1 prints the new level on standard output; SIGHUP ends it with 0."""
    server = serving("serve", "--config", _served(tmp_path, pki), "--logf", "logfmt")
    assert server.line(lambda line: "msg=serving" in line).startswith("level=info ")
    server.process.send_signal(signal.SIGUSR1)
    assert server.process.stdout is not None
    assert server.process.stdout.readline() == "Successfully setting log level to debug\n"
    assert server.stop(signal.SIGHUP) == 0


def test_an_address_in_use_is_said_in_a_sentence(
    tmp_path: Path, pki: Path, serving: Callable[..., Serving]
) -> None:
    """A second server on the same port ends with status 1 and names server.http_addr."""
    first = serving("serve", "--config", _served(tmp_path, pki))
    port = json.loads(first.line(lambda line: '"serving"' in line))["address"].rsplit(":", 1)[1]
    second_folder = tmp_path / "second"
    second_folder.mkdir()
    config = _served(second_folder, pki)
    document = json.loads(Path(config).read_text())
    document["server"]["http_addr"] = f"127.0.0.1:{port}"
    Path(config).write_text(json.dumps(document))
    second = serving("serve", "--config", config)
    line = second.line(lambda line: line.startswith("notary-server: "))
    assert "server.http_addr: cannot listen on" in line
    assert second.process.wait() == 1
