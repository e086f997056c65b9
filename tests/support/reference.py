"""The reference: Debian's notary-server and notary-signer 0.7.0 over a private PostgreSQL, on loopback ports.

Several servers with different configurations may share one signer and one database. Requests to one
server must come one after the other: concurrent ones can kill it. The differential suite starts its oracle
here; any other suite may do so too.
"""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deploy.local.files import overlay, write_document

from .pki import local_pki
from .postgres import FAST_SETTINGS, PostgresCluster
from .stack import START_SECONDS, free_port

SERVER_TABLES = """
CREATE TABLE tuf_files (id serial PRIMARY KEY, created_at timestamp, updated_at timestamp, deleted_at timestamp,
    gun varchar(255) NOT NULL, role varchar(255) NOT NULL, version integer NOT NULL, data bytea NOT NULL,
    sha256 char(64), UNIQUE (gun, role, version));
CREATE INDEX tuf_files_sha256_idx ON tuf_files(sha256);
CREATE TABLE change_category (category varchar(20) PRIMARY KEY);
INSERT INTO change_category VALUES ('update'), ('deletion');
CREATE TABLE changefeed (id serial PRIMARY KEY, created_at timestamp DEFAULT CURRENT_TIMESTAMP,
    gun varchar(255) NOT NULL, version integer NOT NULL, sha256 char(64),
    category varchar(20) NOT NULL DEFAULT 'update' REFERENCES change_category);
CREATE INDEX idx_changefeed_gun ON changefeed (gun);
"""
SIGNER_TABLES = """
CREATE TABLE private_keys (id serial PRIMARY KEY, created_at timestamp, updated_at timestamp, deleted_at timestamp,
    key_id varchar(255) NOT NULL, encryption_alg varchar(255) NOT NULL, keywrap_alg varchar(255) NOT NULL,
    algorithm varchar(50) NOT NULL, passphrase_alias varchar(50) NOT NULL, public bytea NOT NULL,
    private bytea NOT NULL, gun varchar(255) NOT NULL, role varchar(255) NOT NULL, last_used timestamp,
    CONSTRAINT key_id UNIQUE (key_id), CONSTRAINT key_id_2 UNIQUE (key_id, algorithm));
"""


class ReferenceStackError(Exception):
    """The reference could not be started; the text says why."""


def _debian(program: str) -> str:
    """The old daemon's path, though ours of the same name may come first in PATH."""
    path = f"/usr/bin/{program}"
    if not os.access(path, os.X_OK):
        raise ReferenceStackError(f"{path} is missing: apt-get install notary")
    return path


