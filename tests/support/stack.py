"""Our signer and server as real processes over real configuration files, a real token and a real database.

    with Stack(folder) as stack:                        # SQLite, SoftHSM, mutual TLS between the two
        stack.url, stack.ca_file
        stack.server.kill(); stack.server.start()       # kill -9, then the same data again

For PostgreSQL or MySQL give the two databases: `Stack(folder, databases=(server_url, signer_url))`.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from deploy.local.files import (
    overlay,
    server_document,
    signer_document,
    write_document,
    write_pin,
    write_softhsm_conf,
)

from .pki import local_pki

START_SECONDS = 30.0
"""How long a daemon may take to become ready. Two busy cores make seconds of what is a fraction alone."""
TOKEN_LABEL = "notary-test"


class StackError(Exception):
    """A command or daemon did not do what it should; the text holds the end of what it wrote."""


def free_port() -> int:
    """A TCP port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def console_script(name: str) -> str:
    """The installed command `name`, ours and not Debian's of the same name."""
    return str(Path(sys.executable).parent / name)


class Daemon:
    """One of the two processes. Its output goes to `log`, over all starts."""

    def __init__(
        self,
        name: str,
        config: Path,
        environ: Mapping[str, str],
        ready: Any,
        verb: tuple[str, ...] = ("serve",),
    ) -> None:
        self.name = name
        self.verb = verb
        self.config = config
        self.environ = dict(environ)
        self.log = config.with_name(f"{name}.log")
        self.options: tuple[str, ...] = ()
        """What `serve` gets besides `--config`, from the next start on."""
        self._ready = ready
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process ID while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def command(self, *arguments: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """Run another command of the same program, e.g. `command("db", "upgrade")`, with `--config`."""
        return subprocess.run(
            [console_script(self.name), *arguments, "--config", str(self.config)],
            env=self.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def check(self, *arguments: str) -> str:
        """Like `command`; the output.

        Raises:
            StackError: it failed.
        """
        done = self.command(*arguments)
        if done.returncode != 0:
            raise StackError(
                f"{self.name} {' '.join(arguments)}: status {done.returncode}\n{done.stdout}{done.stderr}"
            )
        return done.stdout

    def start(self, *, wait: bool = True) -> None:
        """Start it and, unless told otherwise, return when it is ready. Nothing if it runs.

        Raises:
            StackError: it ended, or was not ready in time.
        """
        if self.pid is not None:
            return
        with self.log.open("ab") as out:
            self._process = subprocess.Popen(
                [console_script(self.name), *self.verb, "--config", str(self.config), *self.options],
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        if wait:
            self.wait_ready()

    def wait_ready(self) -> None:
        """Return when it is ready.

        Raises:
            StackError: it ended, or was not ready in time.
        """
        deadline = time.monotonic() + START_SECONDS
        while self.pid is not None and time.monotonic() < deadline:
            if self._ready():
                return
            time.sleep(0.05)
        end = "is not ready" if self.pid is not None else "ended"
        raise StackError(f"{self.name} {end}:\n{self.log.read_text(errors='replace')[-4000:]}")

    def wait(self, timeout: float = 30.0) -> int:
        """Wait until it ends; its status (negative: the signal)."""
        if self._process is None:
            raise StackError(f"{self.name} was not started")
        return self._process.wait(timeout)

    def stop(self, timeout: float = 30.0) -> int | None:
        """End it in good order (SIGTERM); its status. Killed if it takes too long. None if it did not run."""
        return self._end(signal.SIGTERM, timeout)

    def kill(self) -> None:
        """SIGKILL."""
        self._end(signal.SIGKILL, 30.0)

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        if self.pid is not None:
            os.kill(self.pid, number)

    def _end(self, number: signal.Signals, timeout: float) -> int | None:
        if self._process is None:
            return None
        self.send(number)
        try:
            status = self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
            status = self._process.wait(timeout)
        self._process = None
        return status


class Stack:
    """Signer and server in one folder.

    Args:
        folder: a directory of its own; made if it is missing. Data outlives `stop`.
        databases: the addresses of the server's and the signer's PostgreSQL or MySQL database; None for SQLite.
        server_changes, signer_changes: laid over the configuration; None removes a key.
    """

    def __init__(
        self,
        folder: Path,
        *,
        databases: tuple[str, str] | None = None,
        server_changes: Mapping[str, Any] | None = None,
        signer_changes: Mapping[str, Any] | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.port = free_port()
        self.signer_port = free_port()
        self.url = f"https://localhost:{self.port}"
        self._authority = local_pki(folder)
        self.ca_file = self._authority.files.certificate
        self.server_client = self._authority.pair("server-client")
        self.server_config = folder / "server-config.json"
        self.signer_config = folder / "signer-config.json"
        self.softhsm_conf = folder / "softhsm2.conf"
        self.pin_file = folder / "pin"
        self._databases = databases
        self._write(server_changes or {}, signer_changes or {})
        # The person's own settings must not leak into a test.
        clean = {name: value for name, value in os.environ.items() if not name.startswith("NOTARY_")}
        self.environ = clean | {"SOFTHSM2_CONF": str(self.softhsm_conf)}
        self.signer = Daemon("notary-signer", self.signer_config, self.environ, self._signer_ready)
        self.server = Daemon("notary-server", self.server_config, self.environ, self._server_ready)

    @property
    def server_log(self) -> str:
        """All that the server wrote so far."""
        return self.server.log.read_text(errors="replace")

    @property
    def signer_log(self) -> str:
        """All that the signer wrote so far."""
        return self.signer.log.read_text(errors="replace")

    def __enter__(self) -> Stack:
        """Prepare and start."""
        try:
            self.start()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop both."""
        self.stop()

    def prepare(self) -> None:
        """Create token and tables, or bring them up to date. Needed once before the first start."""
        if not (self.folder / "token-ready").exists():
            self.signer.check("token", "init")
            (self.folder / "token-ready").touch()
        self.signer.check("db", "upgrade")
        self.server.check("db", "upgrade")

    def start(self) -> None:
        """Prepare, start the signer, then the server; return when both are ready.

        Raises:
            StackError: one of them did not come up.
        """
        self.prepare()
        self.signer.start()
        self.server.start()

    def stop(self) -> None:
        """End both in good order; nothing is lost."""
        self.server.stop()
        self.signer.stop()

    def kill(self) -> None:
        """SIGKILL both."""
        self.server.kill()
        self.signer.kill()

    def change(
        self, *, server: Mapping[str, Any] | None = None, signer: Mapping[str, Any] | None = None
    ) -> None:
        """Lay changes over the configuration files; they count from the next start."""
        for path, changes in ((self.server_config, server), (self.signer_config, signer)):
            if changes:
                write_document(path, overlay(json.loads(path.read_text()), changes))

    def another_signer(self, name: str, environ: Mapping[str, str] | None = None, **changes: Any) -> Daemon:
        """Another signer process on the same registry and token; not started yet, and stopped by whoever made it.

        `environ` and `changes` are laid over its environment and, section by section, over its configuration.
        """
        folder = self.folder / name
        folder.mkdir()
        port = free_port()
        document = overlay(json.loads(self.signer_config.read_text()), changes)
        document["server"]["http_addr"] = f"127.0.0.1:{port}"
        config = folder / "signer-config.json"
        write_document(config, document)
        environ = self.environ | dict(environ or {})
        return Daemon("notary-signer", config, environ, lambda: self._signer_ready(port))

    @staticmethod
    def port_of(signer: Daemon) -> int:
        """Where a signer listens."""
        return int(json.loads(signer.config.read_text())["server"]["http_addr"].rpartition(":")[2])

    def destroy(self) -> None:
        """Kill both and remove the folder."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def client_context(self, *, identified: bool = False) -> ssl.SSLContext:
        """TLS that trusts this stack's authority; `identified`: with the server's certificate for the signer."""
        context = ssl.create_default_context(cafile=str(self.ca_file))
        if identified:
            context.load_cert_chain(self.server_client.certificate, self.server_client.key)
        return context

    def _write(self, server_changes: Mapping[str, Any], signer_changes: Mapping[str, Any]) -> None:
        pair = self._authority.pair
        client = self.server_client
        names = {
            "hostname": "localhost",
            "port": str(self.signer_port),
            "tls_client_cert": client.certificate.name,
            "tls_client_key": client.key.name,
        }
        server_store, signer_store = self._stores()
        server = server_document(
            port=self.port, tls=pair("server"), ca=self.ca_file, signer=names, database=server_store
        )
        signer = signer_document(
            port=self.signer_port, tls=pair("signer"), ca=self.ca_file, database=signer_store,
            token_label=TOKEN_LABEL, pin_file=self.pin_file,
        )  # fmt: skip
        write_document(self.server_config, overlay(server, server_changes))
        write_document(self.signer_config, overlay(signer, signer_changes))
        write_softhsm_conf(self.softhsm_conf, self.folder / "tokens")
        if not self.pin_file.exists():
            write_pin(self.pin_file)

    def _stores(self) -> tuple[dict[str, str], dict[str, str]]:
        if self._databases is None:
            return (
                {"backend": "sqlite3", "db_url": "server.sqlite3"},
                {"backend": "sqlite3", "db_url": "signer.sqlite3"},
            )
        server, signer = (
            {"backend": "postgres" if url.startswith("postgres:") else "mysql", "db_url": url}
            for url in self._databases
        )
        return server, signer

    def _server_ready(self) -> bool:
        return _answers(f"{self.url}/_notary_server/health", self.client_context())

    def _signer_ready(self, port: int | None = None) -> bool:
        url = f"https://localhost:{port or self.signer_port}/v1/health"
        return _answers(url, self.client_context(identified=True))


def _answers(url: str, context: ssl.SSLContext) -> bool:
    try:
        with urllib.request.urlopen(url, context=context, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
