"""A file of lines that only ever grows, written by any number of processes, turned over when it is large.

Each line is one `write` to a file opened for appending, which the system never mixes with another. The file may also be
moved away from outside (logrotate): the next line goes to a new one.
"""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path
from typing import Final

MODE: Final = 0o640
"""Its group may read it: whoever collects or audits it need not be the daemon."""


class Journal:
    """One process's way to the file. For one thread only, but for `sync`.

    Turned over, FILE becomes FILE.1, FILE.1 becomes FILE.2 and so on; the last one is removed.
    """

    def __init__(self, path: Path, max_bytes: int, kept: int) -> None:
        """Opens nothing yet.

        Args:
            max_bytes: size from which on the file is turned over.
            kept: files that are kept besides the current one, at least 1.
        """
        self._path = path
        self._max_bytes = max_bytes
        self._kept = kept
        self._file: int | None = None
        self._place = (0, 0)
        self._torn = False
        self._unsynced = False

    def append(self, line: bytes) -> None:
        """Write one line, which holds no line break. It outlives this process from now on, and the machine after `sync`.

        Raises:
            OSError: it was not written, or not whole.
        """
        file = self._current()
        data = (b"\n" if self._torn else b"") + line + b"\n"
        written = os.write(file, data)
        self._torn = written != len(data)
        self._unsynced = True
        if self._torn:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def duplicate(self) -> int | None:
        """A descriptor for `sync`, None if all that was written is on the disk."""
        if not self._unsynced or self._file is None:
            return None
        self._unsynced = False
        return os.dup(self._file)

    def close(self) -> None:
        """Put everything on the disk, and close; the next line would open the file again."""
        file, self._file = self._file, None
        if file is not None:
            sync(file)

    def _current(self) -> int:
        """The descriptor of the file that the path names now."""
        found = self._found()
        if self._file is None or found is None or (found.st_dev, found.st_ino) != self._place:
            return self._open()
        if found.st_size >= self._max_bytes:
            return self._turn_over(self._file)
        return self._file

    def _found(self) -> os.stat_result | None:
        """What the path names, None if that is nothing: it was moved away, or is being turned over."""
        try:
            return self._path.stat()
        except FileNotFoundError:
            return None

    def _open(self) -> int:
        self.close()
        self._file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, MODE)
        state = os.fstat(self._file)
        self._place = state.st_dev, state.st_ino
        self._torn = False
        return self._file

    def _turn_over(self, file: int) -> int:
        # Whoever gets the lock second finds another file under the path, or none, and only opens that.
        fcntl.flock(file, fcntl.LOCK_EX)
        found = self._found()
        if found is not None and (found.st_dev, found.st_ino) == self._place:
            for number in range(self._kept - 1, 0, -1):
                older = self._numbered(number)
                if older.exists():
                    older.replace(self._numbered(number + 1))
            self._path.replace(self._numbered(1))
        return self._open()

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")


def sync(descriptor: int) -> None:
    """Put a file on the disk and close the descriptor; may take as long as the disk does.

    Raises:
        OSError: the disk has failed.
    """
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
