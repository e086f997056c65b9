"""`notary-signer token`: make a token, check it, change its PIN."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from notary_common.command import config_option, stop

from . import PROGRAM
from .kek import export_kek, transport_key
from .pins import asked, draft, given_pin
from .recorded import recorded

if TYPE_CHECKING:
    from ..config import SignerConfig
    from ..ports import KeyRecord
    from ..token.report import Report
    from ..token.sharing import KekShare


@click.group()
def token() -> None:
    """The PKCS#11 token.

    \b
    Example:
      notary-signer token init --config signer-config.json
      notary-signer token check --config signer-config.json
    """


@token.command("init")
@config_option("signer-config.json")
@click.option(
    "--existing",
    is_flag=True,
    help="The token is initialised already, by its vendor's tool; only make or import its key-encryption key.",
)
@click.option(
    "--exportable-kek",
    is_flag=True,
    help="Make a key-encryption key that export-kek can bring to other tokens and that is not used before; with "
    "--existing the next one, where the token has some.",
)
@click.option(
    "--import-kek",
    "kek_files",
    metavar="FILE",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Take the key-encryption key from what export-kek wrote: one encrypted file, or the shares of custodians.",
)
@click.option(
    "--if-missing",
    is_flag=True,
    help="For a job that runs at every start: the status is 0 also if the token is there already.",
)
def init(
    config_file: Path, existing: bool, exportable_kek: bool, kek_files: tuple[Path, ...], if_missing: bool
) -> None:
    """Initialise a token and make the key that protects all others.

    The PIN comes from the file `pkcs11.pin_file`, or from a prompt if that is not set; never from an argument
    or the environment. A token that is initialised already is left as it is; with --existing it gets a
    key-encryption key, unless it has one. A further one is made with --existing --exportable-kek, or comes with
    --existing --import-kek, and wraps nothing before keys rewrap.

    \b
    Example:
      (umask 077; openssl rand -hex 16 > pin)
      notary-signer token init --config signer-config.json
      notary-signer token init --config signer-config.json --import-kek kek-share-1.json --import-kek kek-share-4.json
    """
    from ..token.initialise import initialise_token  # noqa: PLC0415
    from ..token.kek import import_kek  # noqa: PLC0415
    from ..token.pin import wiped  # noqa: PLC0415
    from ..token.problems import TokenExists, TokenProblem  # noqa: PLC0415
    from ..token.sharing import WrappedKek, read_kek_files  # noqa: PLC0415
    from ..token.wrapper import KEK_LABEL  # noqa: PLC0415

    if exportable_kek and kek_files:
        stop(PROGRAM, "a key-encryption key that is imported cannot be exported; leave --exportable-kek out")
    config = draft(config_file, pin_file=existing)
    pkcs11 = config.pkcs11
    settings = pkcs11.settings(1)

    def act() -> str:
        with wiped(pin):
            if source is not None:
                return import_kek(settings, pin, source, existing=existing)
            return initialise_token(settings, pin, existing=existing, exportable=exportable_kek)

    try:
        source: WrappedKek | list[KekShare] | None = read_kek_files(list(kek_files)) if kek_files else None
        pin = bytearray() if existing else given_pin(pkcs11.pin_file)
    except TokenProblem as problem:
        stop(PROGRAM, str(problem))
    try:
        click.echo(recorded(config, "init_token" if source is None else "import_kek", act))
    except TokenExists as problem:
        if not if_missing:
            stop(PROGRAM, str(problem))
        click.echo(str(problem))
        return
    if pkcs11.pin_file is None:
        click.echo(
            "write that PIN to a file, chmod 600 it, and name it as pkcs11.pin_file in the configuration"
        )
    label = "" if source is None else (source if isinstance(source, WrappedKek) else source[0]).label
    if label not in {"", KEK_LABEL}:
        click.echo(
            f"next, once every signer's token holds it: {PROGRAM} keys rewrap --to {label} --config FILE"
        )
    elif exportable_kek:
        click.echo(f"next: {PROGRAM} token export-kek --config {config_file} --help")
    else:
        click.echo(f"next: {PROGRAM} db upgrade --config {config_file}")


@token.command("check")
@config_option("signer-config.json")
@click.option("--json", "as_json", is_flag=True, help="Write the report as JSON.")
@click.option(
    "--final-try",
    is_flag=True,
    help="Log in although the token says that one more wrong PIN locks it.",
)
def check(config_file: Path, as_json: bool, final_try: bool) -> None:
    """Say what the token can do, how keys will be kept, how fast it signs, and what is wrong.

    Logs in with the PIN in `pkcs11.pin_file` and tries every algorithm with passing keys; nothing is left in the
    token. If the registry can be read, its newest wrapped key is opened, too. Ends with status 1 if the signer
    could not work with this token.

    \b
    Example:
      notary-signer token check --config signer-config.json
      notary-signer token check --config signer-config.json --json
    """
    import msgspec  # noqa: PLC0415

    from ..token.check import check as examine  # noqa: PLC0415
    from ..token.report import page  # noqa: PLC0415

    config = draft(config_file, pin_file=True)
    sample, problem = _sample(config)
    report: Report = examine(config.pkcs11.settings(1), sample, final_try=final_try)
    if problem is not None:
        report.warn(problem)
    if as_json:
        click.echo(
            msgspec.json.format(msgspec.json.encode({"works": report.works, **_plain(report)}), indent=2)
        )
    else:
        click.echo(page(report))
    if not report.works:
        raise SystemExit(1)


def _plain(report: Report) -> dict[str, object]:
    import msgspec  # noqa: PLC0415

    plain: dict[str, object] = msgspec.to_builtins(report)
    return plain


def _sample(config: SignerConfig) -> tuple[list[KeyRecord], str | None]:
    """A wrapped key of the registry, and why it could not be asked."""
    import asyncio  # noqa: PLC0415

    from notary_common.command import database_target  # noqa: PLC0415
    from notary_common.database import DatabaseError, SqliteTarget, open_database  # noqa: PLC0415

    from ..registry.newest import newest_wrapped  # noqa: PLC0415

    async def ask() -> list[KeyRecord]:
        database = open_database(target)
        try:
            return await newest_wrapped(database)
        finally:
            await database.close()

    try:
        target = database_target(config.storage, config.base_dir)
        if isinstance(target, SqliteTarget) and (target.path is None or not target.path.exists()):
            return [], None  # looking into it would make it
        return asyncio.run(ask()), None
    except DatabaseError as error:
        return [], f"the registry was not asked whether this KEK opens its keys: {error}"


@token.command("change-pin")
@config_option("signer-config.json")
@click.option(
    "--new-pin-file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Where the new PIN stands; without it, it is asked for.",
)
def change_pin(config_file: Path, new_pin_file: Path | None) -> None:
    """Give the token another user PIN, and write that to `pkcs11.pin_file`.

    Running signers go on, and read the file at their next login. Signers on other machines that use the same token
    have a file of their own: bring the new one there before they log in again. If the command is broken off, it says
    at the next call which of the two PINs is right.

    \b
    Example:
      notary-signer token change-pin --config signer-config.json
      (umask 077; openssl rand -hex 16 > next-pin)
      notary-signer token change-pin --config signer-config.json --new-pin-file next-pin && rm next-pin
    """
    from ..token.change_pin import change_pin as change  # noqa: PLC0415
    from ..token.pin import read_pin, wiped  # noqa: PLC0415
    from ..token.problems import TokenProblem  # noqa: PLC0415

    config = draft(config_file, pin_file=True)
    try:
        new = asked("new PIN") if new_pin_file is None else read_pin(new_pin_file, "--new-pin-file")
    except TokenProblem as problem:
        stop(PROGRAM, str(problem))
    with wiped(new):
        click.echo(recorded(config, "change_pin", lambda: change(config.pkcs11.settings(1), new)))


for command in (transport_key, export_kek):
    token.add_command(command)
