"""The command line: `notary-server serve | db upgrade | repo list | repo show`, and Notary's own spelling of `serve`."""

from __future__ import annotations

import json
import os
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from notary_common.command import (
    Daemon,
    config_option,
    database_problems,
    database_target,
    good,
    inspected,
    refuse,
    refuse_bootstrap,
    serve_options,
    stop,
    tls_problems,
    tls_warnings,
    upgrade_database,
    version_option,
)

if TYPE_CHECKING:
    from structlog.stdlib import BoundLogger

    from notary_common.log import LogFormat

    from .config import ServerConfig
    from .storage.sql_store import SqlStore

PROGRAM = "notary-server"
MAX_WORKERS = 128
"""More processes than machines have cores; at 10 database connections each PostgreSQL's usual 100 end much sooner."""
Result = TypeVar("Result")


def _worker_count(_context: click.Context, _option: click.Parameter, number: int) -> int:
    if not 1 <= number <= MAX_WORKERS:
        raise click.BadParameter(f"must be from 1 to {MAX_WORKERS}")
    return number


@click.group(cls=Daemon)
@version_option()
def main() -> None:
    """The trust server for Docker Content Trust.

    \b
    Example:
      notary-server db upgrade --config server-config.json
      notary-server serve --config server-config.json
    """


@main.command()
@config_option("server-config.json")
@click.option(
    "--workers",
    metavar="N",
    type=int,
    default=1,
    show_default=True,
    callback=_worker_count,
    help=f"Server processes, 1 to {MAX_WORKERS}. One for each core is best. Each keeps up to storage.pool_size "
    "database connections.",
)
@serve_options
def serve(
    config_file: Path, check_config: bool, logf: LogFormat, debug: bool, bootstrap: bool, workers: int
) -> None:
    """Serve until SIGTERM or SIGINT.

    With --workers, SIGHUP reads the configuration and its certificates anew without dropping a request.

    \b
    Example:
      notary-server serve --config server-config.json --check-config
      notary-server serve --config server-config.json
      notary-server serve --config server-config.json --workers 4
    """
    if bootstrap:
        refuse_bootstrap(PROGRAM)
    config, problems = _looked_at(config_file, workers)
    if config is None:
        refuse(PROGRAM, config_file, problems)
    if check_config:
        good(_alerts(config))
        return
    logger = _begin_log(config, logf, debug)
    if workers == 1:
        _start(config, logger)
    else:
        _start_workers(config, logger, config_file, workers)


@main.group()
def db() -> None:
    """The server's database.

    \b
    Example:
      notary-server db upgrade --config server-config.json
    """


@db.command()
@config_option("server-config.json")
def upgrade(config_file: Path) -> None:
    """Make the tables this version needs, in a new database or in one of Notary's.

    Does nothing if they are there already. Only the file's `storage` section is looked at.

    \b
    Example:
      notary-server db upgrade --config server-config.json
    """
    from .config import inspect  # noqa: PLC0415 - pydantic would slow --help down

    upgrade_database(PROGRAM, inspected(PROGRAM, config_file, inspect), "server", config_file)


@main.group()
def repo() -> None:
    """What is stored.

    \b
    Example:
      notary-server repo list --config server-config.json
      notary-server repo show --config server-config.json registry.example.org/team/app
    """


@repo.command("list")
@config_option("server-config.json")
@click.option("--prefix", default="", help="Only repositories whose name begins with this.")
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
def list_repositories(config_file: Path, prefix: str, as_json: bool) -> None:
    """List the stored repositories with the latest version of each role.

    \b
    Example:
      notary-server repo list --config server-config.json
      notary-server repo list --config server-config.json --prefix registry.example.org/ --json
    """
    from .repository_report import list_as_text, listed  # noqa: PLC0415

    found = _with_store(config_file, lambda store: store.repositories(prefix))
    rows = [listed(repository) for repository in found]
    click.echo(json.dumps(rows, indent=2) if as_json else list_as_text(rows))


@repo.command("show")
@config_option("server-config.json")
@click.argument("gun")
@click.option("--json", "as_json", is_flag=True, help="Write JSON, with whole key IDs and digests.")
def show_repository(config_file: Path, gun: str, as_json: bool) -> None:
    """Show the roles, signers and tags of the repository GUN.

    \b
    Example:
      notary-server repo show --config server-config.json registry.example.org/team/app
    """
    from .repository_report import read_repository, show_as_text  # noqa: PLC0415

    report = _with_store(config_file, lambda store: read_repository(store, gun))
    if report is None:
        stop(PROGRAM, f"nothing is stored of {gun!r}; see: {PROGRAM} repo list --config {config_file}")
    click.echo(json.dumps(report, indent=2) if as_json else show_as_text(report))


def _looked_at(config_file: Path, workers: int) -> tuple[ServerConfig | None, list[str]]:
    """The configuration, or all that keeps the server from starting with it."""
    from notary_common.config import ConfigError  # noqa: PLC0415 - pydantic would slow --help down

    from .config import inspect, worker_problems  # noqa: PLC0415
    from .workers.apart import apart  # noqa: PLC0415

    try:
        reading = inspect(config_file, os.environ)
    except ConfigError as error:
        return None, list(error.problems)
    draft = reading.draft
    problems = [str(problem) for problem in (*reading.problems, *worker_problems(draft, workers))]
    for files in _tls_files(draft):
        problems += tls_problems(files)
    if reading.sound("storage.backend", "storage.db_url"):
        look = partial(database_problems, draft.storage, draft.base_dir, "server", config_file)
        # The master of several workers never opens the database itself.
        problems += look() if workers == 1 else apart(look)
    return (None, problems) if problems else (reading.accepted(), [])


