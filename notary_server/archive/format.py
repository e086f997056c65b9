"""PURE: the bytes of an archive: which members there are, in which order, under which names (docs/adr/0045).

An archive is a tar file, and each repository has exactly one spelling in it. So a reader works out what must come next and
compares: what a writer would not have written is refused, whatever it may mean to other programs.

    notary-archive.json                      {"format": "notary-server archive", "version": 1}
    000001/repository.SHA256.json            the first repository: its name, and its files in order
    000001/000001.SHA256.json                its first file, as it is stored
    ...
    two blocks of zeros                      the end
"""

from __future__ import annotations

import hashlib
import re
import tarfile
from collections.abc import Iterable
from itertools import pairwise
from typing import Final

import msgspec

from notary_server.tuf.names import MAX_VERSION, gun_problem
from notary_server.tuf10.names import is_role

BLOCK: Final = tarfile.BLOCKSIZE
END: Final = bytes(2 * BLOCK)
MARKER_NAME: Final = "notary-archive.json"
MARKER: Final = b'{"format":"notary-server archive","version":1}\n'

MAX_REPOSITORIES: Final = 999_999
"""In one archive: their numbers have six digits."""
MAX_FILES: Final = 100_000
"""Of one repository; a timestamp that is renewed every day for a century is a third of it."""
MAX_INDEX_BYTES: Final = 64 << 20
"""Of one list of files: `MAX_FILES` entries with the longest names."""
MAX_FILE_BYTES: Final = 1 << 30
"""Of one file: the most that `limits.max_file_bytes` can be set to."""

_DIGEST: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
_INDEX_NAME: Final = re.compile(r"[0-9]{6}/repository\.(?P<sha256>[0-9a-f]{64})\.json", re.ASCII)
_NAME_BYTES: Final = 100
"""Of a member's name in a tar header, from its beginning on."""
_SIZE: Final = slice(124, 135)
"""Where a header has the size, in octal digits."""


class BadArchive(Exception):
    """The file is no archive, or a damaged one; the text names the member and says what is wrong with it."""


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One stored file; `length` in bytes."""

    role: str
    version: int
    sha256: str
    length: int


class Index(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One repository: all its files, by role and version."""

    gun: str
    files: tuple[Entry, ...]


_DECODER: Final = msgspec.json.Decoder(Index)


def header(name: str, size: int) -> bytes:
    """The header of the member `name` with `size` bytes: no owner, no date, the same on every machine."""
    member = tarfile.TarInfo(name)
    member.size = size
    return member.tobuf(tarfile.USTAR_FORMAT)


def padding(size: int) -> bytes:
    """What fills the last block of a member."""
    return bytes(-size % BLOCK)


def index_name(number: int, sha256: str) -> str:
    """The member that lists the files of the repository with that number, from 1 on; `sha256` is its own digest."""
    return f"{number:06}/repository.{sha256}.json"


def file_name(number: int, position: int, sha256: str) -> str:
    """The member that is the file at that position, from 1 on."""
    return f"{number:06}/{position:06}.{sha256}.json"


def index_bytes(index: Index) -> bytes:
    """The one spelling of a list of files.

    Raises:
        BadArchive: no archive can hold the repository; the text says why.
    """
    problem = _problem(index)
    if problem is not None:
        raise BadArchive(problem)
    data = msgspec.json.format(msgspec.json.encode(index), indent=1) + b"\n"
    if len(data) > MAX_INDEX_BYTES:
        raise BadArchive(f"its list of files is longer than {MAX_INDEX_BYTES} bytes")
    return data


def read_index(data: bytes) -> Index:
    """The list of files.

    Raises:
        BadArchive: it is none, or not spelled as `index_bytes` does.
    """
    try:
        index = _DECODER.decode(data)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise BadArchive(f"it is no list of files: {error}") from None
    if index_bytes(index) != data:
        raise BadArchive("it is not spelled as an archive's list of files is")
    return index


def sorted_entries(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """The one order of a repository's files."""
    return tuple(sorted(entries, key=_place))


def read_header(block: bytes) -> tuple[str, int]:
    """The name and size that a header gives. Whether it is the one header for these, `header` tells.

    Raises:
        BadArchive: it is no header.
    """
    try:
        return block[:_NAME_BYTES].rstrip(b"\0").decode("ascii"), int(block[_SIZE].decode("ascii"), 8)
    except (UnicodeDecodeError, ValueError):
        raise BadArchive("it has no header of a tar file") from None


def is_index_of(number: int, name: str) -> str | None:
    """The digest in the name of that repository's list of files; None if it is another name."""
    found = _INDEX_NAME.fullmatch(name)
    if found is None or index_name(number, found["sha256"]) != name:
        return None
    return found["sha256"]


def digest(data: bytes) -> str:
    """SHA-256 as 64 lower-case hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def _place(entry: Entry) -> tuple[str, int]:
    return entry.role, entry.version


def _problem(index: Index) -> str | None:
    problem = gun_problem(index.gun)
    if problem is not None:
        return problem
    if not index.files:
        return "it has no files"
    if len(index.files) > MAX_FILES:
        return f"it has more than {MAX_FILES} files"
    for entry in index.files:
        problem = _entry_problem(entry)
        if problem is not None:
            return f"{problem} in version {entry.version} of {entry.role!r}"
    if any(_place(one) >= _place(next_one) for one, next_one in pairwise(index.files)):
        return "its files are not listed by role and version, each once"
    return None


def _entry_problem(entry: Entry) -> str | None:
    if not is_role(entry.role):
        return "there is a role that cannot be"
    if not 1 <= entry.version <= MAX_VERSION:
        return "there is a version that cannot be"
    if _DIGEST.fullmatch(entry.sha256) is None:
        return "there is a digest that is none"
    if not 0 <= entry.length <= MAX_FILE_BYTES:
        return "there is a length that cannot be"
    return None