class ReferenceServer:
    """One notary-server process."""

    def __init__(self, folder: Path, name: str, config: Mapping[str, Any], ca_file: str) -> None:
        self.folder = folder
        self.name = name
        self.port = int(str(config["server"]["http_addr"]).rpartition(":")[2])
        self.url = f"https://localhost:{self.port}"
        self.ca_file = ca_file
        self._config = folder / f"{name}.json"
        write_document(self._config, config)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers.

        Raises:
            ReferenceStackError: it ended, or did not answer in time.
        """
        log = self.folder / f"{self.name}.log"
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                [_debian("notary-server"), "-config", str(self._config)],
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        context = ssl.create_default_context(cafile=self.ca_file)
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.running():
            try:
                with urllib.request.urlopen(f"{self.url}/v2/", context=context, timeout=5):
                    return
            except urllib.error.HTTPError:
                return
            except OSError:
                time.sleep(0.05)
        raise ReferenceStackError(f"{self.name} does not answer:\n{log.read_text()[-2000:]}")

    def running(self) -> bool:
        """Whether the process lives."""
        return self.pid is not None

    @property
    def pid(self) -> int | None:
        """The process ID while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def stop(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


class Reference:
    """Signer, database and any number of servers, all in one folder.

    Args:
        folder: an existing, empty directory; logs and databases stay there.
        settings: PostgreSQL's.
    """

    def __init__(self, folder: Path, *, settings: Mapping[str, str] = FAST_SETTINGS) -> None:
        self.folder = folder
        self.postgres = PostgresCluster(folder / "postgres", settings=settings)
        self._pki = local_pki(folder)
        self.ca_file = str(self._pki.files.certificate)
        self.signer_port = free_port()
        self._signer: subprocess.Popen[bytes] | None = None
        self._servers: dict[str, ReferenceServer] = {}

    def start(self) -> None:
        """Start database and signer; servers start when asked for."""
        self.start_database()
        self.start_signer()

    def storage(self, database: str) -> dict[str, str]:
        """The `storage` section of a configuration, for `notaryserver` or `notarysigner`."""
        return {"backend": "postgres", "db_url": self.postgres.url(database)}

    def create_database(self, name: str) -> str:
        """One more database, empty, on the same server; its address."""
        return self.postgres.create_database(name)

    @property
    def signer_pid(self) -> int | None:
        """The signer's process ID while it runs."""
        return self._signer.pid if self._signer is not None and self._signer.poll() is None else None

    def start_database(self) -> None:
        """Start the database with Notary's tables in it."""
        if os.geteuid() == 0:
            self.folder.chmod(
                0o711
            )  # PostgreSQL then runs as a user of its own, and must reach its directory
        self.postgres.start()
        for database, tables in (("notaryserver", SERVER_TABLES), ("notarysigner", SIGNER_TABLES)):
            self.postgres.create_database(database)
            self.postgres.sql(tables, database)

    def start_signer(self) -> None:
        """Start notary-signer and wait until its port is open."""
        config = {
            "server": {
                "grpc_addr": f"127.0.0.1:{self.signer_port}",
                "tls_cert_file": str(self._pki.pair("signer").certificate),
                "tls_key_file": str(self._pki.pair("signer").key),
                "client_ca_file": self.ca_file,
            },
            "logging": {"level": "error"},
            "storage": {"default_alias": "alias1", **self.storage("notarysigner")},
        }
        path = self.folder / "signer.json"
        write_document(path, config)
        environment = os.environ | {"NOTARY_SIGNER_ALIAS1": "a pass phrase for tests"}
        with (self.folder / "signer.log").open("ab") as out:
            self._signer = subprocess.Popen(
                [_debian("notary-signer"), "-config", str(path)],
                stdout=out,
                stderr=out,
                env=environment,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.signer_port), 1):
                return
            time.sleep(0.05)
        raise ReferenceStackError("notary-signer does not answer")

    def config(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """A server configuration with `changes` laid over it."""
        server, client = self._pki.pair("server"), self._pki.pair("server-client")
        base: dict[str, Any] = {
            "server": {
                "http_addr": f"127.0.0.1:{free_port()}",
                "tls_cert_file": str(server.certificate),
                "tls_key_file": str(server.key),
            },
            "trust_service": {
                "type": "remote",
                "hostname": "localhost",
                "port": str(self.signer_port),
                "key_algorithm": "ecdsa",
                "tls_ca_file": self.ca_file,
                "tls_client_cert": str(client.certificate),
                "tls_client_key": str(client.key),
            },
            "logging": {"level": "error"},
            "storage": self.storage("notaryserver"),
        }
        return overlay(base, changes)

    def server(self, name: str = "server", changes: Mapping[str, Any] | None = None) -> ReferenceServer:
        """The server of that name, started with `changes` to the configuration if it does not run yet."""
        known = self._servers.get(name)
        if known is None:
            known = self._servers[name] = ReferenceServer(
                self.folder, name, self.config(changes or {}), self.ca_file
            )
        if not known.running():
            known.start()
        return known

    def stop(self) -> None:
        """End everything."""
        for server in self._servers.values():
            server.stop()
        self.stop_signer()
        self.stop_database()

    def stop_signer(self) -> None:
        """End the signer."""
        if self._signer is not None:
            self._signer.kill()
            self._signer.wait()
            self._signer = None

    def stop_database(self) -> None:
        """End the database."""
        self.postgres.close()
