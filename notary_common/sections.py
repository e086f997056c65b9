"""The parts of a configuration that server and signer have in common, and the rules that hold in both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import BeforeValidator, Field

from .config import Problem, Section
from .values import File, Secret, TcpAddress, Text, between, duration, one_of, text, web_address

LEVELS = ("debug", "info", "warning", "warn", "error", "fatal", "panic")


def known_backend(value: object) -> str:
    """A database this version speaks, by Notary's name; the others are refused with what to do."""
    word = text(value)
    if word == "rethinkdb":
        raise ValueError(
            '"rethinkdb" is not supported; set up postgres or mysql and publish the repositories anew'
        )
    return one_of("sqlite3", "postgres", "mysql", "memory")(value)


class Storage(Section):
    """Where data is kept."""

    backend: Annotated[str, BeforeValidator(known_backend)] | None = Field(
        default=None,
        description="`sqlite3`, `postgres`, `mysql` (MariaDB too), or `memory` (lost when the process ends). Required.",
    )
    db_url: Secret | None = Field(
        default=None,
        description="SQLite: a path, relative to the configuration file. PostgreSQL: "
        "`postgres://user:password@host:port/database?sslmode=...`. MySQL: "
        "`user:password@tcp(host:port)/database?parseTime=True&tls=...`. Required unless the backend is `memory`.",
    )
    pool_size: Annotated[int, BeforeValidator(between(1, 500))] = Field(
        default=10, description="Database connections that each process keeps open at most, 1 to 500."
    )
    pool_timeout: Annotated[float, BeforeValidator(duration(0.1, 300))] = Field(
        default=3.0,
        description="Seconds a request waits for a free connection before it is answered 503, 0.1 to 300.",
    )


def _level(value: object) -> str:
    return one_of(*LEVELS)(text(value).lower())


class Logging(Section):
    """What is logged."""

    level: Annotated[str, BeforeValidator(_level)] = Field(
        default="error", description="`debug`, `info`, `warning` (or `warn`), `error`, `fatal` or `panic`."
    )


class Management(Section):
    """A listener for probes and metrics, apart from the one for clients."""

    http_addr: TcpAddress | None = Field(
        default=None,
        description="`host:port` or `:port` for `/livez`, `/readyz` and `/metrics`, in plain HTTP; they name neither keys "
        "nor repositories. Without it: not listened on.",
    )


def _endpoint(value: object) -> str:
    return web_address(value, "http://host:4318/v1/traces")[0]


class Tracing(Section):
    """Traces by OpenTelemetry."""

    endpoint: Annotated[str, BeforeValidator(_endpoint)] | None = Field(
        default=None,
        description="Where a collector takes OTLP over HTTP, e.g. `http://collector:4318/v1/traces`. Without it: no traces.",
    )
    ca_file: File | None = Field(
        default=None, description="PEM: whom to believe there; without it those that the system believes."
    )
    ratio: Annotated[float, BeforeValidator(duration(0, 1))] = Field(
        default=0.1, description="Share of traces that are kept, 0 to 1, of those that begin here."
    )
    timeout: Annotated[float, BeforeValidator(duration(0.1, 60))] = Field(
        default=5.0, description="Seconds that the collector may take, 0.1 to 60. No request waits for it."
    )


class Bugsnag(Section):
    """Notary's error reporting service; accepted and not used."""

    api_key: Secret | None = Field(
        default=None, description="Accepted and not used. Required if another key of bugsnag is set."
    )
    release_stage: Text | None = Field(default=None, description="Accepted and not used.")
    endpoint: Text | None = Field(default=None, description="Accepted and not used.")


class Reporting(Section):
    """Where errors are reported; kept so that Notary's files are taken as they stand."""

    bugsnag: Bugsnag = Bugsnag()


def common_problems(raw: Mapping[str, object]) -> list[Problem]:
    """What must hold between the leaves of the common sections."""
    problems: list[Problem] = []
    if raw.get("storage.backend") is None:
        problems.append(Problem("storage.backend", "is missing; write sqlite3, postgres, mysql or memory"))
    elif raw["storage.backend"] != "memory" and raw.get("storage.db_url") is None:
        problems.append(Problem("storage.db_url", "is missing; say where the database is"))
    if raw.get("reporting.bugsnag.api_key") is None and any(
        key.startswith("reporting.bugsnag.") for key, value in raw.items() if value is not None
    ):
        problems.append(
            Problem("reporting.bugsnag.api_key", "is missing; write it, or remove reporting.bugsnag")
        )
    return problems


def together(raw: Mapping[str, object], first: str, second: str) -> list[Problem]:
    """A problem if only one of two leaves is set."""
    if (raw.get(first) is not None) == (raw.get(second) is not None):
        return []
    missing, given = (first, second) if raw.get(first) is None else (second, first)
    return [Problem(missing, f"is missing beside {given}; set both or neither")]


def spiffe_problems(raw: Mapping[str, object], asking: str) -> list[Problem]:
    """What the leaf `asking`, which says `spiffe`, needs."""
    if raw.get("server.spiffe_socket") is not None:
        return []
    example = "/run/spire/sockets/agent.sock"
    return [Problem("server.spiffe_socket", f"is missing beside {asking} spiffe; name it, e.g. {example}")]
