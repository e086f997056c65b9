"""The command line: `notary-signer serve | db | token | keys | audit`, and Notary's own spelling of `serve`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from notary_common.command import (
    Daemon,
    config_option,
    database_problems,
    good,
    inspected,
    refuse,
    refuse_bootstrap,
    serve_options,
    stop,
    tls_problems,
    tls_warnings,
    version_option,
)

from .commands import PROGRAM
from .commands.audit import audit
from .commands.db import db
from .commands.keys import keys
from .commands.old_keys import export_keys, import_keys
from .commands.rewrap import rewrap
from .commands.token import token

if TYPE_CHECKING:
    from notary_common.log import LogFormat

    from .config import SignerConfig


@click.group(cls=Daemon)
@version_option()
def main() -> None:
    """The process that holds the trust server's keys, in a PKCS#11 token.

    \b
    Example:
      notary-signer token init --config signer-config.json
      notary-signer db upgrade --config signer-config.json
      notary-signer serve --config signer-config.json
    """


@main.command()
@config_option("signer-config.json")
@serve_options
def serve(config_file: Path, check_config: bool, logf: LogFormat, debug: bool, bootstrap: bool) -> None:
    """Sign for the trust server until SIGTERM or SIGINT.

    \b
    Example:
      notary-signer serve --config signer-config.json --check-config
      notary-signer serve --config signer-config.json
    """
    if bootstrap:
        refuse_bootstrap(PROGRAM)
    config = _checked(config_file)
    alerts = tls_warnings(_tls_files(config)) + _pin_warnings(config) + _access_warnings(config)
    if check_config:
        good(alerts)
        return
    _start(config, logf, debug, alerts)


def _checked(config_file: Path) -> SignerConfig:
    """The configuration, if the signer could start with it; else all problems, and the end."""
    from .config import inspect, require_pin_file  # noqa: PLC0415

    reading = inspected(PROGRAM, config_file, inspect)
    require_pin_file(reading)
    draft = reading.draft
    problems = [str(problem) for problem in reading.problems]
    problems += tls_problems(_tls_files(draft))
    if reading.sound("storage.backend", "storage.db_url"):
        problems += database_problems(draft.storage, draft.base_dir, "signer", config_file)
    if problems:
        refuse(PROGRAM, config_file, problems)
    return reading.accepted()


def _pin_warnings(config: SignerConfig) -> list[str]:
    from .token.pin import exposure  # noqa: PLC0415

    path = config.pkcs11.pin_file
    problem = None if path is None else exposure(path)
    return [] if problem is None else [f"pkcs11.pin_file: {problem}"]


def _access_warnings(config: SignerConfig) -> list[str]:
    from .process import rights_problem  # noqa: PLC0415

    found = [problem for problem in (rights_problem(),) if problem is not None]
    if config.clients is None and config.server.address.socket is None:
        whoever = (
            "every workload of the trust domain of server.spiffe_socket"
            if config.server.tls_source == "spiffe"
            else "whoever server.client_ca_file signed"
        )
        found.append(f"clients is not set: {whoever} may have keys made, used and retired")
    return found


def _tls_files(config: SignerConfig) -> dict[str, Path | None]:
    server = config.server
    return {
        "server.tls_cert_file": server.tls_cert_file,
        "server.tls_key_file": server.tls_key_file,
        "server.client_ca_file": server.client_ca_file,
    }


def _start(config: SignerConfig, logf: LogFormat, debug: bool, alerts: list[str]) -> None:
    import uvloop  # noqa: PLC0415

    from notary_common import log  # noqa: PLC0415

    from .app import serve as run  # noqa: PLC0415
    from .errors import StartRefused  # noqa: PLC0415

    log.configure(config.logging.level, logf)
    log.install_level_signals()
    logger = log.get_logger("notary_signer")
    for alert in alerts:
        logger.error(alert)
    if debug:
        logger.warning(
            "-debug has no effect: there is no profiling port; set logging.level to debug for more lines"
        )
    if config.reporting.bugsnag.api_key is not None:
        logger.warning("reporting.bugsnag is accepted and not used: errors are only logged")
    if config.storage.default_alias is not None:
        logger.info("storage.default_alias is accepted and not used: the token protects the keys")
    try:
        uvloop.run(run(config, lambda address: logger.info("ready to sign", address=address)))
    except StartRefused as problem:
        stop(PROGRAM, str(problem))


for command in (import_keys, export_keys, rewrap):
    keys.add_command(command)
for group in (audit, db, keys, token):
    main.add_command(group)
