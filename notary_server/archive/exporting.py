"""`repo export`: each repository in one consistent look at the database, written, read back and verified."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from notary_common.database import Database, DatabaseTarget, Session
from notary_common.progress import progress_bar
from notary_common.table import printable
from notary_server.inspection.holdings import repository_names
from notary_server.inspection.tally import SHOWN
from notary_server.inspection.whole import opened
from notary_server.upkeep.runs import NothingStored

from . import format as form
from .evidence import evidence, faults
from .format import BadArchive, Entry
from .reading import Place
from .rows import batches, read_data, read_rows
from .writing import CannotWrite, Writer, new_file


@dataclass(slots=True)
class Exported:
    """What was written, or would be.

    Attributes:
        size: bytes of the files, without what an archive adds.
        left_out: repositories that no archive can hold, with the reason.
        unsound: repositories that are in the archive as they are stored, and that `repo import` refuses, with the reason.
    """

    dry_run: bool
    repositories: int = 0
    files: int = 0
    size: int = 0
    left_out: dict[str, str] = field(default_factory=dict)
    unsound: dict[str, str] = field(default_factory=dict)

    @property
    def sound(self) -> bool:
        """Whether everything is in the archive, and can be imported."""
        return not self.left_out and not self.unsound

    def as_json(self) -> dict[str, object]:
        """For programs."""
        return {
            "dry_run": self.dry_run,
            "repositories": self.repositories,
            "files": self.files,
            "bytes": self.size,
            "left_out": [{"gun": gun, "reason": reason} for gun, reason in self.left_out.items()],
            "unsound": [{"gun": gun, "reason": reason} for gun, reason in self.unsound.items()],
        }

    def as_text(self) -> str:
        """For people."""
        did = "would be written" if self.dry_run else "were written"
        lines = [f"{self.repositories} repositories: {self.files} files with {self.size} bytes {did}"]
        lines += _few("left out", self.left_out)
        lines += _few("written as it is stored, but an import will refuse it", self.unsound)
        return "\n".join(lines)


def _few(what: str, problems: Mapping[str, str]) -> list[str]:
    lines = [printable(f"{gun}: {what}: {reason}") for gun, reason in list(problems.items())[:SHOWN]]
    if len(problems) > SHOWN:
        lines.append(f"and {len(problems) - SHOWN} more; --json names all")
    return lines


async def export(
    target: DatabaseTarget, gun: str | None, prefix: str, output: Path, *, dry_run: bool
) -> Exported:
    """Write one repository, or all whose names begin with `prefix`, into a new file.

    Raises:
        NothingStored: of `gun`.
        CannotWrite: the file exists, or cannot be written, or an archive cannot hold `gun`; no file is left.
        DatabaseError: the database cannot be read; likewise.
    """
    result = Exported(dry_run)
    async with opened(target) as database:
        names = [gun] if gun is not None else await _names(database, prefix)
        with progress_bar("exporting", len(names)) as progress:
            if dry_run:
                for name in names:
                    await _count(database, name, result)
                    progress(1)
                _check_found(gun, result)
                return result
            with new_file(output) as file:
                writer = Writer(file)
                for name in names:
                    await _export(database, name, writer, result)
                    progress(1)
                writer.end()
                _check_found(gun, result)
    return result


def _check_found(gun: str | None, result: Exported) -> None:
    """Raises: NothingStored, CannotWrite: there is nothing in the archive of the one repository that was named."""
    if gun is not None and result.repositories == 0:
        if gun in result.left_out:
            raise CannotWrite(printable(f"{gun}: {result.left_out[gun]}"))
        raise NothingStored(gun)


async def _names(database: Database, prefix: str) -> list[str]:
    found = [name async for page in repository_names(database) for name in page]
    # Databases sort in ways of their own; an archive is the same whichever it came from.
    return sorted(name for name in found if name.startswith(prefix))


async def _count(database: Database, gun: str, result: Exported) -> None:
    async with database.statement() as session:
        rows = [row for row in await read_rows(session, gun) if not row.deleted]
    if rows:
        result.repositories += 1
        result.files += len(rows)
        result.size += sum(row.entry.length for row in rows)


async def _export(database: Database, gun: str, writer: Writer, result: Exported) -> None:
    try:
        async with database.snapshot() as session:
            place = await _write(session, gun, writer)
    except BadArchive as problem:
        result.left_out[gun] = str(problem)
        return
    if place is None:
        return  # Deleted since its name was read.
    archive = writer.read_back()
    members = {member.entry: member for member in archive.members(place)}

    async def read(entries: Collection[Entry]) -> Mapping[Entry, bytes]:
        return {entry: archive.data(members[entry]) for entry in entries}

    found = faults(await evidence(gun, members, read), time.time_ns())
    if found:
        result.unsound[gun] = found[0]
    result.repositories += 1
    result.files += len(members)
    result.size += sum(entry.length for entry in members)


async def _write(session: Session, gun: str, writer: Writer) -> Place | None:
    """Raises: BadArchive: no archive can hold it; CannotWrite."""
    rows = {row.entry: row for row in await read_rows(session, gun) if not row.deleted}
    if not rows:
        return None
    entries = form.sorted_entries(rows)
    place = writer.begin(gun, entries)
    position = 0
    for batch in batches(rows[entry] for entry in entries):
        data = await read_data(session, [row.id for row in batch])
        for row in batch:
            position += 1
            found = data[row.id]
            if form.digest(found) != row.entry.sha256 or len(found) != row.entry.length:
                writer.take_back(place)
                raise BadArchive(
                    f"version {row.entry.version} of {row.entry.role} has not the digest that its row says: see repo "
                    "verify"
                )
            writer.add(place, position, found, row.entry.sha256)
    return place
