"""Change the user PIN of a token together with the file that the signer reads it from."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from pkcs11.exceptions import PKCS11Error

from notary_common.durable import sync_folder

from .initialise import new_pin_problem, ready_token
from .native import CallFailed
from .pin import read_pin, wiped
from .problems import TokenProblem
from .settings import TokenSettings


def change_pin(settings: TokenSettings, new: bytearray) -> str:
    """Give the token the PIN `new`, then put it in place of the old one in the PIN file.

    The new PIN is on disk, beside the file, before the token gets it: whatever breaks off, one of the two files
    holds the PIN that the token has.

    Args:
        settings: the token, whose PIN is in `pin_file`.
        new: the new PIN; the caller wipes it.

    Returns:
        A sentence that tells what was done.

    Raises:
        TokenProblem: it was not done, or only half; the text says what to do.
    """
    path = Path(settings.pin_file)
    fresh = path.with_name(f"{path.name}.new")
    problem = new_pin_problem(new)
    if problem is not None:
        raise TokenProblem(f"the new PIN {problem}")
    if fresh.exists():
        raise TokenProblem(
            f"a change of the PIN was broken off: {fresh} holds the PIN that was to be set. If the token refuses the "
            f"one in {path}, run: mv {fresh} {path}. If not, the change did not happen: rm {fresh}"
        )
    with ready_token(settings, None, existing=True) as (module, session), wiped(read_pin(path)) as old:
        if old == new:
            raise TokenProblem(f"the new PIN is the one in {path}; nothing was changed")
        _write(fresh, new, path)
        try:
            module.native.set_pin(session, old, new)
        except PKCS11Error as error:
            with suppress(OSError):
                fresh.unlink()
            words = str(error) if isinstance(error, CallFailed) else type(error).__name__
            raise TokenProblem(
                f"the token did not take the new PIN ({words}); the old one is still right"
            ) from None
    try:
        fresh.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise TokenProblem(
            f"the token has the new PIN, but {path} could not be replaced ({error.strerror}): the PIN is in {fresh}; "
            f"put it in place of {path} now, and remove {fresh}"
        ) from None
    return f"the token {settings.name} has the new PIN, and so has {path}; running signers read it at their next login"


def _write(fresh: Path, pin: bytearray, path: Path) -> None:
    """The new PIN in a file with the owner and the mode of the old one, on disk when this returns."""
    try:
        like = path.stat()
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            if (like.st_uid, like.st_gid) != (os.geteuid(), os.getegid()):
                os.fchown(descriptor, like.st_uid, like.st_gid)
            os.fchmod(descriptor, like.st_mode & 0o777)
            os.writev(descriptor, [pin, b"\n"])
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        sync_folder(fresh.parent)
    except OSError as error:
        with suppress(OSError):
            fresh.unlink()
        raise TokenProblem(
            f"cannot write {fresh} ({error.strerror}), so {path} could not be replaced either; nothing was changed"
        ) from None
