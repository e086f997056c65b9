"""Reading and writing the service's files: whole or not at all, and faults as sentences."""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class FileProblem(Exception):
    """A file cannot be used; the text names it, and each thing that is wrong with it."""

    def __init__(self, path: Path, problems: list[str]) -> None:
        self.problems = [f"{path}: {problem}" for problem in problems]
        super().__init__("; ".join(self.problems))


def read_text(path: Path) -> str:
    """The file as text.

    Raises:
        FileProblem: it cannot be read, or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise FileProblem(path, [f"cannot be read ({error.strerror}); check its permissions"]) from None
    except UnicodeDecodeError:
        raise FileProblem(path, ["is not UTF-8; save it as UTF-8"]) from None


def write_whole(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Put a file in its place at once, with its final mode from the beginning.

    Raises:
        FileProblem: it cannot be written.
    """
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
        except OSError:
            beside.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise FileProblem(
            path, [f"cannot be written ({error.strerror}); check the folder and its permissions"]
        ) from None


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keep other commands from changing files of `folder` meanwhile: what one of them revoked must stay revoked.

    Raises:
        FileProblem: the folder cannot be opened.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise FileProblem(folder, [f"cannot be opened ({error.strerror}); make the folder first"]) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
