"""`notary-server takeover`: from a Notary 0.7.0 to this server, and the proof that nothing was lost."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol

import click

from notary_common.command import config_option, database_target, inspected, refuse, stop

from . import PROGRAM

if TYPE_CHECKING:
    from notary_common.database import DatabaseTarget

    from ..config import ServerConfig
    from ..takeover.remote import RemoteServer


class _Report(Protocol):
    def as_json(self) -> dict[str, object]: ...
    def as_text(self) -> str: ...


def _file(
    name: str, text: str, *, required: bool = False
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return click.option(name, metavar="FILE", type=click.Path(path_type=Path), required=required, help=text)


_OLD_SERVER = _file(
    "--old-server", "The old server's server-config.json. Its database is read, never written.", required=True
)
_CA_FILE = _file("--ca-file", "CA of that server's certificate, PEM. Without it: those the system trusts.")
_TOKEN_FILE = _file("--token-file", "A file with a bearer token for that server, if it asks for one.")
_JSON = click.option("--json", "as_json", is_flag=True, help="Write JSON, with everything that was found.")


@click.group()
def takeover() -> None:
    """Take over from Notary 0.7.0. The old signer's keys come over by: notary-signer keys import.

    \b
    Example:
      notary-server takeover plan --old-server old/server-config.json --old-signer old/signer-config.json
      notary-server takeover run --config server-config.json --old-server old/server-config.json
      notary-server takeover verify --config server-config.json --old-server old/server-config.json
    """


@takeover.command()
@_OLD_SERVER
@_file(
    "--old-signer", "The old signer's signer-config.json, to compare its keys with those that the roots name."
)
@_JSON
def plan(old_server: Path, old_signer: Path | None, as_json: bool) -> None:
    """Look at what the old server and signer store, and say what needs attention. Changes nothing.

    \b
    Example:
      notary-server takeover plan --old-server old/server-config.json --old-signer old/signer-config.json
    """
    signer = None if old_signer is None else _old(old_signer)
    _show(_done(lambda runs: runs.survey_old(_old(old_server), signer)), as_json)


@takeover.command()
@config_option("server-config.json")
@_OLD_SERVER
def run(config_file: Path, old_server: Path) -> None:
    """Bring the metadata over: into the new database, or in place where both are the same one.

    Run it while the old server serves, as often as you like. Then stop the old server, run it a last time, which
    takes seconds, and start the new one.

    \b
    Example:
      notary-server takeover run --config server-config.json --old-server old/server-config.json
    """
    from notary_common.old_daemon import same_database  # noqa: PLC0415 - SQLAlchemy would slow --help down

    old, new = _old(old_server), _new(config_file)
    _upgrade(new)
    if same_database(old, new):
        click.echo("the new server uses the old one's database: nothing had to be copied")
    else:
        copied = _done(lambda runs: runs.copy(old, new))
        click.echo(
            f"{copied.added} rows copied, {copied.removed} removed that the old database no longer has"
        )
        for damaged in copied.damaged:
            click.echo(f"warning: {damaged}: the stored digest is not that of the file", err=True)
    click.echo(f"next: {PROGRAM} takeover verify --config {config_file} --old-server {old_server}")


@takeover.command()
@config_option("server-config.json")
@_OLD_SERVER
@click.option(
    "--url", metavar="URL", help="The new server, to ask it for every file as clients do: https://HOST:PORT."
)
@_CA_FILE
@_TOKEN_FILE
@_JSON
def verify(
    config_file: Path,
    old_server: Path,
    url: str | None,
    ca_file: Path | None,
    token_file: Path | None,
    as_json: bool,
) -> None:
    """Prove that nothing was lost: every row is compared byte for byte, and a publish to every repository is planned.

    With --url every file is also asked for over HTTP: by version, by checksum, and under its own name. The signer
    must run; nothing is signed and nothing is changed. Ends with status 1 if there is a problem.

    \b
    Example:
      notary-server takeover verify --config server-config.json --old-server old/server-config.json
      notary-server takeover verify --config server-config.json --old-server old/server-config.json \\
        --url https://localhost:4443 --ca-file ca.pem --json
    """
    config, old, new = _config(config_file), _old(old_server), _new(config_file)
    remote = None if url is None else _remote(url, ca_file, token_file)
    proof = _done(lambda runs: runs.prove(config, old, new, remote))
    _show(proof, as_json)
    if proof.problems:
        raise SystemExit(1)


@takeover.command()
@config_option("server-config.json")
@click.option("--from", "url", metavar="URL", required=True, help="The old server: https://HOST[:PORT].")
@_file("--guns", "The repositories, one in a line. Without it: all that the server's changefeed names.")
@_CA_FILE
@_TOKEN_FILE
@_JSON
def mirror(
    config_file: Path,
    url: str,
    guns: Path | None,
    ca_file: Path | None,
    token_file: Path | None,
    as_json: bool,
) -> None:
    """Bring over what a live server serves, without its databases. Its keys stay behind.

    Every file is verified before it is stored. Run it again to bring over what was published since. The report says
    what the owner of each repository must do afterwards. Ends with status 1 if a repository was refused.

    \b
    Example:
      notary-server takeover mirror --config server-config.json --from https://notary.example.org --guns guns.txt
    """
    new, remote = _new(config_file), _remote(url, ca_file, token_file)
    names = None if guns is None else _names(guns)
    _upgrade(new)
    report = _done(lambda runs: runs.mirror_all(new, remote, names))
    _show(report, as_json)
    if not report.complete:
        raise SystemExit(1)


def _show(report: _Report, as_json: bool) -> None:
    click.echo(json.dumps(report.as_json(), indent=2) if as_json else report.as_text())


def _done(work: Callable[[ModuleType], Coroutine[Any, Any, Any]]) -> Any:
    """What comes of `work`, given `takeover.runs`; stops with a sentence if a database or server cannot be used."""
    import asyncio  # noqa: PLC0415

    from notary_common import log  # noqa: PLC0415 - structlog would slow --help down
    from notary_common.database import DatabaseError  # noqa: PLC0415
    from notary_common.tls import TlsError  # noqa: PLC0415

    from ..errors import NotaryError, SignerUnavailable  # noqa: PLC0415
    from ..takeover import runs  # noqa: PLC0415
    from ..takeover.copying import TargetInUse  # noqa: PLC0415
    from ..takeover.remote import RemoteProblem  # noqa: PLC0415

    # To standard error, so that JSON stays JSON.
    log.configure("warning", "logfmt")
    try:
        return asyncio.run(work(runs))
    except (DatabaseError, TlsError, runs.NotCopyable, TargetInUse, RemoteProblem) as problem:
        stop(PROGRAM, str(problem))
    except SignerUnavailable as error:
        stop(
            PROGRAM,
            f"{error.message}; start the signer that trust_service names: it is asked which keys it holds",
        )
    except NotaryError as error:
        cause = "" if error.__cause__ is None else str(error.__cause__)
        stop(PROGRAM, error.message if cause in error.message else f"{error.message} ({cause})")


def _upgrade(new: DatabaseTarget) -> None:
    """Make or adopt the tables of the new database."""
    from notary_common.database import DatabaseError  # noqa: PLC0415 - SQLAlchemy would slow --help down
    from notary_common.migrate import upgrade  # noqa: PLC0415

    try:
        upgrade(new, "server", lambda line: click.echo(line, err=True))
    except DatabaseError as error:
        stop(PROGRAM, str(error))


def _old(path: Path) -> DatabaseTarget:
    from notary_common.config import ConfigError  # noqa: PLC0415
    from notary_common.old_daemon import old_database  # noqa: PLC0415

    try:
        return old_database(path)
    except ConfigError as error:
        stop(PROGRAM, f"cannot work with {path}:", error.problems)


def _new(config_file: Path) -> DatabaseTarget:
    from ..config import inspect  # noqa: PLC0415

    reading = inspected(PROGRAM, config_file, inspect)
    problems = [str(problem) for problem in reading.problems if problem.key.startswith("storage")]
    if problems:
        refuse(PROGRAM, config_file, problems)
    target = database_target(reading.draft.storage, reading.draft.base_dir)
    if target.in_memory:
        refuse(PROGRAM, config_file, ["storage: a database in memory would be gone when this command ends"])
    return target


def _config(config_file: Path) -> ServerConfig:
    from ..config import inspect  # noqa: PLC0415

    reading = inspected(PROGRAM, config_file, inspect)
    if reading.problems:
        refuse(PROGRAM, config_file, [str(problem) for problem in reading.problems])
    return reading.draft


def _names(path: Path) -> list[str]:
    try:
        return [name for line in path.read_text().splitlines() if (name := line.strip())]
    except (OSError, UnicodeDecodeError) as error:
        stop(PROGRAM, f"--guns: cannot read {path} ({type(error).__name__})")


def _remote(url: str, ca_file: Path | None, token_file: Path | None) -> RemoteServer:
    """The server at `url`, not opened yet."""
    from notary_common.tls import TlsError, client_context  # noqa: PLC0415

    from ..takeover.remote import RemoteServer  # noqa: PLC0415

    if not url.startswith(("https://", "http://")):
        stop(PROGRAM, f"{url}: write the address with https://")
    try:
        tls = client_context(ca_file, None, None) if url.startswith("https://") else None
        token = None if token_file is None else token_file.read_text().strip()
    except (TlsError, OSError) as error:
        stop(PROGRAM, str(error))
    return RemoteServer(url, tls, token)
