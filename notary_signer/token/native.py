"""What python-pkcs11 does not offer, called through the module's own function list (PKCS#11 2.40, 5).

`C_Initialize` with arguments, `C_InitToken`, and everything that takes a PIN: python-pkcs11 wants a PIN as a
string, which Python cannot overwrite; here it is a buffer that the caller wipes.
"""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Final

from pkcs11 import Session
from pkcs11.exceptions import PKCS11Error

LABEL_BYTES: Final = 32
"""The width of a token label in PKCS#11."""

_OS_LOCKING: Final = 2
"""CKF_OS_LOCKING_OK: the module may use the system's own mutexes."""
_SECURITY_OFFICER, _USER = 0, 1
_ANY = ctypes.c_void_p
_LONG = ctypes.c_ulong
_FUNCTIONS: Final = {  # place in CK_FUNCTION_LIST, and the types of the arguments
    "C_Initialize": (0, (_ANY,)),
    "C_Finalize": (1, (_ANY,)),
    "C_InitToken": (9, (_LONG, _ANY, _LONG, ctypes.c_char_p)),
    "C_InitPIN": (10, (_LONG, _ANY, _LONG)),
    "C_SetPIN": (11, (_LONG, _ANY, _LONG, _ANY, _LONG)),
    "C_Login": (18, (_LONG, _LONG, _ANY, _LONG)),
}
_FUNCTION_COUNT: Final = 68
_NAMES: Final = {
    0x05: "CKR_GENERAL_ERROR",
    0x07: "CKR_ARGUMENTS_BAD",
    0x30: "CKR_DEVICE_ERROR",
    0x32: "CKR_DEVICE_REMOVED",
    0xA0: "CKR_PIN_INCORRECT",
    0xA1: "CKR_PIN_INVALID",
    0xA2: "CKR_PIN_LEN_RANGE",
    0xA3: "CKR_PIN_EXPIRED",
    0xA4: "CKR_PIN_LOCKED",
    0x100: "CKR_USER_ALREADY_LOGGED_IN",
    0x102: "CKR_USER_PIN_NOT_INITIALIZED",
}

ALREADY_LOGGED_IN: Final = 0x100
PIN_RESULTS: Final = frozenset({0xA0, 0xA1, 0xA2, 0xA3, 0xA4, 0x102})
"""What a token answers that does not like the PIN, or has none."""


class CallFailed(PKCS11Error):
    """A function of the module answered something else than CKR_OK.

    Attributes:
        result: the CK_RV.
    """

    def __init__(self, function: str, result: int) -> None:
        super().__init__(f"{function} answered {_NAMES.get(result, hex(result))}")
        self.result = result


class _FunctionList(ctypes.Structure):
    _fields_ = (("version", ctypes.c_ubyte * 2), ("functions", _ANY * _FUNCTION_COUNT))


class _InitializeArguments(ctypes.Structure):
    """CK_C_INITIALIZE_ARGS. NSS reads a string in place of the reserved pointer, and has that pointer after it."""

    _fields_ = (("mutexes", _ANY * 4), ("flags", _LONG), ("parameters", ctypes.c_char_p), ("reserved", _ANY))


class Native:
    """The functions of one module, which stays loaded for the life of the process."""

    def __init__(self, path: Path) -> None:
        """Load the module.

        Raises:
            OSError: it cannot be loaded, or is no PKCS#11 module.
        """
        # The same instance that python-pkcs11 has: the system loads a library once.
        self._library = ctypes.CDLL(str(path))
        listed = ctypes.POINTER(_FunctionList)()
        try:
            result = self._library.C_GetFunctionList(ctypes.byref(listed))
        except AttributeError:
            raise OSError(f"{path} exports no C_GetFunctionList") from None
        if result != 0:
            raise OSError(f"{path} gives no list of its functions")
        self._functions = listed.contents.functions

    def _call(self, name: str, *arguments: object) -> None:
        place, types = _FUNCTIONS[name]
        address = self._functions[place]
        if not address:
            raise CallFailed(name, 0x54)  # CKR_FUNCTION_NOT_SUPPORTED
        result = ctypes.CFUNCTYPE(_LONG, *types)(address)(*arguments)
        if result != 0:
            raise CallFailed(name, result)

    def initialize(self, parameters: str) -> None:
        """C_Initialize with a string for the module, as NSS's softokn wants one."""
        given = _InitializeArguments(flags=_OS_LOCKING, parameters=parameters.encode("utf-8"))
        self._call("C_Initialize", ctypes.byref(given))

    def finalize(self) -> None:
        """C_Finalize."""
        self._call("C_Finalize", None)

    def init_token(self, slot: int, label: str, so_pin: bytearray) -> None:
        """C_InitToken: everything that the slot's token holds is gone."""
        padded = label.encode("utf-8").ljust(LABEL_BYTES)
        self._call("C_InitToken", slot, _buffer(so_pin), len(so_pin), padded)

    def init_pin(self, session: Session, pin: bytearray) -> None:
        """C_InitPIN, in a session of the security officer."""
        self._call("C_InitPIN", _handle(session), _buffer(pin), len(pin))

    def set_pin(self, session: Session, old: bytearray, new: bytearray) -> None:
        """C_SetPIN, in a session of the user."""
        self._call("C_SetPIN", _handle(session), _buffer(old), len(old), _buffer(new), len(new))

    def login(self, session: Session, pin: bytearray, *, officer: bool = False) -> None:
        """C_Login; to be logged in already is as good."""
        who = _SECURITY_OFFICER if officer else _USER
        try:
            self._call("C_Login", _handle(session), who, _buffer(pin), len(pin))
        except CallFailed as error:
            if error.result != ALREADY_LOGGED_IN:
                raise


def _handle(session: Session) -> int:
    handle: int = session.handle  # type: ignore[attr-defined]
    return handle


def _buffer(pin: bytearray) -> ctypes.Array[ctypes.c_char]:
    """The caller's own bytes, not a copy."""
    return (ctypes.c_char * len(pin)).from_buffer(pin)
