"""A server of several worker processes over a rig's database, signer and gateway, and what happens inside it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from deploy.local.files import write_document
from tests.publisher import Client
from tests.support.pki import LOCAL_NAMES, Authority
from tests.support.stack import free_port

from .rig import Rig, eventually


class Master:
    """`notary-server serve --workers 2`, ended with the block.

    Attributes:
        config: its file, which a test may rewrite before a reload.
        client: asks it.
    """

    def __init__(self, rig: Rig, folder: Path, *, prelude: str = "") -> None:
        """`prelude`: Python that runs before the command line is read, to shorten what would take half a minute."""
        self.folder = folder
        # An authority of its own: these certificates change.
        self.authority = Authority(folder, "Workers' CA")
        self.authority.issue("server", LOCAL_NAMES)
        port = free_port()
        self.document: dict[str, Any] = json.loads(rig.stack.server_config.read_text())
        self.document["server"] = {
            "http_addr": f"localhost:{port}",
            "tls_cert_file": "server.pem",
            "tls_key_file": "server-key.pem",
        }
        self.document["logging"] = {"level": "info"}
        for name in ("tls_ca_file", "tls_client_cert", "tls_client_key"):
            self.document["trust_service"][name] = str(
                rig.stack.folder / self.document["trust_service"][name]
            )
        self.config = folder / "server-config.json"
        write_document(self.config, self.document)
        self.ca_file = str(self.authority.files.certificate)
        self.client = Client(f"https://localhost:{port}", self.ca_file)
        self.port = port
        self._log = folder / "log"
        # Where its temporary files are seen.
        self.scratch = folder / "scratch"
        self.scratch.mkdir()
        self._command = [
            sys.executable, "-c", f"{prelude}\nfrom notary_server.cli import main\nmain(prog_name='notary-server')",
            "serve", "--workers", "2", "--config", str(self.config),
        ]  # fmt: skip
        self._environ = rig.stack.environ | {"TMPDIR": str(self.scratch)}

    def __enter__(self) -> Master:
        """Start it and wait until all workers serve: one alone answers, too."""
        with self._log.open("ab") as out:
            self.process = subprocess.Popen(
                self._command,
                env=self._environ,
                cwd=Path(__file__).parents[2],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        eventually(
            lambda: self.process.poll() is not None or '"msg": "serving"' in self.log, "the workers serve"
        )
        assert self.process.poll() is None, self.log
        return self

    def __exit__(self, *_: object) -> None:
        """Kill all of it."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(30)

    def answers(self) -> bool:
        """Whether somebody accepts connections and answers."""
        try:
            return self.client.get("/v2/").status == 200
        except OSError:
            return False

    @property
    def log(self) -> str:
        """All that it wrote."""
        return self._log.read_text(errors="replace")

    @property
    def workers(self) -> set[int]:
        """The process IDs of its children."""
        pid = self.process.pid
        return {int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}

    def two(self) -> set[int]:
        """The workers, once there are two."""
        eventually(lambda: len(self.workers) == 2, "there are two workers")
        return self.workers

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the master alone."""
        self.process.send_signal(number)

    @contextmanager
    def only(self, worker: int) -> Iterator[None]:
        """Have every connection answered by this worker: the others are stopped meanwhile."""
        others = self.workers - {worker}
        for pid in others:
            os.kill(pid, signal.SIGSTOP)
            eventually(lambda pid=pid: _state(pid) == "T", "it is stopped")  # type: ignore[misc]
        try:
            yield
        finally:
            for pid in others:
                os.kill(pid, signal.SIGCONT)


def alive(pid: int) -> bool:
    """Whether the process still runs; one that only waits to be collected does not."""
    return _state(pid) not in {"", "Z"}


def _state(pid: int) -> str:
    """As the kernel names it: `S` sleeping, `T` stopped, `Z` ended; empty if there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""
