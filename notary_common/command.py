"""What the command lines of both daemons share: the old spelling, start-up checks, and how problems are shown."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

if TYPE_CHECKING:
    from .config import Config, Reading
    from .database import DatabaseError, DatabaseTarget
    from .schema import Tree
    from .sections import Storage

PACKAGE = "notary-trust-server"

_OLD_FLAG = re.compile(
    r"--?(?P<name>config|logf|version|debug|bootstrap|check-config|h|help)(?:=(?P<value>.*))?", re.DOTALL
)
_GO_TRUE = {"1", "t", "T", "true", "TRUE", "True"}
_GO_FALSE = {"0", "f", "F", "false", "FALSE", "False"}


class Daemon(click.Group):
    """A group that also takes Notary's own spelling: `notary-server -config=FILE -logf=json` means `serve`."""

    def main(self, args: Sequence[str] | None = None, *rest: Any, **settings: Any) -> Any:
        """Run with `args`, by default those of the process."""
        given = list(sys.argv[1:] if args is None else args)
        return super().main(modern(given), *rest, **settings)


def modern(args: list[str]) -> list[str]:
    """`args` in today's spelling.

    Go's flags begin with one dash or two and take their value after `=` or a blank; without a command, they
    meant to serve.
    """
    spelled = [word for arg in args for word in _modern(arg)]
    if not spelled or not spelled[0].startswith("--") or spelled[0] == "--help":
        return spelled
    if "--version" in spelled:
        return ["--version"]
    return ["serve", *spelled]


def _modern(arg: str) -> list[str]:
    found = _OLD_FLAG.fullmatch(arg)
    if found is None:
        return [arg]
    name, value = found["name"], found["value"]
    if name in {"config", "logf"}:
        return [f"--{name}" if value is None else f"--{name}={value}"]
    if value in _GO_FALSE:
        return []
    if value is None or value in _GO_TRUE:
        return ["--help" if name == "h" else f"--{name}"]
    return [arg]


