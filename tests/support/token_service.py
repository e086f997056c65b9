"""Our token service as a real process: `notary-server tokens serve` over real files, TLS from a test authority.

service = TokenService(folder, authority, registry="localhost:5000")
service.user("alice", "her password")
service.access(users=[{"names": ["alice"], "repositories": ["localhost:5000/team/"], "actions": ["pull"]}])
with service: ...
"""

from __future__ import annotations

import base64
import json
import os
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import bcrypt
from click.testing import CliRunner

from deploy.local.files import overlay, write_document
from notary_server.cli import main

from .pki import LOCAL_NAMES, Authority
from .stack import Daemon, free_port

ISSUER = "tokens.example.org"
SERVICE = "registry.example.org"
_COST = 4
"""Of passwords in tests: what is tested is not how long it takes."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back over HTTP."""

    status: int
    headers: Mapping[str, str]
    body: dict[str, Any]

    @property
    def token(self) -> str:
        """The token."""
        return str(self.body["token"])

    @property
    def claims(self) -> dict[str, Any]:
        """What the token says, whoever signed it."""
        return _part(self.token, 1)

    @property
    def header(self) -> dict[str, Any]:
        """Its header."""
        return _part(self.token, 0)

    @property
    def granted(self) -> dict[str, list[str]]:
        """Actions by the name of what they may be done to."""
        return {entry["name"]: entry["actions"] for entry in self.claims["access"]}


def _part(token: str, number: int) -> dict[str, Any]:
    piece = token.split(".")[number]
    found = json.loads(base64.urlsafe_b64decode(piece + "=" * (-len(piece) % 4)))
    assert isinstance(found, dict)
    return found


class TokenService:
    """One process, and the files it reads."""

    def __init__(
        self, folder: Path, authority: Authority, *, registry: str, changes: Mapping[str, Any] | None = None
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.port = free_port()
        self.url = f"https://localhost:{self.port}"
        self.realm = f"{self.url}/token"
        self.bundle = folder / "keys" / "certificates.pem"
        self.ca_file = authority.files.certificate
        self._passwords: dict[str, str] = {}
        tls = authority.issue("tokens", LOCAL_NAMES)
        config = folder / "tokens-config.json"
        document = {
            "server": {
                "http_addr": f"localhost:{self.port}",
                "tls_cert_file": str(tls.certificate),
                "tls_key_file": str(tls.key),
            },
            "tokens": {"issuer": ISSUER, "service": SERVICE, "registry": registry, "key_dir": "keys"},
            "people": {
                "access_file": "access.json",
                "users_file": "users.htpasswd",
                "robots_file": "robots.json",
            },
        }
        write_document(config, overlay(document, changes or {}))
        (folder / "users.htpasswd").touch()
        self.access()
        clean = {name: value for name, value in os.environ.items() if not name.startswith("NOTARY_")}
        self.daemon = Daemon("notary-server", config, clean, self._ready, verb=("tokens", "serve"))
        self.run("key", "create")

    def __enter__(self) -> TokenService:
        """Start it."""
        self.daemon.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it."""
        self.daemon.stop()

    def access(self, **sections: object) -> None:
        """Write the access file anew."""
        write_document(self.folder / "access.json", sections)

    def user(self, name: str, password: str) -> None:
        """Give a user a password."""
        self._passwords[name] = bcrypt.hashpw(password.encode(), bcrypt.gensalt(_COST)).decode()
        lines = (f"{known}:{hashed}\n" for known, hashed in self._passwords.items())
        (self.folder / "users.htpasswd").write_text("".join(lines))

    def robot(self, name: str, gun: str, *actions: str) -> str:
        """Make a robot; its secret."""
        wanted = [word for action in actions for word in ("--action", action)]
        return self.run("robot", "create", name, "--gun-prefix", gun, *wanted).strip()

    def run(self, *arguments: str) -> str:
        """Run another command of the group, in this process: it takes a hundredth of the time; its standard output."""
        done = CliRunner().invoke(main, ["tokens", *arguments, "--config", str(self.daemon.config)])
        assert done.exit_code == 0, done.output
        return done.stdout

    @property
    def log(self) -> list[dict[str, Any]]:
        """All its log lines."""
        return [json.loads(line) for line in self.daemon.log.read_text().splitlines()]

    def get(self, *scopes: str, user: str = "", password: str = "", **parameters: str) -> Answer:
        """Ask as docker does."""
        query = urllib.parse.urlencode([("scope", scope) for scope in scopes] + [*parameters.items()])
        secret = base64.b64encode(f"{user}:{password}".encode()).decode()
        return self.request(f"/token?{query}", headers={"Authorization": f"Basic {secret}"} if user else {})

    def post(self, **form: str) -> Answer:
        """Ask as Portieris does, and OAuth clients."""
        return self.request("/token", body=urllib.parse.urlencode(form).encode())

    def request(self, path: str, body: bytes | None = None, headers: Mapping[str, str] = {}) -> Answer:
        """Any request."""
        request = urllib.request.Request(self.url + path, body, dict(headers))
        context = ssl.create_default_context(cafile=str(self.ca_file))
        try:
            with urllib.request.urlopen(request, context=context, timeout=30) as answer:
                return Answer(answer.status, dict(answer.headers), json.loads(answer.read()))
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, dict(error.headers), json.loads(error.read()))

    def _ready(self) -> bool:
        try:
            return self.request("/health").status == 200
        except OSError:
            return False
