"""Both servers under every variant of their common configuration: what starts them, and what asks them."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deploy.local.files import overlay, write_document
from tests.publisher import Client
from tests.support.postgres import PostgresCluster
from tests.support.reference import Reference
from tests.support.stack import Daemon, Stack, free_port

VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "prefixes": {"repositories": {"gun_prefixes": ["good/", "also/fine/"]}},
    "uncached": {"caching": {"max_age": {"current_metadata": 0, "consistent_metadata": 0}}},
    "cached": {"caching": {"max_age": {"current_metadata": 60, "consistent_metadata": "31536000"}}},
    "ed25519": {"trust_service": {"key_algorithm": "ed25519"}},
    "no signer": {"trust_service": {"port": "9"}},
    "local keys": {
        "trust_service": dict.fromkeys(
            ("hostname", "port", "tls_ca_file", "tls_client_cert", "tls_client_key")
        )
        | {"type": "local"}
    },
}
"""By name. The members are Notary's own, so that they mean the same to both servers."""


class OldServers:
    """The old server, a process for each variant, over one signer and one database."""

    def __init__(self, reference: Reference) -> None:
        self.reference = reference

    def client(self, variant: str) -> Client:
        """A client of that variant's server, which is started (again) if it does not run."""
        return self.configured(variant, VARIANTS[variant])

    def configured(self, name: str, changes: Mapping[str, Any]) -> Client:
        """A client of the server of that name, which is started (again) with these changes if it does not run."""
        server = self.reference.server(name, changes)
        return Client(server.url, server.ca_file)


class OurServers:
    """Our server from its console script, a process for each variant, over one signer.

    The database is PostgreSQL, as the old server's; each variant has a database of its own.
    """

    def __init__(self, folder: Path, postgres: PostgresCluster) -> None:
        self._postgres = postgres
        databases = (postgres.create_database(), postgres.create_database())
        # One client, one repository, thousands of cases: more than anybody should ask for in so short a time.
        free = ("client_writes", "repository_writes", "client_keys", "repository_keys")
        self.stack = Stack(
            folder,
            databases=databases,
            server_changes={"limits": dict.fromkeys(free, 0)},
            signer_changes={"limits": {"max_keys_per_client_per_hour": 1_000_000}},
        )
        self._started: dict[str, tuple[Daemon, str]] = {}

    def start(self) -> None:
        """Start signer and plain server."""
        self.stack.start()
        self._started["plain"] = (self.stack.server, self.stack.url)

    def client(self, variant: str) -> Client:
        """A client of that variant's server, which is started if it does not run."""
        return self.configured(variant, VARIANTS[variant])

    def configured(self, name: str, changes: Mapping[str, Any]) -> Client:
        """A client of the server of that name, which is started with these changes if it does not run."""
        if name not in self._started:
            self._started[name] = self._start(name, changes)
        return Client(self._started[name][1], str(self.stack.ca_file))

    def daemon(self, variant: str) -> Daemon:
        """That variant's process."""
        self.client(variant)
        return self._started[variant][0]

    def _start(self, variant: str, changes: Mapping[str, Any]) -> tuple[Daemon, str]:
        port = free_port()
        folder = self.stack.folder / variant.replace(" ", "-")
        folder.mkdir()
        pair = self.stack.server_client
        trust = {"tls_client_cert": str(pair.certificate), "tls_client_key": str(pair.key)}
        base: Mapping[str, Any] = {
            "server": {"http_addr": f"localhost:{port}"},
            "storage": {"db_url": self._postgres.create_database()},
            "trust_service": trust,
        }
        config = folder / "server-config.json"
        plain = json.loads(self.stack.server_config.read_text())
        write_document(config, overlay(overlay(plain, base), changes))
        url = f"https://localhost:{port}"

        def answers() -> bool:
            try:
                with urllib.request.urlopen(f"{url}/v2/", context=self.stack.client_context(), timeout=5):
                    return True
            except urllib.error.HTTPError:
                return True  # it asks for a token
            except OSError:
                return False

        daemon = Daemon("notary-server", config, self.stack.environ, answers)
        daemon.check("db", "upgrade")
        daemon.start()
        return daemon, url

    def stop(self) -> None:
        """End everything."""
        for daemon, _ in self._started.values():
            daemon.kill()
        self.stack.kill()
