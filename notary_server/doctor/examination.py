"""Try everything that a server depends on, one thing after the other, each within a time."""

from __future__ import annotations

import asyncio
import errno
import resource
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from prometheus_client import CollectorRegistry

from notary_common.bind import bind
from notary_common.command import database_target, tls_problems
from notary_common.config import Reading
from notary_common.database import Database, DatabaseError, Query, Session, open_database
from notary_common.schema import tables_problem
from notary_common.tls import PemFiles, TlsError
from notary_server.app import endpoints, open_context
from notary_server.certificates import open_certificates, tls_files
from notary_server.config import ServerConfig
from notary_server.errors import NotaryError
from notary_server.metrics import Metrics, SignerMetrics
from notary_server.signing.remote_signer import HttpSigner
from notary_server.storage.schema import TUF_FILES
from notary_server.token_issuers import file_alerts, file_problems
from notary_server.tuf.names import Gun

from . import checks
from .checks import Check
from .rehearsal import rehearse

PATIENCE: Final = 15.0
"""Seconds for one check: what hangs must not keep the rest from being told."""

_CLOCKS: Final = {
    "postgresql": "SELECT extract(epoch FROM clock_timestamp())",
    "mysql": "SELECT unix_timestamp(now(6))",
}
_ALLOWED: Final = {
    "postgresql": "SELECT current_setting('max_connections')::int",
    "mysql": "SELECT @@max_connections",
}
_CLOCK: Final = Query(lambda dialect: sa.text(_CLOCKS[dialect]))
_CONNECTIONS: Final = Query(lambda dialect: sa.text(_ALLOWED[dialect]))
_WRITE: Final = Query(
    lambda _: TUF_FILES.insert().values(
        gun="notary-doctor", role="timestamp", version=1, data=b"", sha256=sa.literal("0" * 64)
    )
)


class _TakenBack(Exception):
    """Ends a transaction without a trace."""


async def examine(reading: Reading[ServerConfig], gun: Gun | None) -> AsyncIterator[Check]:
    """Every check as soon as it is done.

    Args:
        gun: under which name the signer makes keys for a publish that is not stored; None: it is left out.
    """
    for check in here(reading):
        yield check
    config = reading.draft
    if reading.sound("storage.backend", "storage.db_url"):
        async for check in database(config):
            yield check
    else:
        yield Check("database", "skipped", "its address is not understood")
    if not reading.sound("trust_service"):
        yield Check("signer", "skipped", "trust_service is not understood")
        return
    reached = False
    async for check in signers(config):
        reached = reached or check.status == "ok"
        yield check
    if gun is not None and reached and not reading.problems:
        yield await bounded("publish", lambda: publishing(config, gun))
    elif gun is not None:
        why = "the configuration is not good" if reached else "no signer is ready"
        yield Check("publish", "skipped", why)


