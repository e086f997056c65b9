"""`make run`: signer and server in the foreground, over one folder, until Ctrl-C or until one of them ends."""

from __future__ import annotations

import fcntl
import signal
import ssl
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path
from types import FrameType
from typing import IO

from .layout import DEFAULT_PORT, Layout, LocalError, console_script, port_from_environment
from .prepare import check_port, free_port, prepare
from .welcome import welcome

_READY_SECONDS = 60.0
_STOP_SECONDS = 40.0
_COLOURS = {"signer": "\033[36m", "server": "\033[32m"}


class Daemon:
    """One of the two processes, its output passed on with its name in front."""

    def __init__(self, layout: Layout, name: str, config: Path) -> None:
        self.name = name
        # A session of its own: Ctrl-C reaches this program alone, which then stops the two in order.
        self.process = subprocess.Popen(
            [console_script(f"notary-{name}"), "serve", "--logf", "logfmt", "--config", str(config)],
            env=layout.environ() | {"PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            text=True,
            errors="replace",
        )
        assert self.process.stdout is not None
        self._reader = threading.Thread(target=self._pass_on, args=(self.process.stdout,), daemon=True)
        self._reader.start()

    def _pass_on(self, stream: IO[str]) -> None:
        prefix = f"{self.name} | "
        if sys.stdout.isatty():
            prefix = f"{_COLOURS[self.name]}{prefix}\033[0m"
        for line in stream:
            print(prefix + line, end="", flush=True)

    def stop(self) -> None:
        """Ask it to end, wait, and show the rest of its output."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                print(f"{self.name} does not stop; killing it.", flush=True)
                self.process.kill()
                self.process.wait()
        self._reader.join(5)

    def ending(self) -> str:
        """How it ended, in words."""
        status = self.process.poll()
        if status is not None and status < 0:
            return f"The {self.name} was killed by signal {-status} ({signal.Signals(-status).name})."
        return f"The {self.name} ended with status {status}."


class _Stop(Exception):
    """The person asked to stop."""


def _stop(number: int, frame: FrameType | None) -> None:
    raise _Stop


def _wait_ready(url: str, context: ssl.SSLContext, *daemons: Daemon) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline:
        _check_alive(*daemons)
        try:
            with urllib.request.urlopen(url, context=context, timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    raise LocalError(
        f"The {daemons[-1].name} did not become ready in {_READY_SECONDS:.0f} seconds; see its output above."
    )


def _check_alive(*daemons: Daemon) -> None:
    for daemon in daemons:
        if daemon.process.poll() is not None:
            raise LocalError(f"{daemon.ending()} Its last lines stand above.")


def _serve(layout: Layout, port: int, signer_port: int) -> None:
    context = ssl.create_default_context(cafile=str(layout.tls / "ca.pem"))
    context.load_cert_chain(layout.tls / "server-client.pem", layout.tls / "server-client-key.pem")
    running: list[Daemon] = []
    try:
        running.append(Daemon(layout, "signer", layout.signer_config))
        _wait_ready(f"https://localhost:{signer_port}/v1/health", context, *running)
        running.append(Daemon(layout, "server", layout.server_config))
        _wait_ready(f"https://localhost:{port}/_notary_server/health", context, *running)
        print(welcome(layout, port), flush=True)
        while True:
            _check_alive(*running)
            time.sleep(0.2)
    finally:
        # A second Ctrl-C must not cut the orderly end short.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        for daemon in reversed(running):
            daemon.stop()


def main(layout: Layout) -> int:
    """Prepare and run; the exit status."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    try:
        port = port_from_environment("PORT", DEFAULT_PORT)
        layout.root.mkdir(mode=0o700, exist_ok=True)
        with layout.lock.open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise LocalError("`make run` is already running here, in another terminal.") from None
            check_port(port, "PORT", DEFAULT_PORT)
            signer_port = free_port()
            for line in prepare(layout, port, signer_port):
                print(line, flush=True)
            _serve(layout, port, signer_port)
    except _Stop:
        print("Stopped. `make run` goes on with the same data.", flush=True)
        return 0
    except LocalError as error:
        print(f"\n{error}", file=sys.stderr, flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Layout()))
