"""`notary-signer keys import | export`: keys from and to the database of Notary's own signer."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from notary_common.command import config_option, database_target, stop

from . import PROGRAM
from .desk import Desk, at_desk
from .keys import confirm

if TYPE_CHECKING:
    from notary_common.database import Database, DatabaseTarget

    from ..takeover.report import Report

_PATH = click.Path(path_type=Path)
_json = click.option("--json", "as_json", is_flag=True, help="Write the report as JSON.")
_report = click.option(
    "--report",
    "report_file",
    metavar="FILE",
    type=_PATH,
    help="Write the report with every key to this file too, as JSON.",
)


def _database(way: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The two ways to say where the old database is; `way`: from or to."""

    def options(function: Callable[..., Any]) -> Callable[..., Any]:
        by_url = click.option(
            f"--{way}-database",
            "url",
            metavar="URL",
            help="The old signer's database, spelled as in its storage.db_url. Leave the password to PGPASSWORD, or use "
            f"--{way}-config: other users of the machine can read a command line.",
        )
        by_file = click.option(
            f"--{way}-config",
            "old_config",
            metavar="FILE",
            type=_PATH,
            help="The old signer's signer-config.json, whose storage section says where its database is.",
        )
        return by_url(by_file(function))

    return options


@click.command("import")
@config_option("signer-config.json")
@_database("from")
@click.option(
    "--passphrase-file",
    "passphrase_files",
    metavar="[ALIAS=]FILE",
    multiple=True,
    help="A file with the passphrase of that alias, or of all. Without it: NOTARY_SIGNER_ALIAS, as for the old signer.",
)
@_report
@_json
def import_keys(
    config_file: Path,
    url: str | None,
    old_config: Path | None,
    passphrase_files: tuple[str, ...],
    report_file: Path | None,
    as_json: bool,
) -> None:
    """Bring the keys of Notary's own signer into the token. Their database is only read.

    Keys that are here already are left alone, so run it as often as you like: while the old signer serves, and a
    last time after it has stopped. Ends with status 1 if a key was refused.

    \b
    Example:
      NOTARY_SIGNER_DEFAULTALIAS=... notary-signer keys import --config signer-config.json --from-config old/signer-config.json
      notary-signer keys import --config signer-config.json --from-config old/signer-config.json --passphrase-file pass.txt
    """
    old = _target("from", url, old_config)

    async def work(desk: Desk) -> Report:
        from notary_common.progress import progress_bar  # noqa: PLC0415

        from ..registry.imports import SqlImports  # noqa: PLC0415
        from ..takeover.import_keys import KeyImport  # noqa: PLC0415
        from ..takeover.passphrases import gather  # noqa: PLC0415
        from ..takeover.source import OldKeys  # noqa: PLC0415

        _other_than_registry(desk, old)
        database = _opened(old)
        try:
            source = OldKeys(database)
            passphrases = gather(os.environ, passphrase_files, await source.aliases())
            number = await source.count()
            token = await desk.token()
            run = KeyImport(source, SqlImports(desk.database), token, desk.journal, passphrases)
            with progress_bar("importing keys", number) as progress:
                return await run.run(progress)
        finally:
            await database.close()

    _show(_done(config_file, work), report_file, as_json)


