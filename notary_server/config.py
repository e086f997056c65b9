"""The server's configuration: Notary's server-config.json, and our additions, as one frozen tree."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field

from notary_common.config import Document, Problem, Reading, Section, read
from notary_common.sections import Logging, Reporting, Storage, common_problems, together
from notary_common.values import (
    File,
    Flag,
    GunPrefixes,
    Host,
    Listen,
    Port,
    SocketPath,
    TcpAddress,
    Text,
    between,
    duration,
    one_of,
    shown,
    text,
)

ENVIRONMENT_PREFIX = "NOTARY_SERVER"
_MAX_AGE = BeforeValidator(between(0, 31536000))


class Server(Section):
    """Where and how the server listens."""

    http_addr: TcpAddress | None = Field(default=None, description="`host:port` or `:port`. Required.")
    tls_cert_file: File | None = Field(
        default=None, description="Certificate chain, PEM, the server's own first. Without it: plain HTTP."
    )
    tls_key_file: File | None = Field(
        default=None, description="Private key of the certificate, PEM, not encrypted."
    )
    client_ca_file: File | None = Field(
        default=None, description="If set, clients must show a certificate that a CA of this PEM file signed."
    )

    @property
    def address(self) -> Listen:
        """Where to listen."""
        assert self.http_addr is not None, "an accepted configuration has one"  # noqa: S101
        return self.http_addr


class TrustService(Section):
    """Who holds the snapshot and timestamp keys."""

    type: Annotated[str, BeforeValidator(one_of("remote", "local"))] | None = Field(
        default=None,
        description="`remote`: the signer. `local`: Ed25519 keys in this process, lost when it ends. Required.",
    )
    hostname: Host | None = Field(default=None, description="The signer's name, as its certificate has it.")
    port: Port | None = Field(default=None, description="The signer's port, a number or its digits.")
    socket: SocketPath | None = Field(
        default=None, description="Path of the signer's Unix socket, instead of `hostname` and `port`."
    )
    key_algorithm: Annotated[str, BeforeValidator(one_of("ecdsa", "ed25519", "rsa"))] | None = Field(
        default=None, description="Kind of new keys: `ecdsa`, `ed25519` or `rsa`. Required for `remote`."
    )
    tls_ca_file: File | None = Field(
        default=None, description="CA of the signer's certificate, PEM. Without it: those the system trusts."
    )
    tls_client_cert: File | None = Field(
        default=None, description="The server's certificate towards the signer, PEM."
    )
    tls_client_key: File | None = Field(
        default=None, description="Private key of that certificate, PEM, not encrypted."
    )
    timeout: Annotated[float, BeforeValidator(duration(0.1, 300))] = Field(
        default=10.0, description="Seconds the signer may take for one answer, 0.1 to 300."
    )


def _auth_type(value: object) -> str:
    word = text(value)
    if word == "token":
        raise ValueError(
            '"token" is refused: this version cannot check tokens yet. Remove auth to let everybody in, and put '
            "a proxy that authenticates in front of it"
        )
    raise ValueError(f'"{shown(word)}" is not known; remove auth to let everybody in')


class AuthOptions(Section):
    """Whose tokens are believed."""

    realm: Text | None = Field(default=None, description="Address of the token service.")
    service: Text | None = Field(default=None, description="This server's name in tokens.")
    issuer: Text | None = Field(default=None, description="Name of the token service in tokens.")
    rootcertbundle: Text | None = Field(
        default=None, description="PEM file of the certificates that vouch for tokens."
    )
    autoredirect: Flag = Field(
        default=False, description="Whether the realm follows the request's Host header."
    )


class Auth(Section):
    """Who may do what."""

    type: Annotated[str, BeforeValidator(_auth_type)] | None = Field(
        default=None,
        description="Absent: everybody may do everything. `token` is refused until this version can check tokens; "
        "any other value is refused too.",
    )
    options: AuthOptions = AuthOptions()


class MaxAge(Section):
    """How long metadata may be cached by clients and proxies."""

    current_metadata: Annotated[int, _MAX_AGE] = Field(
        default=300, description="Seconds for files asked for by role, 0 to 31536000. 0 forbids caching."
    )
    consistent_metadata: Annotated[int, _MAX_AGE] = Field(
        default=2592000,
        description="Seconds for files asked for by version or checksum, 0 to 31536000. 0 forbids caching.",
    )


class Caching(Section):
    """Cache headers of metadata."""

    max_age: MaxAge = MaxAge()


class Repositories(Section):
    """Which repositories this server takes."""

    gun_prefixes: GunPrefixes = Field(
        default=(),
        description="Only repositories whose name begins with one of these, each relative and ending in one slash. "
        "Empty: all. In the environment: separated by blanks.",
    )


class Limits(Section):
    """Bounds on what one client can ask for."""

    max_upload_bytes: Annotated[int, BeforeValidator(between(1024, 1 << 30))] = Field(
        default=100 << 20, description="Bytes of one publish, 1024 to 1073741824."
    )
    max_parts: Annotated[int, BeforeValidator(between(4, 10000))] = Field(
        default=256, description="Files in one publish, 4 to 10000."
    )
    max_json_depth: Annotated[int, BeforeValidator(between(16, 256))] = Field(
        default=256, description="Nested values in one metadata file, 16 to 256."
    )
    max_changefeed_records: Annotated[int, BeforeValidator(between(1, 100000))] = Field(
        default=10_000, description="Changefeed records in one answer, 1 to 100000."
    )
    max_cache_bytes: Annotated[int, BeforeValidator(between(0, 1 << 36))] = Field(
        default=64 << 20,
        description="Bytes of metadata that each process keeps in memory, 0 to 68719476736. 0 keeps none.",
    )
    max_concurrent_publishes: Annotated[int, BeforeValidator(between(1, 1000))] = Field(
        default=8, description="Publishes worked on at the same time, 1 to 1000; more wait their turn."
    )
    publish_wait: Annotated[float, BeforeValidator(duration(0.1, 300))] = Field(
        default=10.0,
        description="Seconds a publish waits for its turn before it is answered 503, 0.1 to 300.",
    )
    request_timeout: Annotated[float, BeforeValidator(duration(1, 3600))] = Field(
        default=60.0, description="Seconds a client may take to send one request, 1 to 3600."
    )
    shutdown_timeout: Annotated[float, BeforeValidator(duration(0, 600))] = Field(
        default=25.0,
        description="Seconds that running requests get to finish when the server is told to stop, 0 to 600.",
    )


class ServerConfig(Document):
    """The whole of it. Paths are absolute; what is None was not set."""

    server: Server = Server()
    trust_service: TrustService = TrustService()
    storage: Storage = Storage()
    auth: Auth = Auth()
    caching: Caching = Caching()
    repositories: Repositories = Repositories()
    limits: Limits = Limits()
    logging: Logging = Logging()
    reporting: Reporting = Reporting()


def inspect(path: Path, environ: Mapping[str, str]) -> Reading[ServerConfig]:
    """Read the file as far as it can be read, with all problems.

    Raises:
        notary_common.config.ConfigError: the file itself cannot be read or parsed.
    """
    return read(ServerConfig, path, environ, ENVIRONMENT_PREFIX, _problems)


def load(path: Path, environ: Mapping[str, str]) -> ServerConfig:
    """Read the file, with `NOTARY_SERVER_*` from `environ` laid over it.

    Raises:
        notary_common.config.ConfigError: with every problem that was found.
    """
    return inspect(path, environ).accepted()


def _problems(raw: Mapping[str, object]) -> list[Problem]:
    problems = common_problems(raw)
    if raw.get("server.http_addr") is None:
        problems.append(Problem("server.http_addr", 'is missing; say where to listen, e.g. ":4443"'))
    problems += together(raw, "server.tls_cert_file", "server.tls_key_file")
    if raw.get("server.client_ca_file") is not None and raw.get("server.tls_cert_file") is None:
        problems.append(
            Problem(
                "server.tls_cert_file",
                "is missing beside server.client_ca_file; client certificates need TLS",
            )
        )
    problems += together(raw, "trust_service.tls_client_cert", "trust_service.tls_client_key")
    if raw.get("trust_service.type") is None:
        problems.append(Problem("trust_service.type", "is missing; write remote or local"))
    elif raw["trust_service.type"] == "remote":
        problems += _remote_problems(raw)
    # An empty type says "nobody is checked"; options without one are more likely a type that got lost.
    if "auth.type" not in raw and any(key.startswith("auth.options.") for key in raw):
        problems.append(
            Problem(
                "auth.type",
                'is missing beside auth.options; remove auth, or set auth.type to "", to let everybody in',
            )
        )
    return problems


def _remote_problems(raw: Mapping[str, object]) -> list[Problem]:
    problems: list[Problem] = []
    network = ("trust_service.hostname", "trust_service.port")
    if raw.get("trust_service.socket") is not None:
        problems += [
            Problem(key, "stands beside trust_service.socket; keep one of the two")
            for key in network
            if raw.get(key) is not None
        ]
    else:
        problems += [
            Problem(key, "is missing; say where the signer is, or set trust_service.socket")
            for key in network
            if raw.get(key) is None
        ]
    if raw.get("trust_service.key_algorithm") is None:
        problems.append(Problem("trust_service.key_algorithm", "is missing; write ecdsa, ed25519 or rsa"))
    return problems


def worker_problems(config: ServerConfig, workers: int) -> list[Problem]:
    """Why so many processes cannot serve this together: what one keeps to itself, the others do not see."""
    if workers == 1:
        return []
    problems = []
    if config.storage.backend == "memory":
        problems.append(
            Problem(
                "storage.backend", "each worker would have a memory of its own; use postgres, or --workers 1"
            )
        )
    if config.trust_service.type == "local":
        problems.append(
            Problem(
                "trust_service.type", "each worker would have keys of its own; use remote, or --workers 1"
            )
        )
    return problems
