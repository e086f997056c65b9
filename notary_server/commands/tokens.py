"""`notary-server tokens`: the token service for those who have none."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from notary_common.command import config_option, good, inspected, refuse, stop, tls_problems, tls_warnings

from . import PROGRAM
from .token_keys import key
from .token_robots import robot

if TYPE_CHECKING:
    from notary_common.log import LogFormat

    from ..tokens.config import TokensConfig


@click.group()
def tokens() -> None:
    """A token service, for those who have none.

    It gives tokens for the registry and for this server to users, robots and workloads. It is a process of its own with
    a configuration of its own; see docs/operations/token-service.md.

    \b
    Example:
      notary-server tokens key create --config tokens-config.json
      notary-server tokens robot create ci --gun-prefix registry.example.org/team/ --action push --config tokens-config.json
      notary-server tokens serve --config tokens-config.json
    """


@tokens.command()
@config_option("tokens-config.json")
@click.option(
    "--logf",
    type=click.Choice(["json", "logfmt"]),
    default="json",
    show_default=True,
    help="How log lines on standard error are written.",
)
@click.option("--check-config", is_flag=True, help="Only say whether the service could start.")
def serve(config_file: Path, logf: LogFormat, check_config: bool) -> None:
    """Serve until SIGTERM or SIGINT.

    \b
    Example:
      notary-server tokens serve --config tokens-config.json --check-config
      notary-server tokens serve --config tokens-config.json
    """
    from ..tokens.config import inspect  # noqa: PLC0415 - pydantic would slow --help down

    reading = inspected(PROGRAM, config_file, inspect)
    draft = reading.draft
    problems = [str(problem) for problem in reading.problems]
    problems += tls_problems(_tls_files(draft)) + _file_problems(draft)
    if problems:
        refuse(PROGRAM, config_file, problems)
    alerts = _alerts(reading.accepted())
    if check_config:
        good(alerts)
        return
    _start(draft, logf, alerts)


def _tls_files(config: TokensConfig) -> dict[str, Path | None]:
    server = config.server
    return {
        "server.tls_cert_file": server.tls_cert_file,
        "server.tls_key_file": server.tls_key_file,
        "server.client_ca_file": None,
    }


def _file_problems(config: TokensConfig) -> list[str]:
    from ..tokens.app import file_problems  # noqa: PLC0415 - aiohttp would slow --help down

    return file_problems(config)


def _alerts(config: TokensConfig) -> list[str]:
    from ..tokens.app import now, open_files, warnings  # noqa: PLC0415

    return tls_warnings(_tls_files(config)) + warnings(open_files(config), now())


def _start(config: TokensConfig, logf: LogFormat, alerts: list[str]) -> None:
    import uvloop  # noqa: PLC0415

    from notary_common import log  # noqa: PLC0415
    from notary_common.management import ManagementUnavailable  # noqa: PLC0415
    from notary_common.tls import TlsError  # noqa: PLC0415

    from ..tokens.app import serve as run  # noqa: PLC0415
    from ..tokens.files import FileProblem  # noqa: PLC0415

    log.configure(config.logging.level, logf)
    log.install_level_signals()
    logger = log.get_logger("notary_server.tokens")
    for alert in alerts:
        logger.error(alert)
    try:
        uvloop.run(run(config, lambda address: logger.info("serving", address=address)))
    except (TlsError, FileProblem, ManagementUnavailable) as error:
        stop(PROGRAM, f"cannot start: {error}")
    except OSError as error:
        address = config.server.address
        stop(PROGRAM, f"server.http_addr: cannot listen on {address} ({error}); free it or choose another")


for group in (key, robot):
    tokens.add_command(group)
