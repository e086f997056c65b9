"""`make run` and `make demo` without make: what a new user sees, and what happens when something is in the way."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.stack import free_port
from tests.support.tools import program

pytestmark = pytest.mark.e2e

_SECONDS = 60.0
_START = (
    "import sys; from pathlib import Path; from deploy.local.{part} import main; from deploy.local.layout import Layout;"
    "sys.exit(main(Layout(Path(sys.argv[1]))))"
)


class Shell:
    """One of the two programs in a process of its own, its output kept."""

    def __init__(self, folder: Path, part: str, **environ: str) -> None:
        self.text = ""
        self._grown = threading.Condition()
        self.process = subprocess.Popen(
            [sys.executable, "-c", _START.format(part=part), str(folder)],
            env=os.environ | environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._grown:
                self.text += line
                self._grown.notify_all()

    def wait_for(self, text: str) -> None:
        """Return when `text` has been printed."""
        with self._grown:
            assert self._grown.wait_for(lambda: text in self.text, _SECONDS), self.text

    def end(self) -> int:
        """Wait for its end; the status."""
        status = self.process.wait(_SECONDS)
        self._reader.join(_SECONDS)
        return status

    def interrupt(self) -> int:
        """Ctrl-C; the status."""
        self.process.send_signal(signal.SIGINT)
        return self.end()


Start = Callable[..., Shell]


@pytest.fixture
def folder() -> Iterator[Path]:
    """What `.run` is otherwise."""
    with tempfile.TemporaryDirectory(prefix="notary-run-", ignore_cleanup_errors=True) as made:
        yield Path(made) / "run"


@pytest.fixture
def start(folder: Path) -> Iterator[Start]:
    """Starts `run` or `demo` over `folder`; whatever still runs at the end is ended."""
    started: list[Shell] = []

    def begin(part: str, **environ: str) -> Shell:
        started.append(Shell(folder, part, **environ))
        return started[-1]

    yield begin
    for shell in started:
        if shell.process.poll() is None:
            shell.interrupt()


def _daemon(shell: Shell, name: str) -> int:
    """The process ID of one of the daemons that `shell` started."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = (entry / "stat").read_text().rpartition(")")[2].split()[1]
                command = (entry / "cmdline").read_text()
            except OSError:
                continue
            if int(parent) == shell.process.pid and name in command:
                return int(entry.name)
    raise AssertionError(f"no {name} runs")


def test_a_new_user_starts_plays_stops_and_goes_on(start: Start, folder: Path) -> None:
    """The first run makes everything and says what to paste; the demo works; the next run has the same data and CA."""
    program("notary", "notary")
    port = str(free_port())
    first = start("run", PORT=port)
    first.wait_for("Ctrl-C stops it")
    first.wait_for("END\n")
    assert f"export DOCKER_CONTENT_TRUST_SERVER=https://localhost:{port}" in first.text
    assert f"~/.docker/tls/localhost:{port}/ca.crt" in first.text
    demo = start("demo")
    assert demo.end() == 0, demo.text
    assert "Successfully published changes" in demo.text
    assert "the forged file is refused" in demo.text
    assert first.interrupt() == 0
    assert "Stopped." in first.text
    authority = (folder / "tls" / "ca.pem").read_bytes()
    second = start("run", PORT=port)
    second.wait_for("is ready at")
    assert (folder / "tls" / "ca.pem").read_bytes() == authority
    demo = start("demo")
    assert demo.end() == 0, demo.text
    listing = subprocess.run(
        [Path(sys.executable).with_name("notary-server"), "repo", "list", "--config", folder / "server-config.json"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert listing.count("demo/hello-") == 2


def test_secrets_are_the_owners_alone(start: Start, folder: Path) -> None:
    """Keys, PIN and databases cannot be read by other users of the machine, nor does the PIN appear on the screen."""
    shell = start("run", PORT=str(free_port()))
    shell.wait_for("is ready at")
    assert folder.stat().st_mode & 0o077 == 0
    for path in (folder / "pin", *(folder / "tls").glob("*-key.pem")):
        assert path.stat().st_mode & 0o077 == 0, path
    assert (folder / "pin").read_text().strip() not in shell.text


def test_a_port_in_use_is_named(start: Start) -> None:
    """With another program on the port nothing is started, and the way out is printed."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        shell = start("run", PORT=str(port))
        assert shell.end() == 1
    assert f"Port {port} is in use by another program." in shell.text
    assert f"PORT={port + 1} make run" in shell.text


@pytest.mark.parametrize("port", ["0", "65536", "http", "-1"])
def test_a_port_that_is_none_is_refused(start: Start, port: str) -> None:
    """PORT has to be a port."""
    shell = start("run", PORT=port)
    assert shell.end() == 1
    assert f"PORT={port} is no port" in shell.text


def test_it_does_not_run_twice(start: Start) -> None:
    """A second run over the same data is refused and leaves the first alone."""
    first = start("run", PORT=str(free_port()))
    first.wait_for("is ready at")
    second = start("run", PORT=str(free_port()))
    assert second.end() == 1
    assert "already running" in second.text
    assert first.process.poll() is None


@pytest.mark.parametrize(("killed", "other"), [("signer", "server"), ("server", "signer")])
def test_when_one_dies_the_other_is_stopped(start: Start, killed: str, other: str) -> None:
    """If one daemon is killed, the run ends with a failure that names it, and the other daemon is gone."""
    shell = start("run", PORT=str(free_port()))
    shell.wait_for("is ready at")
    left = _daemon(shell, f"notary-{other}")
    os.kill(_daemon(shell, f"notary-{killed}"), signal.SIGKILL)
    assert shell.end() == 1
    assert f"The {killed} was killed by signal 9 (SIGKILL)." in shell.text
    assert not Path(f"/proc/{left}").exists()


def test_a_wrong_configuration_is_shown(start: Start, folder: Path) -> None:
    """An edited file stays as it is; what is wrong in it is printed with the key's name."""
    shell = start("run", PORT=str(free_port()))
    shell.wait_for("is ready at")
    shell.interrupt()
    path = folder / "server-config.json"
    document = json.loads(path.read_text())
    document["storage"]["backend"] = "rethinkdb"
    path.write_text(json.dumps(document))
    shell = start("run", PORT=str(free_port()))
    assert shell.end() == 1
    assert "storage.backend" in shell.text
    assert json.loads(path.read_text())["storage"]["backend"] == "rethinkdb"


def test_the_demo_needs_a_server(start: Start) -> None:
    """Without a server the demo says what to type first."""
    shell = start("demo")
    assert shell.end() == 1
    assert "make run" in shell.text