@click.command("export")
@config_option("signer-config.json")
@_database("to")
@click.option(
    "--alias",
    required=True,
    help="The name by which the old signer finds the passphrase: NOTARY_SIGNER_ALIAS.",
)
@click.option(
    "--passphrase-file",
    metavar="FILE",
    type=_PATH,
    required=True,
    help="A file with that passphrase. Every exported key is encrypted under it.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@_report
@_json
def export_keys(
    config_file: Path,
    url: str | None,
    old_config: Path | None,
    alias: str,
    passphrase_file: Path,
    yes: bool,
    report_file: Path | None,
    as_json: bool,
) -> None:
    """Write keys back into the database of Notary's own signer: the way back, for keys that were made meanwhile.

    Only where `pkcs11.allow_export` is true, and never a key that the token does not let out. What the old signer
    has already is left alone. Every exported key is in the audit log; take it for one that a token does not
    protect any more. Ends with status 1 if a key was refused.

    \b
    Example:
      notary-signer keys export --config signer-config.json --to-config old/signer-config.json \\
        --alias defaultalias --passphrase-file pass.txt
    """
    old = _target("to", url, old_config)

    async def work(desk: Desk) -> Report:
        from notary_common.progress import progress_bar  # noqa: PLC0415

        from ..takeover.export_keys import KeyExport  # noqa: PLC0415
        from ..takeover.passphrases import WELL_KNOWN, read_passphrase  # noqa: PLC0415
        from ..takeover.target import OldTable  # noqa: PLC0415

        _allowed(desk)
        _other_than_registry(desk, old)
        passphrase = read_passphrase(passphrase_file)
        if passphrase == WELL_KNOWN:
            stop(
                PROGRAM,
                "--passphrase-file: everybody knows that passphrase; take another one, and tell the old signer under "
                "another alias: NOTARY_SIGNER_ALIAS",
            )
        entries = [entry for entry in await desk.catalogue.entries() if entry.state in {"pending", "active"}]
        confirm(
            yes,
            f"Up to {len(entries)} private keys will be outside of the token, protected by a passphrase alone.",
        )
        database = _opened(old)
        try:
            run = KeyExport(
                desk.registry, await desk.token(), OldTable(database), desk.journal, alias, passphrase
            )
            with progress_bar("exporting keys", len(entries)) as progress:
                return await run.run(entries, progress)
        finally:
            await database.close()

    _show(_done(config_file, work), report_file, as_json)


def _done(config_file: Path, work: Callable[[Desk], Any]) -> Report:
    from notary_common.database import DatabaseError  # noqa: PLC0415 - SQLAlchemy would slow --help down

    from ..takeover.passphrases import PassphraseProblem  # noqa: PLC0415

    try:
        report: Report = at_desk(config_file, work)
    except PassphraseProblem as problem:
        stop(PROGRAM, str(problem))
    except DatabaseError as error:
        stop(PROGRAM, f"the old signer's database: {error}")
    return report


def _target(way: str, url: str | None, old_config: Path | None) -> DatabaseTarget:
    from notary_common.config import ConfigError  # noqa: PLC0415
    from notary_common.database import DatabaseUrlError  # noqa: PLC0415
    from notary_common.old_daemon import database_at, old_database  # noqa: PLC0415

    if (url is None) == (old_config is None):
        stop(PROGRAM, f"say where the old signer's database is: --{way}-config FILE, or --{way}-database URL")
    try:
        return database_at(url or "") if old_config is None else old_database(old_config)
    except ConfigError as error:
        stop(PROGRAM, f"cannot work with {old_config}:", error.problems)
    except DatabaseUrlError as error:
        stop(PROGRAM, f"--{way}-database: {error}")


def _opened(target: DatabaseTarget) -> Database:
    from notary_common.database import open_database  # noqa: PLC0415

    return open_database(target)


def _other_than_registry(desk: Desk, old: DatabaseTarget) -> None:
    from notary_common.old_daemon import same_database  # noqa: PLC0415

    if same_database(database_target(desk.config.storage, desk.config.base_dir), old):
        stop(
            PROGRAM,
            "storage.db_url: this signer's registry is in the old signer's own database, which must stay as it is; give "
            f"this signer a new database and run: {PROGRAM} db upgrade --config FILE",
        )


def _allowed(desk: Desk) -> None:
    if not desk.config.pkcs11.allow_export:
        stop(
            PROGRAM,
            "pkcs11.allow_export is false: keys do not leave the token. Set it to true for as long as you export",
        )


def _show(report: Report, report_file: Path | None, as_json: bool) -> None:
    document = json.dumps(report.as_json(), indent=2)
    if report_file is not None:
        _write(report_file, document + "\n")
    click.echo(document if as_json else report.as_text())
    if not report.complete:
        raise SystemExit(1)


def _write(path: Path, text: str) -> None:
    """Readable by its owner alone: it names repositories."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            os.fchmod(descriptor, 0o600)
            file.write(text)
    except OSError as error:
        stop(PROGRAM, f"--report: cannot write {path}: {error.strerror}; the keys were moved, run it again")
