"""A private PostgreSQL: a cluster in a directory of its own, on a free port, that tests may kill and restart.

    with PostgresCluster.temporary() as cluster:
        url = cluster.create_database()          # postgres://postgres@127.0.0.1:PORT/...?sslmode=disable
        cluster.kill(); cluster.start()          # kill -9, then recovery

Nothing here needs pytest; the fixtures are in `postgres_fixtures`.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

FAST_SETTINGS: Mapping[str, str] = {
    # For tests that do not pull the plug of the machine: a killed process loses nothing without fsync.
    "fsync": "off",
    "synchronous_commit": "on",
    "full_page_writes": "off",
}
DURABLE_SETTINGS: Mapping[str, str] = {"fsync": "on", "synchronous_commit": "on"}


class PostgresError(Exception):
    """The cluster could not be made, started or asked; the text holds the program's own output."""


class PostgresCluster:
    """One PostgreSQL cluster under `directory`, made on the first `start`."""

    def __init__(
        self, directory: Path, *, settings: Mapping[str, str] = FAST_SETTINGS, port: int | None = None
    ) -> None:
        """`port`: None for a free one, chosen now and kept over restarts."""
        self.directory = directory
        self.data = directory / "data"
        self.port = port or _free_port()
        self._settings = settings
        self._temporary = False
        self._process: subprocess.Popen[bytes] | None = None
        self.programs = _binaries()

    @classmethod
    def temporary(cls, *, settings: Mapping[str, str] = FAST_SETTINGS) -> PostgresCluster:
        """A cluster in a new directory that is removed when the cluster is closed."""
        cluster = cls(Path(tempfile.mkdtemp(prefix="notary-postgres-")), settings=settings)
        cluster._temporary = True
        return cluster

    def __enter__(self) -> PostgresCluster:
        """Start."""
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop, and remove a temporary cluster."""
        self.close()

    @property
    def pid(self) -> int | None:
        """The process ID of the postmaster while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def start(self, timeout: float = 30.0) -> None:
        """Make the cluster if there is none, start it, return when it answers. Nothing if it runs.

        Raises:
            PostgresError: it did not come up within `timeout` seconds.
        """
        if self.pid is not None:
            return
        self.make()
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(self.programs / "postgres"), "-D", str(self.data)],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                cwd=self.directory,
                start_new_session=True,
                **self._identity(),
            )
        deadline = time.monotonic() + timeout
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise PostgresError(f"PostgreSQL did not start:\n{self._log_tail()}")
            time.sleep(0.05)

    def stop(self, mode: str = "fast") -> None:
        """Stop in good order (`fast`: open sessions are ended). Nothing if it does not run."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(
            {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}[mode]
        )
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """SIGKILL to the postmaster and every process it started, as when the machine takes them away."""
        if self._process is None:
            return
        children = _children(self._process.pid)
        for pid in (self._process.pid, *children):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self._process.wait(10)
        deadline = time.monotonic() + 10
        while any(Path(f"/proc/{pid}").exists() for pid in children) and time.monotonic() < deadline:
            time.sleep(0.01)

    def pause(self) -> None:
        """SIGSTOP to every process: connections stay open and nothing answers."""
        self._signal_all(signal.SIGSTOP)

    def resume(self) -> None:
        """Undo `pause`."""
        self._signal_all(signal.SIGCONT)

    def close(self) -> None:
        """Stop, and remove a temporary cluster's directory."""
        self.stop("immediate")
        if self._temporary:
            shutil.rmtree(self.directory, ignore_errors=True)

    def create_database(self, name: str | None = None) -> str:
        """A new empty database; its URL as Notary's `storage.db_url` spells it."""
        name = name or f"notary_{uuid.uuid4().hex[:12]}"
        self.sql(f'CREATE DATABASE "{name}"')
        return self.url(name)

    def drop_database(self, name: str) -> None:
        """Drop a database with all its sessions."""
        self.sql(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def url(self, database: str) -> str:
        """The address of `database`."""
        return f"postgres://postgres@127.0.0.1:{self.port}/{database}?sslmode=disable"

    def sql(self, text: str, database: str = "postgres") -> str:
        """Run `text` through psql; its output, one row a line, columns parted by `|`.

        Raises:
            PostgresError: psql reported an error.
        """
        done = subprocess.run(
            [str(self.programs / "psql"), "-X", "-q", "-At", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1",
             "-p", str(self.port), "-U", "postgres", "-d", database],
            input=text, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            raise PostgresError(done.stderr.strip())
        return done.stdout.strip()

    def make(self) -> None:
        """Make the cluster's files if there are none, without starting it."""
        if self.data.exists():
            return
        self.directory.mkdir(parents=True, exist_ok=True)
        if os.geteuid() == 0:
            account = pwd.getpwnam("postgres")
            os.chown(self.directory, account.pw_uid, account.pw_gid)
        done = subprocess.run(
            [str(self.programs / "initdb"), "-D", str(self.data), "-A", "trust", "-U", "postgres",
             "-E", "UTF8", "--locale=C", "--no-sync"],
            capture_output=True, text=True, timeout=120, check=False, cwd=self.directory, **self._identity(),
        )  # fmt: skip
        if done.returncode != 0:
            shutil.rmtree(self.data, ignore_errors=True)
            raise PostgresError(f"initdb failed:\n{done.stdout}{done.stderr}")
        settings = {
            "port": str(self.port),
            "listen_addresses": "'127.0.0.1'",
            "unix_socket_directories": "''",
            "max_connections": "100",
            "shared_buffers": "'32MB'",
            **self._settings,
        }
        with (self.data / "postgresql.conf").open("a") as file:
            file.writelines(f"{name} = {value}\n" for name, value in settings.items())

    def put(self, name: str, data: bytes) -> None:
        """Write a file such as `pg_hba.conf` or a key into the data directory, readable for PostgreSQL alone."""
        path = self.data / name
        path.write_bytes(data)
        path.chmod(0o600)
        if os.geteuid() == 0:
            account = pwd.getpwnam("postgres")
            os.chown(path, account.pw_uid, account.pw_gid)

    def _answers(self) -> bool:
        try:
            self.sql("SELECT 1")
        except PostgresError:
            return False
        return True

    def _log_tail(self) -> str:
        return (self.directory / "log").read_text(errors="replace")[-2000:]

    def _signal_all(self, number: signal.Signals) -> None:
        if self.pid is None:
            return
        for pid in (*_children(self.pid), self.pid):
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue

    def _identity(self) -> dict[str, Any]:
        """PostgreSQL refuses to run as root: then it runs as its own user."""
        if os.geteuid() != 0:
            return {}
        account = pwd.getpwnam("postgres")
        return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def _binaries() -> Path:
    """Where PostgreSQL's programs are: Debian keeps them out of PATH.

    Raises:
        PostgresError: they are not installed.
    """
    found = sorted(
        Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name), reverse=True
    )
    for directory in found:
        if (directory / "initdb").exists():
            return directory
    in_path = shutil.which("initdb")
    if in_path is None:
        raise PostgresError("PostgreSQL is not installed: apt-get install postgresql")
    return Path(in_path).parent


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _children(parent: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == parent:
                found.append(int(entry.name))
    return found
