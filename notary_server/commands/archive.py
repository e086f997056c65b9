"""`notary-server repo export | import`: repositories as one file, and back."""

from __future__ import annotations

import json
from pathlib import Path

import click

from notary_common.command import config_option, stop

from . import PROGRAM
from .stored import stored
from .upkeep import all_option, gun_argument, one_or_all, run


@click.command("export")
@config_option("server-config.json")
@gun_argument
@all_option
@click.option("--prefix", default="", help="With --all: only repositories whose name begins with this.")
@click.option(
    "--output",
    metavar="FILE",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="The archive: a new file, which has its name only when it is whole.",
)
@click.option("--dry-run", is_flag=True, help="Only say how much would be written.")
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
def export_repositories(
    config_file: Path, gun: str | None, every: bool, prefix: str, output: Path, dry_run: bool, as_json: bool
) -> None:
    """Write the repository GUN, or --all, with all versions as one file. It has no private keys.

    The file is a tar archive, the same for the same stored files; `repo import` stores it again, here or elsewhere. Servers may
    go on meanwhile. Ends with status 1 if something could not be written, or could not be imported as it is.

    \b
    Example:
      notary-server repo export --config server-config.json registry.example.org/team/app --output app.tar
      notary-server repo export --config server-config.json --all --prefix registry.example.org/ --output all.tar
    """
    one_or_all(gun, every)
    if gun is not None and prefix:
        raise click.UsageError("--prefix goes with --all")
    _, target = stored(config_file)

    from ..archive.exporting import export  # noqa: PLC0415 - SQLAlchemy would slow --help down
    from ..archive.writing import CannotWrite  # noqa: PLC0415

    try:
        exported = run(config_file, lambda: export(target, gun, prefix, output, dry_run=dry_run))
    except CannotWrite as problem:
        stop(PROGRAM, str(problem))
    click.echo(json.dumps(exported.as_json(), indent=2) if as_json else exported.as_text())
    if not exported.sound:
        if not as_json:
            click.echo(f"see what is wrong: {PROGRAM} repo verify --config {config_file} GUN", err=True)
        raise SystemExit(1)


@click.command("import")
@config_option("server-config.json")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--dry-run", is_flag=True, help="Only verify, and say what would be stored.")
@click.option("--json", "as_json", is_flag=True, help="Write JSON.")
def import_repositories(config_file: Path, file: Path, dry_run: bool, as_json: bool) -> None:
    """Store what is missing of the repositories in FILE, which `repo export` wrote.

    The whole file is read before anything is stored. Then each repository is verified as it will be, from its first root on, and
    stored at once. One that would go back, or that has parted from what is stored, is left as it is, and the status is 1.
    May be repeated, and servers may go on meanwhile.

    \b
    Example:
      notary-server repo import --config server-config.json all.tar --dry-run
      notary-server repo import --config server-config.json all.tar
    """
    config, target = stored(config_file, whole=True)

    from ..archive.format import BadArchive  # noqa: PLC0415 - SQLAlchemy would slow --help down
    from ..archive.importing import import_archive  # noqa: PLC0415

    try:
        imported = run(config_file, lambda: import_archive(config, target, file, dry_run=dry_run))
    except BadArchive as problem:
        stop(PROGRAM, f"{file} is refused: {problem}")
    except OSError as error:
        stop(PROGRAM, f"{file} cannot be read: {error.strerror}")
    click.echo(json.dumps(imported.as_json(), indent=2) if as_json else imported.as_text())
    if not imported.complete:
        raise SystemExit(1)
