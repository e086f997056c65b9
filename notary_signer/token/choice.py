"""The one token that the settings mean, among all that the module has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pkcs11 import Token

from .problems import TokenProblem

if TYPE_CHECKING:
    from .module import Module
    from .settings import TokenSettings


def serial_of(token: Token) -> str:
    """The serial number in print, without the blanks that fill it."""
    return token.serial.decode("ascii", "replace").strip("\0 ")


def choose(module: Module, settings: TokenSettings) -> Token:
    """The token with the serial number or in the slot that is configured, else with the label.

    Raises:
        TokenProblem: there is none, or more than one.
        pkcs11.PKCS11Error: the module does not list its tokens.
    """
    tokens = [slot.get_token() for slot in module.library.get_slots(token_present=True)]
    if settings.slot is not None:
        found = [token for token in tokens if token.slot.slot_id == settings.slot]
    elif settings.serial is not None:
        found = [token for token in tokens if serial_of(token) == settings.serial]
    else:
        found = [token for token in tokens if token.label == settings.label]
    if len(found) == 1:
        return found[0]
    if found:
        raise TokenProblem(
            f"more than one token {settings.name} is in {module.path}: name one by pkcs11.token_serial or pkcs11.slot"
        )
    raise TokenProblem(
        f"there is no token {settings.name} in {module.path}: run notary-signer token init, or check "
        "pkcs11.token_label, pkcs11.token_serial or pkcs11.slot and, for SoftHSM, the variable SOFTHSM2_CONF"
        + _listed(tokens)
    )


def _listed(tokens: list[Token]) -> str:
    named = [
        f"{token.label!r} (serial {serial_of(token)}, slot {token.slot.slot_id})"
        for token in tokens
        if token.label
    ]
    return f"; it has {', '.join(named)}" if named else ""
