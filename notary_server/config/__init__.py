"""The server's configuration: Notary's server-config.json, and our additions, as one frozen tree."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import Field

from notary_common.config import Document, Problem, Reading, read
from notary_common.sections import Logging, Management, Reporting, Storage, Tracing, common_problems
from notary_common.values import Flag

from . import auth, listening, trust_service
from .audit import Audit
from .auth import Auth
from .limits import Limits
from .listening import Server
from .notifications import Notifications
from .repositories import Caching, Repositories
from .trust_service import TrustService

__all__ = ["ServerConfig", "TrustService", "inspect", "load", "worker_problems"]

ENVIRONMENT_PREFIX = "NOTARY_SERVER"


class ServerTracing(Tracing):
    """Traces by OpenTelemetry, which clients may be part of."""

    trust_clients: Flag = Field(
        default=False,
        description="Whether a request's `traceparent` says which trace it belongs to, and whether that is kept. Where strangers "
        "reach the server they could have every request traced.",
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
    audit: Audit = Audit()
    management: Management = Management()
    notifications: Notifications = Notifications()
    logging: Logging = Logging()
    tracing: ServerTracing = ServerTracing()
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
    sections = (common_problems, listening.problems, trust_service.problems, auth.problems)
    return [problem for look in sections for problem in look(raw)]


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
