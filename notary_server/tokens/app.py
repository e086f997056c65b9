"""The token service's composition root: reads its files, serves, and closes everything."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

from aiohttp import web

from notary_common.bind import bind
from notary_common.guests import Guests, connections
from notary_common.health import Health
from notary_common.management import listen_for_management, managing
from notary_common.tls import PemFiles, ReloadingContext, make_server
from notary_common.tls.watch import Watcher
from notary_common.values import Listen
from notary_server.http.accept import GuestAcceptor
from notary_server.http.forwarded import Proxies

from .access import OIDC_USER, Access, load_access
from .config import Server, TokensConfig
from .failures import Failures
from .files import FileProblem
from .htpasswd import Users, load_users
from .http import Listener
from .keys import TokenKeys, load_keys
from .metrics import Metrics
from .passwords import PasswordCheck
from .people import People
from .robots import Robots, load_robots
from .service import Naming, TokenService
from .watched import Watched
from .workload_tokens import WorkloadTokens

KEYS: Final = "keys"
PARTS: Final = (KEYS,)
"""What a token needs, by the names under which health tells of them."""
MAX_CONNECTIONS: Final = 1024
"""Open connections: clients ask once and go, so there are never many of those who mean it."""
MAX_CLIENT_CONNECTIONS: Final = 128
"""Of one address, behind which there may be a whole office."""


@dataclass(frozen=True, slots=True)
class Files:
    """The service's files, each read once and looked at again with every request."""

    access: Watched[Access]
    users: Watched[Users] | None
    robots: Watched[Robots] | None
    keys: Watched[TokenKeys]


def open_files(config: TokensConfig) -> Files:
    """Read all files.

    Raises:
        FileProblem: one of them cannot be used.
    """
    people, key_dir = config.people, config.tokens.key_dir
    assert people.access_file is not None, "an accepted configuration has one"  # noqa: S101
    assert key_dir is not None, "an accepted configuration has one"  # noqa: S101
    return Files(
        access=Watched(people.access_file, load_access),
        users=Watched(people.users_file, load_users) if people.users_file is not None else None,
        robots=Watched(people.robots_file, load_robots) if people.robots_file is not None else None,
        keys=Watched(key_dir, load_keys),
    )


def file_problems(config: TokensConfig) -> list[str]:
    """All that keeps the files from being used; what the configuration does not name is left out."""
    people = config.people
    loads: list[tuple[Path | None, Callable[[Path], object]]] = [
        (people.access_file, load_access),
        (people.users_file, load_users),
        (people.robots_file, load_robots),
        (config.tokens.key_dir, load_keys),
    ]
    problems: list[str] = []
    for path, load in loads:
        if path is not None:
            try:
                load(path)
            except FileProblem as problem:
                problems += problem.problems
    return problems


def warnings(files: Files, moment: datetime) -> list[str]:
    """What is allowed, and is probably not meant."""
    users = files.users.current().names if files.users is not None else frozenset[str]()
    robots = set(files.robots.current().by_name) if files.robots is not None else set[str]()
    granted = {name for rule in files.access.current().users for name in rule.names} - {"*"}
    found = [f"people.access_file: the user {name} does not exist" for name in sorted(granted - users)]
    found += [
        f"people.robots_file: {name} is the name of a user too; logs will not tell them apart"
        for name in sorted(robots & users)
    ]
    if OIDC_USER in users:
        found.append(
            f"people.users_file: the user {OIDC_USER} cannot log in: the name stands for identity tokens"
        )
    if files.keys.current().signing(moment) is None:
        found.append("tokens.key_dir: no key may sign now; see: notary-server tokens key list")
    return found


@asynccontextmanager
async def open_service(config: TokensConfig, files: Files) -> AsyncIterator[TokenService]:
    """The service, with its keys of issuers looked after."""
    tokens, limits = config.tokens, config.limits
    passwords = PasswordCheck(
        Failures(limits.failures_per_user, limits.failures_per_address), limits.max_password_checks
    )
    workloads = WorkloadTokens()
    workloads.attend(files.access.current().issuers)
    people = People(
        access=files.access,
        users=files.users,
        robots=files.robots,
        passwords=passwords,
        workloads=workloads,
        clock=now,
    )
    naming = Naming(tokens.issuer or "", tokens.service or "", tokens.registry, tokens.lifetime)
    try:
        yield TokenService(naming, people, files.keys, now, Metrics())
    finally:
        await workloads.close()
        passwords.close()


async def serve(config: TokensConfig, ready: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT, then let running requests finish.

    Raises:
        FileProblem, TlsError: a file cannot be used.
        OSError: the address cannot be listened on.
        ManagementUnavailable: likewise, for that of probes and metrics.
    """
    server, limits = config.server, config.limits
    tls = _listening_tls(server)
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    watcher = Watcher()
    if tls is not None:
        watcher.add(tls)
    management = listen_for_management(config.management)
    health = Health()
    async with (
        open_service(config, open_files(config)) as service,
        watcher.running(),
        health.watching(PARTS, partial(_condition, service)),
        managing(management, health, PARTS, service.metrics.exposition, stopped),
    ):
        proxies = Proxies(server.trusted_proxies, server.forwarded_header)
        guests = Guests(connections(MAX_CONNECTIONS), MAX_CLIENT_CONNECTIONS)
        listener = Listener(
            service,
            proxies,
            max_request_bytes=limits.max_request_bytes,
            request_timeout=limits.request_timeout,
        )
        runner = web.ServerRunner(listener, handle_signals=False, shutdown_timeout=limits.shutdown_timeout)
        listeners = bind(server.address.host, server.address.port)
        await runner.setup()
        port = listeners[0].getsockname()[1]
        context = None if tls is None else tls.current
        accepting = [GuestAcceptor(one, context, guests, proxies, listener.connection) for one in listeners]
        try:
            scheme = "http" if tls is None else "https"
            ready(f"{scheme}://{Listen(server.address.host or 'localhost', port)}/token")
            await stopped.wait()
        finally:
            for one in accepting:
                one.close()
            await runner.cleanup()


async def _condition(service: TokenService) -> dict[str, str]:
    return {} if service.ready else {KEYS: "no key may sign now; see: notary-server tokens key list"}


def _listening_tls(server: Server) -> ReloadingContext | None:
    """What to listen with, taken anew when its files change; None: plain HTTP."""
    if server.tls_cert_file is None:
        return None
    files = PemFiles(server.tls_cert_file, server.tls_key_file, None)
    return ReloadingContext("listener", "client_ca", files, make_server, "server", in_place=True)


def now() -> datetime:
    """The system's time."""
    return datetime.now(UTC)
