"""The command line: `notary-server serve | auth | db | doctor | expiry | repo | takeover | tokens | webhooks`, and Notary's own spelling of `serve`."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from notary_common.command import (
    Daemon,
    config_option,
    database_problems,
    good,
    refuse,
    refuse_bootstrap,
    serve_options,
    stop,
    tls_problems,
    tls_warnings,
    version_option,
)

from .commands import PROGRAM
from .commands.archive import export_repositories, import_repositories
from .commands.auth import auth
from .commands.db import db
from .commands.doctor import doctor
from .commands.expiry import expiry
from .commands.repo import repo
from .commands.reset import reset
from .commands.takeover import takeover
from .commands.tokens import tokens
from .commands.upkeep import prune, renew, verify
from .commands.webhooks import webhooks

if TYPE_CHECKING:
    from structlog.stdlib import BoundLogger

    from notary_common.log import LogFormat

    from .config import ServerConfig

MAX_WORKERS = 128
"""More processes than machines have cores; at 10 database connections each PostgreSQL's usual 100 end much sooner."""


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


def _looked_at(config_file: Path, workers: int) -> tuple[ServerConfig | None, list[str]]:
    """The configuration, or all that keeps the server from starting with it."""
    from notary_common.config import ConfigError  # noqa: PLC0415 - pydantic would slow --help down

    from .certificates import tls_files  # noqa: PLC0415
    from .config import inspect, worker_problems  # noqa: PLC0415
    from .token_issuers import file_problems  # noqa: PLC0415
    from .workers.apart import apart  # noqa: PLC0415

    try:
        reading = inspect(config_file, os.environ)
    except ConfigError as error:
        return None, list(error.problems)
    draft = reading.draft
    problems = [str(problem) for problem in (*reading.problems, *worker_problems(draft, workers))]
    for files in tls_files(draft):
        problems += tls_problems(files)
    if reading.sound("auth"):
        problems += file_problems(draft.auth)
    if reading.sound("storage.backend", "storage.db_url"):
        look = partial(database_problems, draft.storage, draft.base_dir, "server", config_file)
        # The master of several workers never opens the database itself.
        problems += look() if workers == 1 else apart(look)
    return (None, problems) if problems else (reading.accepted(), [])


def _alerts(config: ServerConfig) -> list[str]:
    from .certificates import tls_files  # noqa: PLC0415
    from .token_issuers import file_alerts  # noqa: PLC0415

    tls = [alert for files in tls_files(config) for alert in tls_warnings(files)]
    return [*tls, *file_alerts(config.auth)]


def _start(config: ServerConfig, logger: BoundLogger) -> None:
    """Serve in this process."""
    import uvloop  # noqa: PLC0415

    from notary_common.database import DatabaseError  # noqa: PLC0415
    from notary_common.management import ManagementUnavailable  # noqa: PLC0415
    from notary_common.tls import TlsError  # noqa: PLC0415

    from .app import serve as run  # noqa: PLC0415

    failure = ""
    try:
        uvloop.run(run(config, lambda address: logger.info("serving", address=address)))
    except* (TlsError, DatabaseError) as group:
        failure = f"cannot start: {group.exceptions[0]}"
    except* ManagementUnavailable as group:
        failure = str(group.exceptions[0])
    except* OSError as group:
        failure = _cannot_listen(config, "; ".join(str(error) for error in group.exceptions))
    if failure:
        stop(PROGRAM, failure)


def _start_workers(config: ServerConfig, logger: BoundLogger, config_file: Path, workers: int) -> None:
    """Be the master of worker processes."""
    from notary_common.management import ManagementUnavailable, listen_for_management  # noqa: PLC0415
    from notary_common.tls import TlsError  # noqa: PLC0415

    from .app import listen, shown_address  # noqa: PLC0415
    from .certificates import listening_tls  # noqa: PLC0415
    from .workers.manager import run  # noqa: PLC0415
    from .workers.plan import Plan  # noqa: PLC0415

    def replan() -> Plan | None:
        new, problems = _looked_at(config_file, workers)
        if new is not None and new.server.http_addr != config.server.http_addr:
            problems = ["server.http_addr: cannot change while the server runs; restart it"]
        if new is not None and new.management.http_addr != config.management.http_addr:
            problems = [*problems, "management.http_addr: cannot change while the server runs; restart it"]
        if new is not None and not problems:
            try:
                return Plan(new, listening_tls(new))
            except TlsError as error:
                problems = [str(error)]
        logger.error("reload refused, the server goes on as it is", problems=problems)
        return None

    try:
        plan, listeners = Plan(config, listening_tls(config)), listen(config)
        management = listen_for_management(config.management)
    except TlsError as error:
        stop(PROGRAM, f"cannot start: {error}")
    except ManagementUnavailable as error:
        stop(PROGRAM, str(error))
    except OSError as error:
        stop(PROGRAM, _cannot_listen(config, str(error)))
    run(plan, listeners, management, shown_address(config, listeners), workers, replan)


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
    if not config.server.secure and config.server.tls_source == "files":
        logger.warning(
            "server.tls_cert_file is not set: serving plain HTTP; if TLS ends at a proxy in front, set "
            "server.tls_source to terminated"
        )
    if config.trust_service.type == "local":
        logger.error("trust_service.type is local: the signing keys are lost when this process ends")
    return logger


def _cannot_listen(config: ServerConfig, reason: str) -> str:
    return f"server.http_addr: cannot listen on {config.server.address} ({reason}); free it or choose another"


for command in (verify, prune, renew, reset, export_repositories, import_repositories):
    repo.add_command(command)
main.add_command(doctor)
for group in (auth, db, expiry, repo, takeover, tokens, webhooks):
    main.add_command(group)
