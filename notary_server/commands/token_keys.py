"""`notary-server tokens key`: the keys that sign tokens."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from notary_common.command import config_option, inspected, refuse, stop

from . import PROGRAM

if TYPE_CHECKING:
    from ..tokens.config import Tokens

Result = TypeVar("Result")

DELAY_HOURS = 24.0
"""Until a further key signs: time to give the registry and the server its certificate."""


@click.group()
def key() -> None:
    """The keys that sign tokens.

    \b
    Example:
      notary-server tokens key create --config tokens-config.json
      notary-server tokens key list --config tokens-config.json
    """


@key.command()
@config_option("tokens-config.json")
@click.option(
    "--starts-in",
    metavar="HOURS",
    type=click.FloatRange(0, 8760),
    help=f"When it begins to sign. By default at once if it is the first key, else in {DELAY_HOURS:g} hours.",
)
def create(config_file: Path, starts_in: float | None) -> None:
    """Make a key, and write the certificates of all keys for the registry and the server.

    The newest key whose time has come signs; all are published. Give the file of certificates to the registry and the
    server, and restart the registry, before a further key begins to sign.

    \b
    Example:
      notary-server tokens key create --config tokens-config.json
      notary-server tokens key create --config tokens-config.json --starts-in 72
    """
    tokens, folder = _settings(config_file)

    def make() -> tuple[str, Path]:
        from ..tokens.files import alone  # noqa: PLC0415
        from ..tokens.keys import load_keys, new_key, present_keys, store_key, write_bundle  # noqa: PLC0415

        folder.mkdir(mode=0o700, exist_ok=True)
        with alone(folder):
            present = load_keys(folder).keys if present_keys(folder) else ()
            hours = starts_in if starts_in is not None else DELAY_HOURS if present else 0.0
            starts = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=hours)
            # Certificates know seconds: of two keys one has to be the newer.
            while any(one.starts == starts for one in present):
                starts += timedelta(seconds=1)
            made = new_key(tokens.issuer or "", starts)
            store_key(folder, made)
            bundle = write_bundle(folder, load_keys(folder).keys)
        return f"made the key {made.name}; it signs from {made.starts:%Y-%m-%d %H:%M:%S} UTC on", bundle

    said, bundle = _or_stop(make)
    click.echo(said)
    click.echo(
        f"next: name {bundle} as rootcertbundle of the registry and of the server (auth), and restart both"
    )


@key.command("list")
@config_option("tokens-config.json")
@click.option("--json", "as_json", is_flag=True, help="Write JSON, with whole key IDs.")
def list_keys(config_file: Path, as_json: bool) -> None:
    """List the keys, the newest first, and say which one signs.

    \b
    Example:
      notary-server tokens key list --config tokens-config.json
    """
    from ..tokens.keys import load_keys  # noqa: PLC0415

    _, folder = _settings(config_file)
    keys = _or_stop(lambda: load_keys(folder))
    signing = keys.signing(datetime.now(UTC))
    rows = [
        {
            "name": one.name,
            "key_id": one.key_id,
            "starts": one.starts.isoformat(timespec="seconds"),
            "ends": one.ends.isoformat(timespec="seconds"),
            "signs": one is signing,
        }
        for one in keys.keys
    ]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        said = "  signs now" if row["signs"] else ""
        click.echo(f"{row['name']}  {row['starts']}  {row['ends']}{said}")


@key.command()
@config_option("tokens-config.json")
@click.argument("name")
def remove(config_file: Path, name: str) -> None:
    """Remove the key NAME for good, and write the certificates of those that are left.

    Tokens that it signed are believed until the registry and the server have the new file of certificates. The key
    that signs now is not removed: make another one first, or delete its file if it is known to others.

    \b
    Example:
      notary-server tokens key remove ABCD-EFGH-IJKL --config tokens-config.json
    """
    _, folder = _settings(config_file)

    def take() -> Path:
        from ..tokens.files import FileProblem, alone  # noqa: PLC0415
        from ..tokens.keys import load_keys, remove_key, write_bundle  # noqa: PLC0415

        with alone(folder):
            keys = load_keys(folder)
            found = next((one for one in keys.keys if one.name == name), None)
            if found is None:
                raise FileProblem(folder, [f"holds no key {name}; see: {PROGRAM} tokens key list"])
            if found is keys.signing(datetime.now(UTC)):
                raise FileProblem(
                    folder, [f"the key {name} signs now; make another first: {PROGRAM} tokens key create"]
                )
            remove_key(folder, found)
            return write_bundle(folder, load_keys(folder).keys)

    bundle = _or_stop(take)
    click.echo(f"removed the key {name}; next: give {bundle} to the registry and the server")


def _settings(config_file: Path) -> tuple[Tokens, Path]:
    """The section `tokens`, which alone has to be good, and the folder of the keys."""
    from ..tokens.config import inspect  # noqa: PLC0415 - pydantic would slow --help down

    reading = inspected(PROGRAM, config_file, inspect)
    problems = [str(problem) for problem in reading.problems if problem.key.split(".")[0] == "tokens"]
    folder = reading.draft.tokens.key_dir
    if problems or folder is None:
        refuse(PROGRAM, config_file, problems)
    return reading.draft.tokens, folder


def _or_stop(act: Callable[[], Result]) -> Result:
    from ..tokens.files import FileProblem  # noqa: PLC0415

    try:
        return act()
    except FileProblem as problem:
        stop(PROGRAM, "nothing was changed:", problem.problems)
    except OSError as error:
        stop(PROGRAM, f"nothing was changed: {error}")
