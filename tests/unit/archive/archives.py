"""Archives in memory."""

from __future__ import annotations

import io
from collections.abc import Mapping

from notary_server.archive import format as form
from notary_server.archive.format import Entry
from notary_server.archive.reading import Archive
from notary_server.archive.writing import Writer

Files = Mapping[tuple[str, int], bytes]
"""The bytes of a repository's files by role and version."""


def entry(role: str, version: int, data: bytes) -> Entry:
    """How an archive lists that file."""
    return Entry(role, version, form.digest(data), len(data))


def packed(repositories: Mapping[str, Files]) -> bytes:
    """An archive of these repositories, in the order that they are given."""
    file = io.BytesIO()
    writer = Writer(file)
    for gun, files in repositories.items():
        data = {entry(role, version, one): one for (role, version), one in files.items()}
        entries = form.sorted_entries(data)
        place = writer.begin(gun, entries)
        for position, listed in enumerate(entries, 1):
            writer.add(place, position, data[listed], listed.sha256)
    writer.end()
    return file.getvalue()


def unpacked(archive: bytes, max_file_bytes: int = form.MAX_FILE_BYTES) -> dict[str, Files]:
    """What is in an archive. Raises: BadArchive."""
    reader = Archive(io.BytesIO(archive), max_file_bytes)
    return {
        place.gun: {
            (member.entry.role, member.entry.version): reader.data(member) for member in reader.members(place)
        }
        for place in reader.places(lambda _: None)
    }
