"""Write an archive: a new file that has its name only when it is whole and on disk."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from notary_common.durable import sync_folder

from . import format as form
from .format import END, BadArchive, Entry, Index
from .reading import Archive, Place


class CannotWrite(Exception):
    """The archive cannot be written; the text says why."""


class Writer:
    """Writes repositories, one after the other and in the order of their names, into a file that can be written anywhere.

    All methods raise `CannotWrite`.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._number = 0
        self._member(form.MARKER_NAME, form.MARKER)

    def begin(self, gun: str, entries: Sequence[Entry]) -> Place:
        """Begin the next repository; its files, in the order of `sorted_entries`, follow with `add`.

        Raises:
            BadArchive: no archive can hold it; nothing was written.
        """
        if self._number == form.MAX_REPOSITORIES:
            raise BadArchive(f"an archive holds {form.MAX_REPOSITORIES} repositories at most")
        data = form.index_bytes(Index(gun, tuple(entries)))
        with _written():
            place = Place(gun, self._number + 1, self._file.seek(0, os.SEEK_END), form.digest(data))
        self._member(form.index_name(place.number, place.sha256), data)
        self._number += 1
        return place

    def add(self, place: Place, position: int, data: bytes, sha256: str) -> None:
        """Add the file at that position, from 1 on."""
        self._member(form.file_name(place.number, position, sha256), data)

    def take_back(self, place: Place) -> None:
        """Forget the repository that was begun last."""
        with _written():
            self._file.seek(place.offset)
            self._file.truncate()
        self._number -= 1

    def read_back(self) -> Archive:
        """What was written so far, to be read."""
        return Archive(self._file, form.MAX_FILE_BYTES)

    def end(self) -> None:
        """Write the end."""
        self._write(END)

    def _member(self, name: str, data: bytes) -> None:
        self._write(form.header(name, len(data)), data, form.padding(len(data)))

    def _write(self, *parts: bytes) -> None:
        with _written():
            self._file.seek(0, os.SEEK_END)
            for part in parts:
                self._file.write(part)


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """A file, only for its owner to read, that gets its name when the block has ended well, and is gone if it has not.

    Raises:
        CannotWrite: there is one of that name, or none can be written.
    """
    with _written():
        if path.exists():
            raise CannotWrite(f"{path} exists already; name a new file")
        number, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    file = os.fdopen(number, "w+b")
    try:
        yield file
        with _written():
            file.flush()
            os.fsync(number)
            # Unlike a renaming, a link takes nobody's place.
            os.link(name, path)
            sync_folder(path.parent)
    finally:
        with suppress(OSError):  # What could not be written is told of already.
            file.close()
        Path(name).unlink()


@contextmanager
def _written() -> Iterator[None]:
    """A full disk must not be taken for a database that is away."""
    try:
        yield
    except OSError as error:
        raise CannotWrite(f"the archive cannot be written: {error.strerror or error}") from error