def _tls_files(config: ServerConfig) -> tuple[dict[str, Path | None], ...]:
    """The TLS files towards clients and towards the signer."""
    server, trust = config.server, config.trust_service
    return (
        {
            "server.tls_cert_file": server.tls_cert_file,
            "server.tls_key_file": server.tls_key_file,
            "server.client_ca_file": server.client_ca_file,
        },
        {
            "trust_service.tls_client_cert": trust.tls_client_cert,
            "trust_service.tls_client_key": trust.tls_client_key,
            "trust_service.tls_ca_file": trust.tls_ca_file,
        },
    )


def _alerts(config: ServerConfig) -> list[str]:
    return [alert for files in _tls_files(config) for alert in tls_warnings(files)]


def _start(config: ServerConfig, logger: BoundLogger) -> None:
    """Serve in this process."""
    import uvloop  # noqa: PLC0415

    from notary_common.database import DatabaseError  # noqa: PLC0415
    from notary_common.tls import TlsError  # noqa: PLC0415

    from .app import serve as run  # noqa: PLC0415

    failure = ""
    try:
        uvloop.run(run(config, lambda address: logger.info("serving", address=address)))
    except* (TlsError, DatabaseError) as group:
        failure = f"cannot start: {group.exceptions[0]}"
    except* OSError as group:
        failure = _cannot_listen(config, "; ".join(str(error) for error in group.exceptions))
    if failure:
        stop(PROGRAM, failure)


def _start_workers(config: ServerConfig, logger: BoundLogger, config_file: Path, workers: int) -> None:
    """Be the master of worker processes."""
    from notary_common.tls import TlsError  # noqa: PLC0415

    from .app import listen, listening_tls, shown_address  # noqa: PLC0415
    from .workers.manager import run  # noqa: PLC0415
    from .workers.plan import Plan  # noqa: PLC0415

    def replan() -> Plan | None:
        new, problems = _looked_at(config_file, workers)
        if new is not None and new.server.http_addr != config.server.http_addr:
            problems = ["server.http_addr: cannot change while the server runs; restart it"]
        if new is not None and not problems:
            try:
                return Plan(new, listening_tls(new))
            except TlsError as error:
                problems = [str(error)]
        logger.error("reload refused, the server goes on as it is", problems=problems)
        return None

    try:
        plan, listeners = Plan(config, listening_tls(config)), listen(config)
    except TlsError as error:
        stop(PROGRAM, f"cannot start: {error}")
    except OSError as error:
        stop(PROGRAM, _cannot_listen(config, str(error)))
    run(plan, listeners, shown_address(config, listeners), workers, replan)


def _begin_log(config: ServerConfig, logf: LogFormat, debug: bool) -> BoundLogger:
    """Log from now on, and say what whoever starts the server should know."""
    from notary_common import log  # noqa: PLC0415

    log.configure(config.logging.level, logf)
    log.install_level_signals()
    logger = log.get_logger("notary_server")
    for alert in _alerts(config):
        logger.error(alert)
    if debug:
        logger.warning(
            "-debug has no effect: there is no profiling port; set logging.level to debug for more lines"
        )
    if config.reporting.bugsnag.api_key is not None:
        logger.warning("reporting.bugsnag is accepted and not used: errors are only logged")
    if config.server.tls_cert_file is None:
        logger.warning("server.tls_cert_file is not set: serving plain HTTP")
    if config.trust_service.type == "local":
        logger.error("trust_service.type is local: the signing keys are lost when this process ends")
    return logger


def _cannot_listen(config: ServerConfig, reason: str) -> str:
    return f"server.http_addr: cannot listen on {config.server.address} ({reason}); free it or choose another"


def _with_store(config_file: Path, work: Callable[[SqlStore], Awaitable[Result]]) -> Result:
    """Do `work` with the configured database; stops with a sentence if it cannot be used."""
    import asyncio  # noqa: PLC0415

    from notary_common.database import open_database  # noqa: PLC0415

    from .config import inspect  # noqa: PLC0415
    from .errors import StoreUnavailable  # noqa: PLC0415
    from .storage.sql_store import SqlStore  # noqa: PLC0415

    reading = inspected(PROGRAM, config_file, inspect)
    draft = reading.draft
    problems = [str(problem) for problem in reading.problems if problem.key.split(".")[0] == "storage"]
    problems = problems or database_problems(draft.storage, draft.base_dir, "server", config_file)
    if problems:
        refuse(PROGRAM, config_file, problems)
    target = database_target(draft.storage, draft.base_dir)
    if target.in_memory:
        refuse(PROGRAM, config_file, ["storage: a database in memory can only be seen by the server itself"])

    async def run() -> Result:
        store = SqlStore(open_database(target, pool_size=1))
        try:
            return await work(store)
        finally:
            await store.close()

    try:
        return asyncio.run(run())
    except StoreUnavailable as error:
        stop(PROGRAM, f"storage.db_url: {error.message}")
