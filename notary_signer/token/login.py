"""Log in without ever locking the token: a PIN that it refused is not tried again, by whatever process.

A token locks itself after a few wrong PINs in a row, and a process manager starts a crashing signer again and
again. So the refusal is noted in a file: not the PIN, but which file it was read from and when that was written.
A PIN file that is written anew is tried again, once. Where the note cannot be kept, the token's own flags decide.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from pkcs11 import Session, Token, TokenFlag

from . import objects
from .native import PIN_RESULTS, CallFailed, Native
from .pin import opened, read_from, wiped
from .problems import PinRefused, TokenProblem
from .settings import TokenSettings

LOCK_PATIENCE: Final = 20.0
"""Seconds to wait while another process of this machine logs in with the same PIN file; a login takes milliseconds."""
_LOCK_POLL: Final = 0.02

_Identity = list[int | str]


def log_in(native: Native, token: Token, settings: TokenSettings, *, final_try: bool = False) -> Session:
    """A session that the user is logged in to. Processes that share the PIN file take turns.

    Args:
        native: the module's own functions.
        token: the chosen token.
        settings: where the PIN is, and where its refusal is noted.
        final_try: log in although the token says that one more wrong PIN locks it.

    Raises:
        PinRefused: the token refused the PIN, has refused it before, or must not be tried.
        TokenProblem: the PIN file is not fit to be read.
        pkcs11.PKCS11Error: the token does not work.
    """
    path = Path(settings.pin_file)
    with opened(path) as descriptor, _alone(descriptor):
        identity = _identity(descriptor, token)
        note = _note(settings)
        _must_be_tried(_flags(token), settings, note, identity, final_try)
        session = token.open(rw=True, attribute_mapper=objects.attribute_mapper())
        with wiped(read_from(descriptor, path)) as pin:
            try:
                native.login(session, pin)
            except CallFailed as error:
                with suppress(Exception):
                    session.close()
                if error.result not in PIN_RESULTS:
                    raise
                noted = _write(note, identity)
                raise PinRefused(_refused(settings, str(error), noted)) from None
        _forget(note)
        return session


def _refused(settings: TokenSettings, words: str, noted: bool) -> str:
    memory = "" if noted else f"; this could not be noted in {_note(settings)}: name a writable file there"
    return (
        f"the token {settings.name} refused the PIN ({words}): correct {settings.pin_file} (pkcs11.pin_file), "
        f"and it is tried again{memory}"
    )


def _must_be_tried(
    flags: TokenFlag, settings: TokenSettings, note: Path, identity: _Identity, final_try: bool
) -> None:
    if TokenFlag.USER_PIN_LOCKED in flags:
        raise PinRefused(
            f"the token {settings.name} is locked after too many wrong PINs: its security officer must set a new one"
        )
    if TokenFlag.USER_PIN_FINAL_TRY in flags and not final_try:
        raise PinRefused(
            f"the token {settings.name} says that one more wrong PIN locks it, so no PIN is tried: make sure that "
            "pkcs11.pin_file holds the right one, then run notary-signer token check --final-try"
        )
    if _read(note) == identity:
        raise PinRefused(
            f"the token {settings.name} refused the PIN in {settings.pin_file} before, so it is not tried again: "
            f"correct the file (pkcs11.pin_file); if the file is right (the token's PIN was set back), run: touch {settings.pin_file}"
        )
    if TokenFlag.USER_PIN_COUNT_LOW in flags and not final_try and not _writable(note):
        raise PinRefused(
            f"the token {settings.name} was given a wrong PIN, and {note} is not writable, so nobody knows whether "
            "it was this one: name a writable file as pkcs11.refused_pin_file, or run notary-signer token check "
            "--final-try once the PIN is right"
        )


def _flags(token: Token) -> TokenFlag:
    """As they are now; those of `token` are as they were when it was chosen."""
    return token.slot.get_token().flags


def _identity(descriptor: int, token: Token) -> _Identity:
    """Which PIN file for which token, as it was written: nothing that would help to guess the PIN."""
    info = os.fstat(descriptor)
    return [token.serial.hex(), token.slot.slot_id, info.st_dev, info.st_ino, info.st_mtime_ns]


def _note(settings: TokenSettings) -> Path:
    return Path(settings.refused_file or f"{settings.pin_file}.refused")


def _read(note: Path) -> object:
    try:
        return json.loads(note.read_text("ascii"))
    except (OSError, ValueError):
        return None


def _writable(note: Path) -> bool:
    return os.access(note if note.exists() else note.parent, os.W_OK)


def _write(note: Path, identity: _Identity) -> bool:
    """Whether the note is on disk."""
    fresh = note.with_name(f"{note.name}.{os.getpid()}")
    try:
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            json.dump(identity, file)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(note)
    except OSError:
        return False
    return True


def _forget(note: Path) -> None:
    with suppress(OSError):
        note.unlink()


@contextmanager
def _alone(descriptor: int) -> Iterator[None]:
    """Hold the PIN file's lock, so that several processes do not try the same wrong PIN at once.

    Raises:
        TokenProblem: another process has held it for too long.
    """
    until = time.monotonic() + LOCK_PATIENCE
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if time.monotonic() > until:
                raise TokenProblem(
                    "another process has been logging in with the same PIN file for too long: does its token hang?"
                ) from None
            time.sleep(_LOCK_POLL)
        except OSError:
            break  # a file system without locks: the note and the token's flags still hold
    yield  # closing the descriptor gives the lock back
