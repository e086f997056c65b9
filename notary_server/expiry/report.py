"""What ends within a time, by date, with whom to call and what to tell them: computed anew from all that is stored."""

from __future__ import annotations

import asyncio
import csv
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from notary_common.database import DatabaseTarget
from notary_common.progress import progress_bar
from notary_common.table import columns, printable
from notary_server.inspection.examine import day
from notary_server.inspection.holdings import Holding, count_repositories, holdings
from notary_server.inspection.whole import opened
from notary_server.tuf.names import ROOT
from notary_server.tuf10.names import is_standard

from .ends import KINDS, End, Kind, ends
from .scanner import DAY

_ADVICE: Final[Mapping[Kind, str]] = {
    "root_certificate": "The owner rotates the root key before that day, or every client refuses the repository: "
    "notary key rotate GUN root",
    "root": "The owner signs a new root, by rotating any key: notary key rotate GUN timestamp -r",
    "targets": "The owner signs it again, with any docker trust sign or: notary witness -p GUN targets",
    "delegation": "Who holds a key of the delegation signs it again: notary witness -p GUN ROLE",
    "snapshot": "The server renews it if its signer holds the key (notary-server repo verify GUN tells); "
    "else the owner publishes again",
    "timestamp": "It is over and the server could not renew it; the reason: notary-server repo verify GUN",
}
"""In Notary's dialect."""
_STANDARD_ADVICE: Final = "The owner publishes the file anew with a later date"


class OwnersProblem(Exception):
    """The file with the owners cannot be used; the text says why."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that ends.

    Attributes:
        contact: empty if no line of the owners' file fits.
        standard: whether the repository holds TUF 1.0 metadata.
    """

    gun: str
    end: End
    contact: str
    standard: bool = False

    @property
    def advice(self) -> str:
        """What is to be done."""
        return _STANDARD_ADVICE if self.standard and self.end.kind != "timestamp" else _ADVICE[self.end.kind]

    def as_json(self, now_ns: int) -> dict[str, object]:
        """For programs."""
        return {
            "gun": self.gun,
            "kind": self.end.kind,
            "role": self.end.role,
            "ends": day(self.end.ends_ns),
            "days": (self.end.ends_ns - now_ns) // DAY,
            "contact": self.contact or None,
            "advice": self.advice,
        }


def read_owners(path: Path) -> dict[str, str]:
    """The contact for each beginning of names, from lines `PREFIX,CONTACT`; empty lines and those with # do not count.

    Raises:
        OwnersProblem: it cannot be read, or a line has another form.
    """
    owners: dict[str, str] = {}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            for number, row in enumerate(csv.reader(file), 1):
                if not row or row[0].startswith("#"):
                    continue
                if len(row) != 2 or not row[1].strip():
                    raise OwnersProblem(f"{path}, line {number}: write PREFIX,CONTACT")
                owners[row[0].strip()] = row[1].strip()
    except OSError as error:
        raise OwnersProblem(f"{path} cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise OwnersProblem(f"{path} cannot be read: {error}") from None
    return owners


def contact(gun: str, owners: Mapping[str, str]) -> str:
    """Of the longest prefix that fits; empty if none does. A prefix ends where a segment of the name does."""
    fitting = [prefix for prefix in owners if f"{gun}/".startswith(prefix.rstrip("/") + "/")]
    return owners[max(fitting, key=len)] if fitting else ""


def chosen(
    gun: str,
    found: Iterable[End],
    owners: Mapping[str, str],
    now_ns: int,
    within_ns: int,
    *,
    standard: bool = False,
) -> list[Entry]:
    """What is worth telling: the server renews timestamps by itself, so these only if they are over."""
    return [
        Entry(gun, end, contact(gun, owners), standard)
        for end in found
        if end.ends_ns < (now_ns if end.kind == "timestamp" else now_ns + within_ns)
    ]


async def report(
    target: DatabaseTarget, owners: Mapping[str, str], prefix: str, now_ns: int, within_ns: int
) -> list[Entry]:
    """Look at every repository whose name begins with `prefix`; what ends first comes first.

    Raises:
        DatabaseError: the database cannot be read.
    """
    entries: list[Entry] = []

    def look(page: Sequence[Holding]) -> None:
        for holding in page:
            stored = holding.stored
            if stored.gun.startswith(prefix):
                standard = is_standard(stored.files.get(ROOT))
                entries.extend(chosen(stored.gun, ends(stored), owners, now_ns, within_ns, standard=standard))

    async with opened(target) as database:
        with progress_bar("looking", await count_repositories(database)) as progress:
            async for page in holdings(database):
                await asyncio.to_thread(look, page)
                progress(len(page))
    return sorted(entries, key=lambda entry: (entry.end.ends_ns, entry.gun, entry.end.kind))


def as_text(entries: Sequence[Entry], now_ns: int, within: str) -> str:
    """For people: a table, and then what each kind asks for."""
    if not entries:
        return f"nothing ends within {within}"
    rows = [["ENDS", "DAYS", "WHAT", "REPOSITORY", "CONTACT"]]
    rows += [
        [
            day(entry.end.ends_ns),
            str((entry.end.ends_ns - now_ns) // DAY),
            entry.end.role if entry.end.kind == "delegation" else entry.end.kind.replace("_", " "),
            printable(entry.gun),
            printable(entry.contact or "-"),
        ]
        for entry in entries
    ]
    counts = Counter((entry.end.kind, entry.advice) for entry in entries)
    lines = [columns([[printable(cell) for cell in row] for row in rows]), ""]
    told = sorted(counts, key=lambda one: (KINDS.index(one[0]), one[1]))
    return "\n".join(
        [*lines, *(f"{kind.replace('_', ' ')} ({counts[kind, advice]}): {advice}" for kind, advice in told)]
    )
