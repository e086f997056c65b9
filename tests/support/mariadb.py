"""A private MariaDB: a server in a directory of its own, on a free port, that tests may kill and restart.

    with MariaServer.temporary() as server:
        url = server.create_database()          # root@tcp(127.0.0.1:PORT)/...?parseTime=True
        server.kill(); server.start()           # kill -9, then recovery

Nothing here needs pytest; the fixtures are in `mariadb_fixtures`.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from .stack import free_port

FAST_SETTINGS: Mapping[str, str] = {
    # For tests that do not pull the plug of the machine: what was written outlives a killed process.
    "innodb_flush_log_at_trx_commit": "2",
    "innodb_flush_method": "nosync",
}
DURABLE_SETTINGS: Mapping[str, str] = {"innodb_flush_log_at_trx_commit": "1"}


class MariaError(Exception):
    """The server could not be made, started or asked; the text holds the program's own output."""


class MariaServer:
    """One MariaDB under `directory`, made on the first `start`; `root` comes in without a password."""

    def __init__(
        self, directory: Path, *, settings: Mapping[str, str] = FAST_SETTINGS, port: int | None = None
    ) -> None:
        """`port`: None for a free one, chosen now and kept over restarts."""
        self.directory = directory
        self.data = directory / "data"
        self.socket = directory / "socket"
        self.port = port or free_port()
        self.settings = dict(settings)
        self._temporary = False
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    def temporary(cls, *, settings: Mapping[str, str] = FAST_SETTINGS) -> MariaServer:
        """A server in a new directory that is removed when it is closed."""
        server = cls(Path(tempfile.mkdtemp(prefix="notary-mariadb-")), settings=settings)
        server._temporary = True
        return server

    def __enter__(self) -> MariaServer:
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
        """Stop, and remove a temporary server."""
        self.close()

    @property
    def pid(self) -> int | None:
        """The process ID while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def start(self, timeout: float = 60.0) -> None:
        """Make the files if there are none, start it, return when it answers. Nothing if it runs.

        Raises:
            MariaError: it did not come up within `timeout` seconds.
        """
        if self.pid is not None:
            return
        self.make()
        settings = {
            "datadir": self.data,
            "socket": self.socket,
            "port": self.port,
            "bind_address": "127.0.0.1",
            "skip_name_resolve": "1",
            "innodb_buffer_pool_size": "32M",
            "innodb_log_file_size": "64M",
            "performance_schema": "0",
            **self.settings,
        }
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    _program("mariadbd"),
                    "--no-defaults",
                    *(f"--{key}={value}" for key, value in settings.items()),
                ],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                cwd=self.directory,
                start_new_session=True,
                **_identity(),
            )
        deadline = time.monotonic() + timeout
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise MariaError(f"MariaDB did not start:\n{self._log_tail()}")
            time.sleep(0.05)

    def stop(self) -> None:
        """Stop in good order; open sessions are ended. Nothing if it does not run."""
        if self.pid is None or self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """SIGKILL, as when the machine takes it away."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)

    def pause(self) -> None:
        """SIGSTOP: connections stay open and nothing answers, once every thread has stopped."""
        if self.pid is None:
            return
        os.kill(self.pid, signal.SIGSTOP)
        threads = Path(f"/proc/{self.pid}/task")
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            states = [stat.read_text().rpartition(")")[2].split()[0] for stat in threads.glob("*/stat")]
            if set(states) == {"T"}:
                return
            time.sleep(0.01)

    def resume(self) -> None:
        """Undo `pause`."""
        if self.pid is not None:
            os.kill(self.pid, signal.SIGCONT)

    def close(self) -> None:
        """Stop; a temporary server is killed and its directory removed."""
        if not self._temporary:
            self.stop()
            return
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def create_database(self, name: str | None = None, charset: str = "utf8mb4") -> str:
        """A new empty database; its address as Notary's `storage.db_url` spells it."""
        name = name or f"notary_{uuid.uuid4().hex[:12]}"
        self.sql(f"CREATE DATABASE `{name}` CHARACTER SET {charset}")
        return self.url(name)

    def drop_database(self, name: str) -> None:
        """Drop a database, after ending its sessions: one that holds a lock would hold up the drop."""
        sessions = self.sql(f"SELECT id FROM information_schema.processlist WHERE db = '{name}'").split()
        for session in sessions:
            self.sql(f"KILL {session}", force=True)
        self.sql(f"DROP DATABASE IF EXISTS `{name}`")

    def url(self, database: str) -> str:
        """The address of `database`."""
        return f"root@tcp(127.0.0.1:{self.port})/{database}?parseTime=True"

    def sql(self, text: str, database: str = "mysql", *, force: bool = False) -> str:
        """Run `text` through the `mariadb` client; its output, one row a line, columns parted by `|`.

        Args:
            force: go on after an error.

        Raises:
            MariaError: the client reported an error.
        """
        done = self.client("mariadb", "-N", "-B", *(["--force"] if force else []), database, text=text)
        return done.strip().replace("\t", "|")

    def client(self, program: str, *arguments: str, text: str = "") -> str:
        """What one of MariaDB's client programs, such as `mariadb-dump`, writes for this server.

        Raises:
            MariaError: it reported an error.
        """
        done = subprocess.run(
            [_program(program), "--no-defaults", f"--socket={self.socket}", "--user=root",
             "--default-character-set=utf8mb4", *arguments],
            input=text.encode(), capture_output=True, timeout=60, check=False,
        )  # fmt: skip
        if done.returncode != 0 and "--force" not in arguments:
            raise MariaError(done.stderr.decode(errors="replace").strip())
        return done.stdout.decode(errors="replace")

    def make(self) -> None:
        """Make the server's files if there are none, without starting it."""
        if self.data.exists():
            return
        self.directory.mkdir(parents=True, exist_ok=True)
        if os.geteuid() == 0:
            account = pwd.getpwnam("mysql")
            os.chown(self.directory, account.pw_uid, account.pw_gid)
        done = subprocess.run(
            [_program("mariadb-install-db"), "--no-defaults", f"--datadir={self.data}", "--skip-test-db",
             "--auth-root-authentication-method=normal", "--skip-name-resolve", "--innodb-log-file-size=64M"],
            capture_output=True, text=True, timeout=120, check=False, cwd=self.directory, **_identity(),
        )  # fmt: skip
        if done.returncode != 0:
            shutil.rmtree(self.data, ignore_errors=True)
            raise MariaError(f"mariadb-install-db failed:\n{done.stdout}{done.stderr}"[-2000:])

    def put(self, name: str, data: bytes) -> Path:
        """Write a file such as a key into the server's directory, readable for MariaDB alone; its path."""
        path = self.directory / name
        path.write_bytes(data)
        path.chmod(0o600)
        if os.geteuid() == 0:
            account = pwd.getpwnam("mysql")
            os.chown(path, account.pw_uid, account.pw_gid)
        return path

    def _answers(self) -> bool:
        try:
            self.sql("SELECT 1")
        except MariaError:
            return False
        return True

    def _log_tail(self) -> str:
        return (self.directory / "log").read_text(errors="replace")[-2000:]


def _program(name: str) -> str:
    """Where one of MariaDB's programs is: the server is in no user's PATH.

    Raises:
        MariaError: it is not installed.
    """
    found = shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
    if found is None:
        raise MariaError(f"{name} is missing: apt-get install mariadb-server")
    return found


def _identity() -> dict[str, Any]:
    """MariaDB refuses to run as root unless told to: then it runs as its own user."""
    if os.geteuid() != 0:
        return {}
    account = pwd.getpwnam("mysql")
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