def here(reading: Reading[ServerConfig]) -> Iterator[Check]:
    """What can be seen on this machine alone."""
    config = reading.draft
    for problem in reading.problems:
        remedy = "correct it: docs/reference/configuration.md has every key"
        yield Check("configuration", "failed", str(problem), remedy)
    if not reading.problems:
        yield Check("configuration", "ok", "every key is understood")
    yield checks.open_files(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    if reading.sound("server.http_addr"):
        yield listening("listener", config.server.address.host, config.server.address.port)
    management = config.management.http_addr
    if management is not None:
        yield listening("management", management.host, management.port)
    for files in tls_files(config):
        yield from certificates(files, datetime.now(UTC))
    if reading.sound("auth"):
        yield from access(config)


async def bounded(name: str, check: Callable[[], Awaitable[Check]]) -> Check:
    """The check, or that it did not end in time."""
    try:
        async with asyncio.timeout(PATIENCE):
            return await check()
    except TimeoutError:
        return Check(
            name, "failed", f"no answer within {PATIENCE:g} seconds", "see whether it hangs, and its load"
        )


def listening(name: str, host: str, port: int) -> Check:
    """Whether the address can be listened on. That somebody does already is usual: the server, if it runs."""
    try:
        for listener in bind(host, port):
            listener.close()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return Check(name, "ok", f"port {port} is in use: by this server, if it runs")
        remedy = (
            "choose another address, or let this user have it: ports below 1024 need a right of their own"
        )
        return Check(name, "failed", f"port {port} cannot be listened on ({error.strerror})", remedy)
    return Check(name, "ok", f"port {port} is free")


def certificates(files: Mapping[str, Path | None], now: datetime) -> list[Check]:
    """Certificate, key and CA of one side. `files`: by their keys in the configuration, in that order."""
    (cert_name, cert), (key_name, key), (ca_name, ca) = files.items()
    problems = tls_problems(dict(files))
    found = [
        Check(
            problem.partition(":")[0],
            "failed",
            problem.partition(": ")[2],
            "put good files there: docs/operations/tls.md",
        )
        for problem in problems
    ]
    broken = {check.name for check in found}
    if key is not None and key_name not in broken:
        open_to_others = checks.secret(key_name, str(key), key.stat().st_mode)
        found += [] if open_to_others is None else [open_to_others]
    if cert is not None and not broken & {cert_name, key_name}:
        chain = PemFiles(cert, key, None).read().chain()
        found.append(checks.ends(cert_name, min(each.not_valid_after_utc for each in chain), now))
    if ca is not None and ca_name not in broken:
        believed = PemFiles(None, None, ca).read().believed()
        found.append(checks.ends(ca_name, max(each.not_valid_after_utc for each in believed), now))
    return found


def access(config: ServerConfig) -> list[Check]:
    """Who may come in, and whether the files of issuers can be used."""
    if config.auth.type is None:
        text = "there is no section auth: whoever reaches the server may publish and delete"
        return [
            Check(
                "auth", "warning", text, "docs/operations/auth.md; fine where only the right people reach it"
            )
        ]
    broken = [Check("auth", "failed", one, "docs/operations/auth.md") for one in file_problems(config.auth)]
    if broken:
        return broken
    old = [Check("auth", "warning", one, "renew it") for one in file_alerts(config.auth)]
    return old or [Check("auth", "ok", "tokens are asked for, and the issuers' files can be read")]


async def database(config: ServerConfig) -> AsyncIterator[Check]:
    """Whether it can be reached, has the tables, can be written to, and has room."""
    try:
        target = database_target(config.storage, config.base_dir)
    except DatabaseError as error:
        yield Check("database", "failed", str(error), "correct storage: docs/reference/configuration.md")
        return
    if target.in_memory:
        yield Check(
            "database", "warning", "in memory: everything is lost when the server ends", "set storage.backend"
        )
        return
    opened = open_database(target, pool_size=1, pool_timeout=PATIENCE, statement_timeout=PATIENCE)
    try:
        tables = await bounded("database", lambda: _tables(opened))
        yield tables
        if tables.status != "ok":
            return
        yield await bounded("database writes", lambda: _writes(opened))
        if opened.dialect in _CLOCKS:
            yield await bounded("clock", lambda: _clock(opened))
            yield await bounded("connections", lambda: _room(opened, config.storage.pool_size))
    except DatabaseError as error:
        yield Check(
            "database", "failed", str(error), "see whether it is up, and whether this user may do that"
        )
    finally:
        await opened.close()


async def _tables(opened: Database) -> Check:
    try:
        problem = await tables_problem(opened, "server")
    except DatabaseError as error:
        remedy = "check that it runs, that storage.db_url is right, and that this user may use it"
        return Check("database", "failed", str(error), remedy)
    if problem is None:
        return Check("database", "ok", f"{opened.dialect} answers and has the tables of this version")
    text, _, remedy = problem.partition("; ")
    return Check("database", "failed", text, remedy)


async def _writes(opened: Database) -> Check:
    name = "database writes"
    with suppress(_TakenBack):
        try:
            async with opened.transaction() as session:
                await _write(session)
        except DatabaseError as error:
            remedy = "give this user the right to write, and the address of the primary, not of a standby"
            return Check(name, "failed", str(error), remedy)
    return Check(name, "ok", "a row was written and taken back")


async def _write(session: Session) -> None:
    await session.run(_WRITE)
    raise _TakenBack


async def _clock(opened: Database) -> Check:
    async with opened.statement() as session:
        before = time.time()
        there = float((await session.rows(_CLOCK))[0][0])
    return checks.clock(there - (before + time.time()) / 2)


async def _room(opened: Database, pool_size: int) -> Check:
    async with opened.statement() as session:
        return checks.connections(pool_size, int((await session.rows(_CONNECTIONS))[0][0]))


async def signers(config: ServerConfig) -> AsyncIterator[Check]:
    """Each of the list by itself, as the server would ask it."""
    trust = config.trust_service
    if trust.type == "local":
        text = "trust_service.type is local: keys are lost when the server ends"
        yield Check("signer", "warning", text, "run a signer: docs/get-started.md")
        return
    async with AsyncExitStack() as opened:
        try:
            shown = await opened.enter_async_context(_certificates(config))
        except TlsError as error:
            yield Check("signer", "failed", str(error), "put good certificates there: docs/operations/tls.md")
            return
        for endpoint in endpoints(trust, shown):
            signer = HttpSigner([endpoint], trust.timeout, SignerMetrics(CollectorRegistry()))
            opened.push_async_callback(signer.close)
            yield await bounded(f"signer {endpoint.name}", partial(_ready, signer, endpoint.name))


@asynccontextmanager
async def _certificates(config: ServerConfig) -> AsyncIterator[Any]:
    async with open_certificates(config, None, Metrics()) as opened:
        yield opened.signer


async def _ready(signer: HttpSigner, name: str) -> Check:
    try:
        await signer.ping()
    except NotaryError as error:
        remedy = "on its machine: notary-signer serve --check-config, notary-signer token check, and its log"
        return Check(f"signer {name}", "failed", error.message, remedy)
    return Check(f"signer {name}", "ok", "answers, and its token and registry work")


async def publishing(config: ServerConfig, gun: Gun) -> Check:
    """A publish that is stored nowhere."""
    try:
        async with open_context(config) as context:
            await rehearse(context, gun)
    except (NotaryError, TlsError, DatabaseError) as error:
        remedy = "the signer's log and audit log say why; its clients section must let this server make keys and sign "
        remedy += f"for {gun}, or name another repository with --gun"
        return Check("publish", "failed", str(error), remedy)
    return Check("publish", "ok", f"signed and verified; nothing is stored, two keys of {gun} are retired")
