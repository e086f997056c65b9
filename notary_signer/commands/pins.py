"""What the commands of the token share: the configuration they need, and PINs from a file or a person."""

from __future__ import annotations

import warnings
from getpass import GetPassWarning
from pathlib import Path
from typing import TYPE_CHECKING

import click

from notary_common.command import inspected, refuse, stop

from . import PROGRAM

if TYPE_CHECKING:
    from ..config import SignerConfig


def draft(config_file: Path, *, pin_file: bool) -> SignerConfig:
    """The configuration, whose sections `pkcs11` and `audit` are sound; stops if they are not.

    Args:
        config_file: where it is.
        pin_file: `pkcs11.pin_file` must be set.
    """
    from ..config import inspect, require_pin_file  # noqa: PLC0415 - pydantic would slow --help down

    reading = inspected(PROGRAM, config_file, inspect)
    if pin_file:
        require_pin_file(reading)
    problems = [
        str(problem) for problem in reading.problems if problem.key.split(".")[0] in {"pkcs11", "audit"}
    ]
    if problems:
        refuse(PROGRAM, config_file, problems)
    return reading.draft


def given_pin(pin_file: Path | None) -> bytearray:
    """The PIN of a token that is to be made."""
    from ..token.pin import read_pin  # noqa: PLC0415

    return asked("PIN of the new token") if pin_file is None else read_pin(pin_file)


def asked(what: str) -> bytearray:
    """A PIN that a person types twice. The caller wipes it."""
    # Without a terminal the PIN comes through a pipe; that it could be echoed is no news then.
    warnings.simplefilter("ignore", GetPassWarning)
    try:
        pin: str = click.prompt(what, hide_input=True, confirmation_prompt=True, err=True)
    except click.Abort:
        stop(PROGRAM, f"no {what} was given and nothing was made; answer the prompt, or set pkcs11.pin_file")
    return bytearray(pin, "utf-8")
