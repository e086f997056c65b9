"""Make a token ready for the signer: initialise it, set its PIN, make its key-encryption key. Touches no other.

Synchronous, and for a process of its own: no other thread may use PKCS#11 meanwhile.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from pkcs11 import Session, Token, TokenFlag
from pkcs11.exceptions import PKCS11Error

from . import keks, objects
from .choice import choose
from .connection import WRAPPING_MECHANISMS
from .login import log_in
from .module import Module, find_module
from .native import LABEL_BYTES, CallFailed
from .pin import pin_problem, wiped
from .problems import TokenExists, TokenProblem
from .settings import TokenSettings
from .wrapper import KEK_LABEL

MIN_PIN_BYTES: Final = 4
"""The shortest PIN that SoftHSM takes."""


def initialise_token(
    settings: TokenSettings,
    pin: bytearray | None,
    *,
    existing: bool = False,
    exportable: bool = False,
) -> str:
    """Initialise a free slot as a token with `pin` and a new key-encryption key, if it can wrap keys at all.

    Args:
        settings: the module, and the label that the token gets.
        pin: the user PIN, which the signer will read from `pkcs11.pin_file`; 4 to 255 bytes. None: the token
            exists, and its PIN is in that file.
        existing: the token has been initialised, by its vendor's tool; only the key-encryption key is made.
        exportable: that key may leave the token until `export-kek` seals it; no signer works with it before. If
            the token is `existing` and has such keys, it is the next one.

    Returns:
        A sentence that tells what was made; no secrets.

    Raises:
        TokenExists: there is a token of that label; it is left as it is.
        TokenProblem: the module or a free slot is missing, a PIN or the label is unfit, or the token's
            key-encryption key exists already, which is then left as it is.
    """
    with ready_token(settings, pin, existing=existing) as (module, session):
        made = "was there already" if existing else f"initialised in {module.path}"
        if not _wraps(session):
            return f"token {settings.name} {made}; it wraps no keys, so all keys will be resident"
        label = _next_label(session, settings, further=exportable)
        kek = objects.create_kek(session, label, exportable=exportable)
        if not exportable and (problem := objects.kek_problem(kek)) is not None:
            raise TokenProblem(
                f"the token made an unfit key-encryption key: {problem}; do not use this token, "
                "or use it with pkcs11.keys: resident"
            )
        return f"token {settings.name} {made}; its key-encryption key is {label!r}"


def require_no_kek(session: Session, settings: TokenSettings, label: str) -> None:
    """Return if the token has no key-encryption key of that label yet.

    Raises:
        TokenProblem: it has.
    """
    if objects.find_keks(session, label):
        raise TokenProblem(
            f"the token {settings.name} has a key-encryption key {label!r} already; it was left as it is"
        )


def _next_label(session: Session, settings: TokenSettings, *, further: bool) -> str:
    labels = keks.labels(session)
    if not labels:
        return KEK_LABEL
    newest = labels[-1]
    if not further or not keks.is_fit(session, newest):
        # One that can still leave is to be exported, not to be followed by another.
        require_no_kek(session, settings, newest)
    return keks.following(newest)


@contextmanager
def ready_token(
    settings: TokenSettings, pin: bytearray | None, *, existing: bool
) -> Iterator[tuple[Module, Session]]:
    """The token, made unless it exists, and a session that the user is logged in to.

    Raises:
        TokenProblem: as `initialise_token`.
    """
    if not existing:
        _check_arguments(settings, pin)
    module = Module(find_module(settings.module_path), settings.arguments)
    try:
        if existing or pin is None:
            session = log_in(module.native, choose(module, settings), settings)
        else:
            session = _made(module, settings, pin)
        yield module, session
    except PKCS11Error as error:
        remedy = "" if existing else (
            " and may be half made: delete it (SoftHSM: softhsm2-util --delete-token "
            f"--token {settings.label}), then try again"
        )  # fmt: skip
        raise TokenProblem(
            f"the token {settings.name} could not be made ready ({_word(error)}){remedy}"
        ) from None
    finally:
        module.close()


def _word(error: PKCS11Error) -> str:
    return str(error) if isinstance(error, CallFailed) else type(error).__name__


def _check_arguments(settings: TokenSettings, pin: bytearray | None) -> None:
    if settings.serial is not None or settings.slot is not None:
        raise TokenProblem(
            "a token is made by its label: leave pkcs11.token_serial and pkcs11.slot out, or use --existing "
            "for a token that is initialised already"
        )
    if not settings.label or len(settings.label.encode("utf-8")) > LABEL_BYTES:
        raise TokenProblem(f"pkcs11.token_label: must be 1 to {LABEL_BYTES} bytes")
    if pin is not None:
        problem = new_pin_problem(pin)
        if problem is not None:
            raise TokenProblem(f"the PIN {problem}")


def new_pin_problem(pin: bytearray) -> str | None:
    """Why `pin` cannot become a token's PIN, or None if it can."""
    problem = pin_problem(pin)
    if problem is None and len(pin) < MIN_PIN_BYTES:
        problem = f"is shorter than {MIN_PIN_BYTES} bytes"
    return problem


def _wraps(session: Session) -> bool:
    listed = session.token.slot.get_mechanisms()
    return any(mechanism in listed for mechanism in WRAPPING_MECHANISMS)


def _made(module: Module, settings: TokenSettings, pin: bytearray) -> Session:
    slot = _free_slot(module, settings.label)
    # The security officer could reset the user PIN and wipe the token: nobody gets to know this PIN.
    with wiped(bytearray(secrets.token_urlsafe(24), "ascii")) as so_pin:
        try:
            module.native.init_token(slot, settings.label, so_pin)
        except CallFailed as error:
            raise TokenProblem(f"{error}; nothing was made") from None
        token = choose(module, settings)
        officer = token.open(rw=True)
        module.native.login(officer, so_pin, officer=True)
    module.native.init_pin(officer, pin)
    # Closing the last session of a token logs out.
    officer.close()
    session = token.open(rw=True, attribute_mapper=objects.attribute_mapper())
    module.native.login(session, pin)
    return session


def _free_slot(module: Module, label: str) -> int:
    free: int | None = None
    try:
        for slot in module.library.get_slots(token_present=True):
            token: Token = slot.get_token()
            if TokenFlag.TOKEN_INITIALIZED not in token.flags:
                free = slot.slot_id if free is None else free
            elif token.label == label:
                raise TokenExists(f"a token labelled {label!r} exists already; it was left as it is")
    except PKCS11Error as error:
        raise TokenProblem(
            f"the slots of the PKCS#11 module cannot be listed ({type(error).__name__})"
        ) from None
    if free is None:
        raise TokenProblem("the PKCS#11 module has no slot with a token that is not initialised yet")
    return free
