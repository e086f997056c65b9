"""The configuration of `notary-server tokens`, a file of its own."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, ValidationInfo

from notary_common.config import Document, Problem, Reading, Section, read
from notary_common.sections import Logging, Management, together
from notary_common.values import File, Listen, Networks, TcpAddress, between, duration, one_of, shown, text

ENVIRONMENT_PREFIX: Final = "NOTARY_TOKENS"
_REGISTRY: Final = re.compile(r"[A-Za-z0-9.\[\]:-]{1,253}(?::[0-9]{1,5})?", re.ASCII)
_WORD: Final = re.compile(r'[^\s"\\]{1,128}')


def _place(value: object, info: ValidationInfo) -> Path:
    """A path whose folder is there; relative paths start at the configuration file."""
    base: dict[str, Any] = info.context or {}
    path = Path(base["base_dir"]) / text(value)
    if not path.parent.is_dir():
        raise ValueError(f"the folder {path.parent} does not exist; make it, or correct the path")
    return path


def _registry(value: object) -> str:
    host = text(value)
    if _REGISTRY.fullmatch(host) is None:
        raise ValueError(
            f'is "{shown(host)}"; write host or host:port, as in the names of images, e.g. registry.example.org:5000'
        )
    return host


def _word(value: object) -> str:
    word = text(value)
    if not word.isprintable() or _WORD.fullmatch(word) is None:
        raise ValueError(
            f'is "{shown(word)}"; write at most 128 characters without blanks, quotes and backslashes'
        )
    return word


Place = Annotated[Path, BeforeValidator(_place)]
Word = Annotated[str, BeforeValidator(_word)]


class Server(Section):
    """Where the service listens."""

    http_addr: TcpAddress | None = Field(default=None, description="`host:port` or `:port`. Required.")
    tls_cert_file: File | None = Field(
        default=None,
        description="Certificate chain, PEM, the service's own first. Required, unless `tls_source` says otherwise.",
    )
    tls_key_file: File | None = Field(
        default=None, description="Private key of the certificate, PEM, not encrypted."
    )
    tls_source: Annotated[str, BeforeValidator(one_of("files", "terminated"))] = Field(
        default="files",
        description="`files`: those above. `terminated`: TLS ends at a proxy in front; plain HTTP here.",
    )
    trusted_proxies: Networks = Field(
        default=(),
        description="Addresses or networks (CIDR) of proxies whose word about a client's address is taken. In the "
        "environment: separated by blanks.",
    )
    forwarded_header: Annotated[str, BeforeValidator(one_of("x-forwarded-for", "forwarded"))] = Field(
        default="x-forwarded-for",
        description="The one header field those proxies set: `x-forwarded-for`, or `forwarded` (RFC 7239).",
    )

    @property
    def address(self) -> Listen:
        """Where to listen."""
        assert self.http_addr is not None, "an accepted configuration has one"  # noqa: S101
        return self.http_addr


class Tokens(Section):
    """What stands in tokens, and who signs them."""

    issuer: Word | None = Field(
        default=None,
        description="Name of this service in tokens: the `issuer` of the registry and the server. Required.",
    )
    service: Word | None = Field(
        default=None,
        description="Whom tokens are for: the `service` of the registry and the server. Required.",
    )
    registry: Annotated[str, BeforeValidator(_registry)] | None = Field(
        default=None,
        description="Host, and port if not 443, by which people call the registry. A repository that it calls "
        "`team/app` is then the GUN `HOST/team/app` in rules.",
    )
    key_dir: Place | None = Field(
        default=None, description="Folder of the keys that sign, see `tokens key create`. Required."
    )
    lifetime: Annotated[int, BeforeValidator(between(60, 3600))] = Field(
        default=300,
        description="Seconds that a token is good for, 60 to 3600. So long somebody who was removed still gets in.",
    )


class People(Section):
    """Who may ask for tokens. All three files are read again when they change."""

    access_file: File | None = Field(default=None, description="Who may do what. Required.")
    users_file: File | None = Field(
        default=None, description="Users and their passwords, made with `htpasswd -B`."
    )
    robots_file: Place | None = Field(
        default=None, description="Robots, see `tokens robot create`. Need not be there yet."
    )


class Limits(Section):
    """Bounds on what one client can ask for."""

    failures_per_user: Annotated[int, BeforeValidator(between(1, 10000))] = Field(
        default=10,
        description="Failed attempts in a minute with one user name, 1 to 10000; then it is refused for the rest of the minute.",
    )
    failures_per_address: Annotated[int, BeforeValidator(between(1, 10000))] = Field(
        default=30, description="Failed attempts in a minute from one address, 1 to 10000; likewise."
    )
    max_password_checks: Annotated[int, BeforeValidator(between(1, 64))] = Field(
        default=2, description="Passwords checked at the same time, 1 to 64; each keeps a processor busy."
    )
    max_request_bytes: Annotated[int, BeforeValidator(between(4096, 1 << 20))] = Field(
        default=64 << 10, description="Bytes of a request's body, 4096 to 1048576."
    )
    request_timeout: Annotated[float, BeforeValidator(duration(1, 300))] = Field(
        default=10.0, description="Seconds a client may take to send a request's body, 1 to 300."
    )
    shutdown_timeout: Annotated[float, BeforeValidator(duration(0, 600))] = Field(
        default=10.0,
        description="Seconds that running requests get to finish when the service is told to stop, 0 to 600.",
    )


class TokensConfig(Document):
    """The whole of it. Paths are absolute; what is None was not set."""

    server: Server = Server()
    tokens: Tokens = Tokens()
    people: People = People()
    limits: Limits = Limits()
    logging: Logging = Logging()
    management: Management = Management()


def inspect(path: Path, environ: Mapping[str, str]) -> Reading[TokensConfig]:
    """Read the file as far as it can be read, with all problems.

    Raises:
        notary_common.config.ConfigError: the file itself cannot be read or parsed.
    """
    return read(TokensConfig, path, environ, ENVIRONMENT_PREFIX, _problems)


def _problems(raw: Mapping[str, object]) -> list[Problem]:
    required = {
        "server.http_addr": 'say where to listen, e.g. ":5001"',
        "tokens.issuer": "write what the registry and the server have as issuer",
        "tokens.service": "write what the registry and the server have as service",
        "tokens.key_dir": "name a folder for the keys",
        "people.access_file": "name a file that says who may do what",
    }
    found = [
        Problem(key, f"is missing; {remedy}") for key, remedy in required.items() if raw.get(key) is None
    ]
    found += together(raw, "server.tls_cert_file", "server.tls_key_file")
    terminated = raw.get("server.tls_source") == "terminated"
    given = raw.get("server.tls_cert_file") is not None
    if terminated and given:
        found.append(
            Problem("server.tls_cert_file", "stands beside server.tls_source terminated; keep one of the two")
        )
    if not terminated and not given:
        found.append(
            Problem(
                "server.tls_cert_file",
                "is missing, and passwords would travel in the clear; set certificate and key, or "
                "server.tls_source to terminated if a proxy in front speaks TLS",
            )
        )
    return found
