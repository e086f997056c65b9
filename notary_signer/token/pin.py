"""The token's PIN: read from its file as late as possible, kept in a buffer that is wiped, never shown."""

from __future__ import annotations

import codecs
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from .problems import TokenProblem

MAX_PIN_BYTES: Final = 255
"""The longest PIN that SoftHSM takes."""


def wipe(secret: bytearray) -> None:
    """Overwrite `secret` where it lies."""
    secret[:] = bytes(len(secret))


@contextmanager
def wiped(secret: bytearray) -> Iterator[bytearray]:
    """`secret` for the length of the block, overwritten at its end."""
    try:
        yield secret
    finally:
        wipe(secret)


def pin_problem(pin: bytes | bytearray) -> str | None:
    """Why `pin` cannot be a PIN, or None if it can."""
    if not pin:
        return "is empty"
    if len(pin) > MAX_PIN_BYTES:
        return f"is longer than {MAX_PIN_BYTES} bytes"
    if any(byte < 0x20 or byte == 0x7F for byte in pin):
        return "holds a control character"
    if not _is_text(pin):
        return "is not UTF-8 text"
    return None


def _is_text(pin: bytes | bytearray) -> bool:
    # Byte by byte: decoding the whole would leave a string of it that cannot be wiped.
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for byte in pin:
            decoder.decode(bytes((byte,)))
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def exposure(path: Path) -> str | None:
    """What to tell the operator of a PIN file that every user of this machine may read; None if they may not.

    No reason not to start: Kubernetes mounts secrets like that unless told otherwise, inside a container where
    there is nobody else.
    """
    if not path.stat().st_mode & stat.S_IROTH:
        return None
    return f"every user of this machine may read {path}; run: chmod 600 {path}"


@contextmanager
def opened(path: Path, key: str = "pkcs11.pin_file") -> Iterator[int]:
    """A descriptor of the PIN file, a regular file that nobody but its owner may change.

    Args:
        path: the file.
        key: what the operator calls it, for the problem's text.

    Raises:
        TokenProblem: the file is missing, unreadable, or writable by others.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise TokenProblem(f"{key}: cannot read {path}: {error.strerror}") from None
    try:
        info = os.fstat(descriptor)
        if not stat.S_ISREG(info.st_mode):
            raise TokenProblem(f"{key}: {path} is not a regular file")
        if info.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise TokenProblem(f"{key}: {path} may be changed by others than its owner: chmod 600 {path}")
        yield descriptor
    finally:
        os.close(descriptor)


def read_from(descriptor: int, path: Path, key: str = "pkcs11.pin_file") -> bytearray:
    """The PIN in the first and only line of an opened file. The caller wipes it.

    Raises:
        TokenProblem: it cannot be read, or holds no PIN.
    """
    content = bytearray(MAX_PIN_BYTES + 3)
    with wiped(content), memoryview(content) as view:
        try:
            length = os.preadv(descriptor, [view], 0)
        except OSError as error:
            raise TokenProblem(f"{key}: cannot read {path}: {error.strerror}") from None
        for ending in (0x0A, 0x0D):
            if length and content[length - 1] == ending:
                length -= 1
        # A copy of the right length: a buffer that is cut may move, and leave its bytes behind.
        pin = content[:length]
    problem = pin_problem(pin)
    if problem is not None:
        wipe(pin)
        raise TokenProblem(f"{key}: the PIN in {path} {problem}")
    return pin


def read_pin(path: Path, key: str = "pkcs11.pin_file") -> bytearray:
    """The PIN in a file that nobody but its owner may change. The caller wipes it.

    Raises:
        TokenProblem: the file is missing, unreadable, writable by others, or holds no PIN.
    """
    with opened(path, key) as descriptor:
        return read_from(descriptor, path, key)
