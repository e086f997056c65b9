"""Make a token ready for the signer: initialise it, set its PIN, make its key-encryption key. Touches no other."""

from __future__ import annotations

import ctypes
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pkcs11
from pkcs11 import TokenFlag
from pkcs11.exceptions import PKCS11Error

from . import objects
from .connection import KEK_LABEL
from .module import find_module
from .pin import pin_problem
from .problems import TokenProblem

if TYPE_CHECKING:
    from pkcs11._pkcs11 import lib as Module

LABEL_BYTES: Final = 32
"""The width of a token label in PKCS#11."""
MIN_PIN_BYTES: Final = 4
"""The shortest PIN that SoftHSM takes."""


def initialise_token(module: Path | None, label: str, pin: str, so_pin: str | None = None) -> str:
    """Initialise a free slot as the token `label` with `pin` and a new key-encryption key.

    Synchronous, and for a process of its own: no other thread may use PKCS#11 meanwhile.

    Args:
        module: the PKCS#11 library (`pkcs11.module`), None to find SoftHSM.
        label: the token's name (`pkcs11.token_label`), at most 32 bytes of UTF-8.
        pin: the user PIN, which the signer will read from `pkcs11.pin_file`; 4 to 255 bytes.
        so_pin: the security officer's PIN, which can reset the user PIN and wipe the token. None makes a
            random one and forgets it: then nobody can.

    Returns:
        A sentence that tells what was made; no secrets.

    Raises:
        TokenProblem: the module or a free slot is missing, a PIN or the label is unfit, or a token of that
            label exists already, which is then left as it is.
    """
    _check_arguments(label, pin, so_pin)
    path = find_module(module)
    with _module(path) as library:
        slot_id = _free_slot(library, label)
        try:
            _init_token(path, slot_id, label, so_pin := so_pin or secrets.token_urlsafe(24))
            _set_up(library, label, pin, so_pin)
        except PKCS11Error as error:
            raise TokenProblem(
                f"the token {label!r} could not be made ({type(error).__name__}) and may be half made: "
                f"delete it (SoftHSM: softhsm2-util --delete-token --token {label}), then try again"
            ) from None
    return f"token {label!r} initialised in {path}; its key-encryption key is {KEK_LABEL!r}"


def _check_arguments(label: str, pin: str, so_pin: str | None) -> None:
    if not label or len(label.encode("utf-8")) > LABEL_BYTES:
        raise TokenProblem(f"pkcs11.token_label: must be 1 to {LABEL_BYTES} bytes")
    for name, value in (("PIN", pin), ("security officer's PIN", so_pin)):
        if value is None:
            continue
        problem = pin_problem(value)
        if problem is None and len(value.encode("utf-8")) < MIN_PIN_BYTES:
            problem = f"is shorter than {MIN_PIN_BYTES} bytes"
        if problem is not None:
            raise TokenProblem(f"the {name} {problem}")


@contextmanager
def _module(path: Path) -> Iterator[Module]:
    try:
        library = pkcs11.lib(str(path))
    except PKCS11Error as error:
        raise TokenProblem(
            f"the PKCS#11 module {path} cannot be initialised ({type(error).__name__}); "
            "for SoftHSM check SOFTHSM2_CONF and that its token directory exists and is yours"
        ) from None
    try:
        yield library
    finally:
        with suppress(PKCS11Error):
            library.finalize()


def _free_slot(library: Module, label: str) -> int:
    free: int | None = None
    try:
        for slot in library.get_slots(token_present=True):
            token = slot.get_token()
            if TokenFlag.TOKEN_INITIALIZED not in token.flags:
                free = slot.slot_id if free is None else free
            elif token.label == label:
                raise TokenProblem(f"a token labelled {label!r} exists already; it was left as it is")
    except PKCS11Error as error:
        raise TokenProblem(
            f"the slots of the PKCS#11 module cannot be listed ({type(error).__name__})"
        ) from None
    if free is None:
        raise TokenProblem("the PKCS#11 module has no slot with a token that is not initialised yet")
    return free


def _init_token(path: Path, slot_id: int, label: str, so_pin: str) -> None:
    """C_InitToken (PKCS#11 2.40, 5.5), which python-pkcs11 does not offer."""
    try:
        # The library is loaded and initialised already: this is the same instance.
        function = ctypes.CDLL(str(path)).C_InitToken
    except (OSError, AttributeError):
        raise TokenProblem(f"the PKCS#11 module {path} does not export C_InitToken") from None
    function.restype = ctypes.c_ulong
    function.argtypes = [ctypes.c_ulong, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p]
    pin = so_pin.encode("utf-8")
    result = function(slot_id, pin, len(pin), label.encode("utf-8").ljust(LABEL_BYTES))
    if result != 0:
        raise TokenProblem(f"C_InitToken answered {result:#x}; nothing was made")


def _set_up(library: Module, label: str, pin: str, so_pin: str) -> None:
    token = library.get_token(token_label=label)
    officer = token.open(rw=True, so_pin=so_pin)
    officer.init_pin(pin)
    officer.close()
    user = token.open(rw=True, user_pin=pin)
    kek = objects.create_kek(user, KEK_LABEL)
    problem = objects.kek_problem(kek)
    user.close()
    if problem is not None:
        raise TokenProblem(f"the token made an unfit key-encryption key: {problem}; do not use this token")
