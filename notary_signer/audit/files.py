"""The audit log in a file: JSON lines, one writer, an fsync for each batch, a new file when one is full.

`audit.jsonl` is the file that is written; full ones are `audit.jsonl.000000000001`, named after their first record.
`audit.jsonl.lock` is held by the process that writes: two never write one chain. All calls here block.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import stat
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from notary_common.durable import sync_folder
from notary_signer.errors import StartRefused
from notary_signer.ports import AuditEvent

from .chain import StoreFailed
from .record import SIGNER, START, Head, NotARecord, Record, parse

TAIL_BYTES: Final = 1 << 20
"""How much of the end of the file is checked before it is gone on with: two thousand records, in milliseconds."""
LOCK_RETRY: Final = 0.05
"""Seconds between two tries for the lock."""

_NUMBERED: Final = re.compile(r"\.[0-9]{12}")
_FLAGS: Final = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
_MODE: Final = 0o600


def files_of(path: Path) -> list[Path]:
    """The files of the chain that is written to `path`, the oldest first; those that are there."""
    full = [
        other
        for other in path.parent.glob(f"{path.name}.*")
        if _NUMBERED.fullmatch(other.name[len(path.name) :])
    ]
    return [*sorted(full), *([path] if path.exists() else [])]


def is_written(path: Path) -> bool:
    """Whether a process holds the lock of `path` right now."""
    try:
        descriptor = os.open(_lock_path(path), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


class AuditFile:
    """The file of one writer's chain, locked and open for writing.

    Attributes:
        head: the end of the chain as it was found.
        torn: what was found after the last whole line, if anything: where it was put, and its SHA-256.
    """

    def __init__(
        self, path: Path, writer: str, *, max_bytes: int, wait: float = 0.0, tail_bytes: int = TAIL_BYTES
    ) -> None:
        """Lock and open it, and look at its end.

        Args:
            path: in a directory that is there.
            writer: whose chain it must be.
            max_bytes: a file that is longer is put aside and a new one begun.
            wait: seconds to wait for another process to give up the lock.
            tail_bytes: how much of the end to look at.

        Raises:
            StartRefused: it cannot be opened, another process writes it, or its end is no sound chain.
        """
        self._path = path
        self._max_bytes = max_bytes
        self._tail_bytes = tail_bytes
        self._descriptor = -1
        self._size = 0
        self._unfinished = False
        self.torn: tuple[Path, str] | None = None
        try:
            self._lock = _locked(path, wait)
        except OSError as error:
            raise StartRefused(f"audit.file: {_lock_path(path)}: {error.strerror}") from None
        try:
            self._open()
            self.head = self._look(writer)
        except BaseException as error:
            self.close()
            if isinstance(error, OSError):
                raise StartRefused(f"audit.file: {path}: {error.strerror}") from None
            raise

    def write(self, records: Sequence[Record]) -> None:
        """Append all and return when they are durable.

        Raises:
            StoreFailed: what is in the file beyond its good length must go first (`recover`).
        """
        data = b"".join(record.line + b"\n" for record in records)
        try:
            self._check_in_place()
            if self._size and self._size + len(data) > self._max_bytes:
                self._rotate()
            self._unfinished = True
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
            os.fsync(self._descriptor)
        except OSError as error:
            raise StoreFailed(f"{self._path}: {error.strerror}") from None
        self._unfinished = False
        self._size += len(data)

    def recover(self) -> None:
        """Take away what an unfinished write left; begin a new file where the old one was moved away.

        Raises:
            StoreFailed: not possible now, or somebody else changed the file.
        """
        try:
            if self._descriptor < 0 or not self._in_place():
                self._close_file()
                self._open()
                if self._size:
                    self._close_file()
                    raise StoreFailed(f"somebody else put another file in the place of {self._path}")
                self._unfinished = False
            if self._unfinished and os.fstat(self._descriptor).st_size > self._size:
                os.ftruncate(self._descriptor, self._size)
                os.fsync(self._descriptor)
            self._unfinished = False
            self._check_in_place()
        except StartRefused as error:
            raise StoreFailed(str(error)) from None
        except OSError as error:
            raise StoreFailed(f"{self._path}: {error.strerror}") from None

    def close(self) -> None:
        """Close the file and let the next process have it."""
        self._close_file()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _open(self) -> None:
        fresh = not self._path.exists()
        self._descriptor = os.open(self._path, _FLAGS, _MODE)
        info = os.fstat(self._descriptor)
        if not stat.S_ISREG(info.st_mode):
            raise StartRefused(f"audit.file: {self._path} is not a regular file; name another one")
        if info.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise StartRefused(f"audit.file: others may write to {self._path}; run: chmod 600 {self._path}")
        self._size = info.st_size
        if fresh:
            sync_folder(self._path.parent)

    def _in_place(self) -> bool:
        try:
            named = self._path.stat()
        except FileNotFoundError:
            return False
        mine = os.fstat(self._descriptor)
        return (named.st_ino, named.st_dev) == (mine.st_ino, mine.st_dev)

    def _check_in_place(self) -> None:
        if self._descriptor < 0 or not self._in_place():
            raise StoreFailed(f"{self._path} was moved or removed by somebody else")
        if os.fstat(self._descriptor).st_size != self._size:
            # Never cut what another one wrote: it is evidence.
            raise StoreFailed(
                f"{self._path} was changed by somebody else; run `audit verify`, move the file away, restart"
            )

    def _rotate(self) -> None:
        line = next(_lines(self._path), b"")
        try:
            first = parse(line)[1].sequence
        except NotARecord as problem:
            raise StoreFailed(f"{self._path}: its first line {problem}") from None
        full = self._path.with_name(f"{self._path.name}.{first:012d}")
        if full.exists():
            raise StoreFailed(f"{full} is there already; move it away")
        self._path.rename(full)
        self._close_file()
        self._open()

    def _close_file(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _look(self, writer: str) -> Head:
        """The end of the chain, after what an interrupted write left was set aside."""
        start = max(0, self._size - self._tail_bytes)
        lines = os.pread(self._descriptor, self._tail_bytes, start).split(b"\n")
        fragment = lines.pop()
        if start:
            lines = lines[1:]
        if fragment:
            self._set_aside(fragment)
        head = _end(self._path, lines, writer)
        if head is not None:
            return head
        earlier = [path for path in files_of(self._path) if path != self._path]
        if not earlier:
            return START
        size = earlier[-1].stat().st_size
        with earlier[-1].open("rb") as file:
            file.seek(max(0, size - TAIL_BYTES))
            lines = file.read().split(b"\n")[1 if size > TAIL_BYTES else 0 : -1]
        return _end(earlier[-1], lines, writer) or START

    def _set_aside(self, fragment: bytes) -> None:
        digest = hashlib.sha256(fragment).hexdigest()
        aside = self._path.with_name(f"{self._path.name}.torn-{digest[:16]}")
        with open(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _MODE), "wb") as file:  # noqa: PTH123
            file.write(fragment)
            file.flush()
            os.fsync(file.fileno())
        sync_folder(self._path.parent)
        self._size -= len(fragment)
        os.ftruncate(self._descriptor, self._size)
        os.fsync(self._descriptor)
        self.torn = (aside, digest)


def torn_event(file: AuditFile) -> list[AuditEvent]:
    """What must be said of an unfinished line that was found, if one was."""
    if file.torn is None:
        return []
    aside, digest = file.torn
    reason = f"an unfinished line at the end of the file was set aside as {aside.name}"
    return [AuditEvent(SIGNER, "audit_torn_line", "done", reason=reason, payload_sha256=digest)]


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        for line in file:
            yield line.removesuffix(b"\n")


def _end(path: Path, lines: Sequence[bytes], writer: str) -> Head | None:
    """The end of a chain whose last lines these are; None if there are none."""
    head: Head | None = None
    for line in lines:
        try:
            entry, this = parse(line)
        except NotARecord as problem:
            raise StartRefused(_unsound(path, f"a line near its end {problem}")) from None
        if entry.writer != writer:
            raise StartRefused(
                f"audit.file: {path} holds the chain of {entry.writer!r}, and this signer writes as {writer!r}; "
                "set audit.writer to that name, or audit.file to another file"
            )
        if head is not None and (
            entry.sequence <= head.sequence or _breaks(entry.previous, entry.sequence, head)
        ):
            raise StartRefused(_unsound(path, f"record {entry.sequence} does not follow the one before"))
        head = this
    return head


def _breaks(previous: str, sequence: int, head: Head) -> bool:
    # After a lost end the numbers go on where the lost ones ended.
    return sequence == head.sequence + 1 and previous != head.hash


def _unsound(path: Path, what: str) -> str:
    return (
        f"audit.file: {path}: {what}; run `notary-signer audit verify`, keep the file as evidence, "
        "move it away and start again (docs/operations/audit.md)"
    )


def _lock_path(path: Path) -> Path:
    return path.with_name(path.name + ".lock")


def _locked(path: Path, wait: float) -> int:
    if not path.parent.is_dir():
        raise StartRefused(f"audit.file: there is no directory {path.parent}; make it, with mode 0700")
    descriptor = os.open(_lock_path(path), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _MODE)
    deadline = time.monotonic() + wait
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                os.close(descriptor)
                raise StartRefused(
                    f"audit.file: another process writes {path}; give each signer process an audit.file of its own"
                ) from None
            time.sleep(LOCK_RETRY)
        else:
            return descriptor