def config_option(example: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The option `--config FILE`, which every command needs."""
    return click.option(
        "--config",
        "config_file",
        metavar="FILE",
        required=True,
        type=click.Path(path_type=Path),
        help=f"The configuration: JSON, or YAML or TOML by extension, e.g. {example}.",
    )


def serve_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options of `serve`, the same for both daemons."""
    for option in (
        click.option("--bootstrap", is_flag=True, hidden=True),
        click.option("--debug", is_flag=True, hidden=True),
        click.option(
            "--logf",
            type=click.Choice(["json", "logfmt"]),
            default="json",
            show_default=True,
            help="How log lines on standard error are written.",
        ),
        click.option(
            "--check-config",
            is_flag=True,
            help="Only say whether the daemon could start: configuration, files, database.",
        ),
    ):
        function = option(function)
    return function


def version_option() -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The option `--version`."""

    def show(context: click.Context, _option: click.Parameter, wanted: bool) -> None:
        if wanted:
            click.echo(f"{context.info_name} {version(PACKAGE)}")
            context.exit()

    return click.option(
        "--version",
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=show,
        help="Show the version and exit.",
    )


def stop(program: str, headline: str, problems: Sequence[str] = ()) -> NoReturn:
    """End the process with status 1, each problem on a line of its own on standard error."""
    click.echo(f"{program}: {headline}", err=True)
    for problem in problems:
        click.echo(f"  {_one_line(problem)}", err=True)
    sys.exit(1)


def refuse(program: str, config_file: Path, problems: Sequence[str]) -> NoReturn:
    """Stop because of the configuration."""
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    stop(program, f"cannot work with {config_file}, {count}:", problems)


def refuse_bootstrap(program: str) -> NoReturn:
    """Stop because of a flag of the RethinkDB days."""
    stop(
        program,
        f"-bootstrap set up RethinkDB, which is gone; run instead: {program} db upgrade --config FILE",
    )


def _one_line(text: str) -> str:
    return " ".join(text.split("\n"))


def inspected(
    program: str, config_file: Path, inspect: Callable[[Path, Any], Reading[Config]]
) -> Reading[Config]:
    """What can be read of the configuration, with its problems; stops if that is nothing at all."""
    from .config import ConfigError  # noqa: PLC0415 - pydantic would slow --help down

    try:
        return inspect(config_file, os.environ)
    except ConfigError as error:
        refuse(program, config_file, error.problems)


def database_target(storage: Storage, base_dir: Path) -> DatabaseTarget:
    """Where the database is.

    Raises:
        notary_common.database.DatabaseUrlError: `storage` cannot be understood.
    """
    from .database import parse_url  # noqa: PLC0415 - SQLAlchemy would slow --help down

    url = storage.db_url.get_secret_value() if storage.db_url is not None else ""
    return parse_url(storage.backend or "", url, base_dir)


def database_problems(storage: Storage, base_dir: Path, tree: Tree, config_file: Path) -> list[str]:
    """What keeps the daemon from using its database: unreachable, or its tables are not those of this version."""
    from .database import DatabaseError, SqliteTarget  # noqa: PLC0415
    from .schema import schema_problem  # noqa: PLC0415

    try:
        target = database_target(storage, base_dir)
        if isinstance(target, SqliteTarget) and target.path is not None and not target.path.exists():
            # Looking into it would make it.
            remedy = f"run: notary-{tree} db upgrade --config {config_file}"
            return [f"storage.db_url: the {target} does not exist yet; {remedy}"]
        problem = schema_problem(target, tree)
    except DatabaseError as error:
        return [_database_problem(error, storage)]
    if problem is None:
        return []
    return [f"storage.db_url: {problem.replace('--config FILE', f'--config {config_file}')}"]


def tls_problems(files: dict[str, Path | None]) -> list[str]:
    """What keeps TLS files from being used. `files`: dotted keys of certificate, its key, and CA, in that order."""
    from .tls import authority_problem, pair_problem  # noqa: PLC0415

    (cert_name, cert), (key_name, key), (ca_name, ca) = files.items()
    problems: list[str] = []
    if cert is not None and key is not None and (error := pair_problem(cert, key)) is not None:
        problems.append(f"{key_name if error.file == key else cert_name}: {error}")
    if ca is not None and (error := authority_problem(ca)) is not None:
        problems.append(f"{ca_name}: {error}")
    return problems


def tls_warnings(files: dict[str, Path | None]) -> list[str]:
    """Certificates of good files that the other side will refuse because of today's date. `files`: as above.

    No reason not to start: what does not need them, such as reading what is stored, goes on.
    """
    from .tls import date_problem  # noqa: PLC0415

    (cert_name, cert), _, (ca_name, ca) = files.items()
    found = {
        cert_name: date_problem(cert) if cert is not None else None,
        ca_name: date_problem(ca, authorities=True) if ca is not None else None,
    }
    return [f"{name}: {problem}" for name, problem in found.items() if problem is not None]


def good(warnings: Sequence[str]) -> None:
    """The answer of `--check-config` if the daemon could start."""
    for warning in warnings:
        click.echo(f"warning: {warning}", err=True)
    click.echo("configuration is good")


def upgrade_database(program: str, reading: Reading[Any], tree: Tree, config_file: Path) -> None:
    """The command `db upgrade`: looks at the storage section alone, so it also works before the rest is there."""
    from .database import DatabaseError, SqliteTarget  # noqa: PLC0415
    from .migrate import upgrade  # noqa: PLC0415

    problems = [str(problem) for problem in reading.problems if problem.key.split(".")[0] == "storage"]
    if problems:
        refuse(program, config_file, problems)
    try:
        target = database_target(reading.draft.storage, reading.draft.base_dir)
        if target.in_memory:
            click.echo("nothing to do: a database in memory gets its tables when the daemon starts")
            return
        if isinstance(target, SqliteTarget) and target.path is not None and not target.path.parent.is_dir():
            refuse(
                program,
                config_file,
                [f"storage.db_url: the folder {target.path.parent} does not exist; make it first"],
            )
        click.echo(f"upgrading the {target}")
        upgrade(target, tree, click.echo)
    except DatabaseError as error:
        refuse(program, config_file, [_database_problem(error, reading.draft.storage)])


def _database_problem(error: DatabaseError, storage: Storage) -> str:
    from .database import DatabaseUnavailable  # noqa: PLC0415

    text = str(error)
    if isinstance(error, DatabaseUnavailable) and "rejected SSL" in text:
        text += (
            "; it speaks no TLS: switch that on there, or write sslmode=disable where nobody can listen in"
        )
    elif isinstance(error, DatabaseUnavailable) and storage.backend == "sqlite3":
        text += "; check that the file is a SQLite database, whole, and that this user may write to it and its folder"
    elif isinstance(error, DatabaseUnavailable):
        text += "; check that it runs, that the address is right, and that this user may use it"
    return text if text.startswith("storage.") else f"storage.db_url: {text}"
