"""Read an archive: all of it once to know that it is whole, then what is wanted, by its place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from notary_common.table import printable

from . import format as form
from .format import BLOCK, END, BadArchive, Entry, Index


@dataclass(frozen=True, slots=True)
class Place:
    """Where an archive has a repository.

    Attributes:
        number: from 1 on.
        sha256: the digest of its list of files; who read it once and finds it again reads the same bytes.
    """

    gun: str
    number: int
    offset: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Member:
    """A stored file of a repository, and where the archive has it."""

    entry: Entry
    name: str
    offset: int


class Archive:
    """An archive in a file that can be read anywhere. Holds one member in memory at a time.

    Args:
        max_file_bytes: the longest stored file that is read.
    """

    def __init__(self, file: BinaryIO, max_file_bytes: int) -> None:
        self._file = file
        self._max_file_bytes = max_file_bytes

    def places(self, progress: Callable[[int], None]) -> list[Place]:
        """Every repository, once every byte of the archive was read and is right.

        Args:
            progress: is told how many more bytes are done.

        Raises:
            BadArchive: the archive is not as a writer writes it; nothing of it should be used.
        """
        self._file.seek(0)
        if self._bytes(form.MARKER_NAME, BLOCK) != form.header(form.MARKER_NAME, len(form.MARKER)):
            raise BadArchive(f"{form.MARKER_NAME}: it does not begin with this member: it is no archive")
        if self._content(form.MARKER_NAME, len(form.MARKER)) != form.MARKER:
            raise BadArchive(f"{form.MARKER_NAME}: the archive is of another version than this program reads")
        found: list[Place] = []
        while True:
            begin = self._file.tell()
            block = self._bytes("the end", BLOCK)
            if block == END[:BLOCK]:
                break
            self._file.seek(begin)
            place = self._place(len(found) + 1, begin)
            if found and place.gun <= found[-1].gun:
                raise BadArchive(
                    f"{form.index_name(place.number, place.sha256)}: {printable(place.gun)!r} does not come after "
                    f"{printable(found[-1].gun)!r}: it is there twice, or out of order"
                )
            found.append(place)
            for member in self.members(place):
                self.data(member)
                progress(member.entry.length)
        self._finish()
        return found

    def members(self, place: Place) -> Sequence[Member]:
        """The files of a repository.

        Raises:
            BadArchive: the list is no longer the one that `places` found.
        """
        self._file.seek(place.offset)
        index, sha256 = self._index(place.number)
        if sha256 != place.sha256:
            raise BadArchive(
                f"{form.index_name(place.number, place.sha256)}: the archive has changed meanwhile"
            )
        offset = self._file.tell()
        found: list[Member] = []
        for position, entry in enumerate(index.files, 1):
            found.append(Member(entry, form.file_name(place.number, position, entry.sha256), offset))
            offset += BLOCK + entry.length + len(form.padding(entry.length))
        return found

    def data(self, member: Member) -> bytes:
        """The bytes of a file.

        Raises:
            BadArchive: they are not those that are listed.
        """
        name, entry = member.name, member.entry
        if entry.length > self._max_file_bytes:
            raise BadArchive(
                f"{name}: it has {entry.length} bytes, and limits.max_file_bytes is {self._max_file_bytes}"
            )
        self._file.seek(member.offset)
        if self._bytes(name, BLOCK) != form.header(name, entry.length):
            raise BadArchive(
                f"{name}: the member at its place is another, or its header is not as it is written"
            )
        data = self._content(name, entry.length)
        if form.digest(data) != entry.sha256:
            raise BadArchive(f"{name}: its bytes are not those that are listed")
        return data

    def _place(self, number: int, offset: int) -> Place:
        index, sha256 = self._index(number)
        return Place(index.gun, number, offset, sha256)

    def _index(self, number: int) -> tuple[Index, str]:
        """The list of files that begins here, and its digest."""
        where = f"repository {number}"
        block = self._bytes(where, BLOCK)
        try:
            name, size = form.read_header(block)
        except BadArchive as problem:
            raise BadArchive(f"{where}: {problem}") from None
        shown = printable(name)
        sha256 = form.is_index_of(number, name)
        if sha256 is None or number > form.MAX_REPOSITORIES:
            raise BadArchive(f"{shown!r}: the list of files of {where} should come here")
        if not 0 <= size <= form.MAX_INDEX_BYTES:
            raise BadArchive(f"{shown}: a list of files has {form.MAX_INDEX_BYTES} bytes at most, not {size}")
        if block != form.header(name, size):
            raise BadArchive(f"{shown}: its header is not as it is written")
        data = self._content(name, size)
        if form.digest(data) != sha256:
            raise BadArchive(f"{shown}: its bytes are not those that its name says")
        try:
            return form.read_index(data), sha256
        except BadArchive as problem:
            raise BadArchive(f"{shown}: {printable(str(problem))}") from None

    def _finish(self) -> None:
        if self._bytes("the end", BLOCK) != END[BLOCK:]:
            raise BadArchive("the end: a block of zeros is followed by something else")
        if self._file.read(1) != b"":
            raise BadArchive("the end: something follows it")

    def _content(self, name: str, size: int) -> bytes:
        data = self._bytes(name, size)
        rest = form.padding(size)
        if self._bytes(name, len(rest)) != rest:
            raise BadArchive(f"{name}: its last block is not filled up with zeros")
        return data

    def _bytes(self, name: str, size: int) -> bytes:
        try:
            data = self._file.read(size)
        except OSError as error:
            raise BadArchive(f"{name}: it cannot be read: {error.strerror or error}") from error
        if len(data) != size:
            raise BadArchive(f"{name}: the archive ends in the middle of it; it was cut off")
        return data
