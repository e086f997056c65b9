"""`notary-signer token`: the PKCS#11 token."""

from __future__ import annotations

import warnings
from getpass import GetPassWarning
from pathlib import Path

import click

from notary_common.command import config_option, inspected, refuse, stop

from . import PROGRAM


@click.group()
def token() -> None:
    """The PKCS#11 token.

    \b
    Example:
      notary-signer token init --config signer-config.json
    """


@token.command("init")
@config_option("signer-config.json")
def init(config_file: Path) -> None:
    """Initialise a token and make the key that protects all others.

    The PIN comes from the file `pkcs11.pin_file`, or from a prompt if that is not set; never from an argument
    or the environment. A token that is initialised already is left as it is.

    \b
    Example:
      (umask 077; openssl rand -hex 16 > pin)
      notary-signer token init --config signer-config.json
    """
    from ..config import inspect  # noqa: PLC0415
    from ..token.initialise import initialise_token  # noqa: PLC0415
    from ..token.pin import read_pin, wiped  # noqa: PLC0415
    from ..token.problems import TokenProblem  # noqa: PLC0415

    reading = inspected(PROGRAM, config_file, inspect)
    problems = [str(problem) for problem in reading.problems if problem.key.split(".")[0] == "pkcs11"]
    if problems:
        refuse(PROGRAM, config_file, problems)
    pkcs11 = reading.draft.pkcs11
    try:
        with wiped(read_pin(pkcs11.pin_file) if pkcs11.pin_file is not None else _prompt()) as pin:
            click.echo(initialise_token(pkcs11.settings(1), pin))
    except TokenProblem as problem:
        stop(PROGRAM, str(problem))
    if pkcs11.pin_file is None:
        click.echo(
            "write that PIN to a file, chmod 600 it, and name it as pkcs11.pin_file in the configuration"
        )
    click.echo(f"next: {PROGRAM} db upgrade --config {config_file}")


def _prompt() -> bytearray:
    # Without a terminal the PIN comes through a pipe; that it could be echoed is no news then.
    warnings.simplefilter("ignore", GetPassWarning)
    try:
        pin: str = click.prompt("PIN of the new token", hide_input=True, confirmation_prompt=True, err=True)
    except click.Abort:
        stop(PROGRAM, "no PIN was given and nothing was made; answer the prompt, or set pkcs11.pin_file")
    return bytearray(pin, "utf-8")
