"""The token's PIN: read from its file as late as possible, never shown."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from .problems import TokenProblem

MAX_PIN_BYTES: Final = 255
"""The longest PIN that SoftHSM takes."""


def pin_problem(pin: str) -> str | None:
    """Why `pin` cannot be a PIN, or None if it can."""
    if not pin:
        return "is empty"
    if len(pin.encode("utf-8")) > MAX_PIN_BYTES:
        return f"is longer than {MAX_PIN_BYTES} bytes"
    if any(ord(c) < 0x20 or ord(c) == 0x7F for c in pin):
        return "holds a control character"
    return None


def exposure(path: Path) -> str | None:
    """What to tell the operator of a PIN file that every user of this machine may read; None if they may not.

    No reason not to start: Kubernetes mounts secrets like that unless told otherwise, inside a container where
    there is nobody else.
    """
    if not path.stat().st_mode & stat.S_IROTH:
        return None
    return f"every user of this machine may read {path}; run: chmod 600 {path}"


def read_pin(path: Path) -> str:
    """The PIN in the first and only line of a file that nobody but its owner may change.

    Raises:
        TokenProblem: the file is missing, unreadable, writable by others, or holds no PIN.
    """
    try:
        with path.open("rb") as file:
            info = os.fstat(file.fileno())
            if not stat.S_ISREG(info.st_mode):
                raise TokenProblem(f"pkcs11.pin_file: {path} is not a regular file")
            if info.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                raise TokenProblem(
                    f"pkcs11.pin_file: {path} may be changed by others than its owner: chmod 600 {path}"
                )
            content = file.read(MAX_PIN_BYTES + 3)
    except OSError as error:
        raise TokenProblem(f"pkcs11.pin_file: cannot read {path}: {error.strerror}") from None
    try:
        pin = content.decode("utf-8").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise TokenProblem(f"pkcs11.pin_file: {path} is not UTF-8 text") from None
    problem = pin_problem(pin)
    if problem is not None:
        raise TokenProblem(f"pkcs11.pin_file: the PIN in {path} {problem}")
    return pin
