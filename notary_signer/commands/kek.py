"""`notary-signer token transport-key | export-kek`: bring the key-encryption key to another signer's token."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from notary_common.command import config_option, stop

from . import PROGRAM
from .pins import draft, given_pin
from .recorded import recorded

if TYPE_CHECKING:
    from ..token.kek import Custodians
    from ..token.sharing import TransportKey


@click.command("transport-key")
@config_option("signer-config.json")
@click.option(
    "--out",
    metavar="FILE",
    required=True,
    type=click.Path(path_type=Path),
    help="Where the public half is written; carry it to the machine that has the key-encryption key.",
)
@click.option("--existing", is_flag=True, help="The token is initialised already, by its vendor's tool.")
def transport_key(config_file: Path, out: Path, existing: bool) -> None:
    """Prepare this token to receive a key-encryption key, and write what that must be encrypted for.

    Initialises the token unless --existing. Compare the fingerprint with the one that export-kek shows: who can
    exchange the file on its way could otherwise get the key.

    \b
    Example:
      notary-signer token transport-key --config signer-config.json --out second.json
    """
    from ..token.kek import make_transport_key  # noqa: PLC0415
    from ..token.pin import wiped  # noqa: PLC0415
    from ..token.problems import TokenProblem  # noqa: PLC0415

    config = draft(config_file, pin_file=existing)
    settings = config.pkcs11.settings(1)
    try:
        pin = bytearray() if existing else given_pin(config.pkcs11.pin_file)
    except TokenProblem as problem:
        stop(PROGRAM, str(problem))
    with wiped(pin):
        fingerprint = recorded(
            config, "make_transport_key", lambda: make_transport_key(settings, pin, out, existing=existing)
        )
    click.echo(f"fingerprint: {fingerprint}")
    click.echo(
        f"next, where the key-encryption key is: {PROGRAM} token export-kek --config FILE --for {out.name} --out FOLDER"
    )


@click.command("export-kek")
@config_option("signer-config.json")
@click.option(
    "--for",
    "targets",
    metavar="FILE",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A transport key, from token transport-key on the other machine; may be given several times.",
)
@click.option(
    "--custodians",
    metavar="N",
    type=int,
    help="Also split the key among N custodians, a file for each, 2 to 16.",
)
@click.option(
    "--threshold", metavar="T", type=int, help="How many custodians together can make the key, 2 to N."
)
@click.option(
    "--out",
    metavar="FOLDER",
    required=True,
    type=click.Path(path_type=Path),
    help="Where the files are written.",
)
@click.option("--yes", is_flag=True, help="The fingerprints have been compared; do not ask.")
def export_kek(
    config_file: Path,
    targets: tuple[Path, ...],
    custodians: int | None,
    threshold: int | None,
    out: Path,
    yes: bool,
) -> None:
    """Bring the key-encryption key to other tokens, to custodians, or both; then seal it in this one for good.

    Only a key that `token init --exportable-kek` made can be exported, once, before a signer uses it. Name all
    other tokens now; shares of custodians bring up any later one. A share is secret: give each file to its custodian
    and remove it here.

    \b
    Example:
      notary-signer token export-kek --config signer-config.json --for second.json --out kek
      notary-signer token export-kek --config signer-config.json --custodians 5 --threshold 3 --out kek
    """
    from ..token import sharing  # noqa: PLC0415
    from ..token.kek import Custodians, exportable_kek  # noqa: PLC0415
    from ..token.problems import TokenProblem  # noqa: PLC0415

    config = draft(config_file, pin_file=True)
    shared = _custodians(Custodians, custodians, threshold)
    if not targets and shared is None:
        stop(PROGRAM, "say where to: --for FILE, or --custodians N --threshold T, or both")
    try:
        keys = {
            out / f"kek-for-{number}.json": sharing.read_transport_key(path)
            for number, path in enumerate(targets, start=1)
        }
        shares = [
            out / f"kek-share-{number}.json" for number in range(1, (shared.number if shared else 0) + 1)
        ]
        _make_folder(out)
        sharing.require_new([*keys, *shares])
        _compare(keys, yes)
    except TokenProblem as problem:
        stop(PROGRAM, str(problem))

    def act() -> None:
        with exportable_kek(config.pkcs11.settings(1)) as exporter:
            for path, key in keys.items():
                sharing.write_new(path, exporter.for_token(key))
            if shared is not None:
                for path, share in zip(shares, exporter.for_custodians(shared), strict=True):
                    sharing.write_new(path, share)

    recorded(config, "export_kek", act)
    for path, key in keys.items():
        click.echo(
            f"{path}: for the token {key.token}; there: {PROGRAM} token init --config FILE --import-kek {path.name}"
        )
    if shared is not None:
        click.echo(
            f"{out}/kek-share-1.json to kek-share-{shared.number}.json: one for each custodian, any {shared.threshold} "
            "of them make the key; remove them here once they are handed over"
        )
    click.echo("the key-encryption key in this token is sealed: it cannot be exported again")


def _custodians(kind: type[Custodians], number: int | None, threshold: int | None) -> Custodians | None:
    from ..token.sharing import sharing_problem  # noqa: PLC0415

    if number is None and threshold is None:
        return None
    if number is None or threshold is None:
        stop(PROGRAM, "--custodians and --threshold belong together; give both")
    problem = sharing_problem(number, threshold)
    if problem is not None:
        stop(PROGRAM, problem)
    return kind(number, threshold)


def _make_folder(out: Path) -> None:
    from ..token.problems import TokenProblem  # noqa: PLC0415

    try:
        out.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise TokenProblem(f"cannot make the folder {out}: {error.strerror}") from None


def _compare(keys: dict[Path, TransportKey], yes: bool) -> None:
    for key in keys.values():
        click.echo(f"transport key of the token {key.token}\nfingerprint: {key.fingerprint}", err=True)
        if not yes and not click.confirm("Does the other machine show the same fingerprint?", err=True):
            stop(
                PROGRAM,
                "nothing was exported; carry the transport key over a way that nobody can change, then try again",
            )
