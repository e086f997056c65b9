"""Everything that an old server and its signer store, examined and added up; nothing is changed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from notary_common.database import Database
from notary_server.inspection.examine import Finding, Stored, examine
from notary_server.inspection.holdings import Holding, holdings
from notary_server.inspection.tally import Tally, as_json
from notary_server.tuf import online
from notary_server.tuf.model import HeldKey
from notary_server.tuf.names import ROOT, KeyId
from notary_server.tuf.parse import ParseError, parse_root

from .keyring import Keyring


@dataclass(slots=True)
class Survey:
    """What was found.

    Attributes:
        repositories, files, size: how many, and the bytes of the files.
        keys: of the old signer; None if nobody asked.
        unnamed: those of them that no current root lists.
    """

    repositories: int = 0
    files: int = 0
    size: int = 0
    keys: int | None = None
    unnamed: int = 0
    findings: list[Finding] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        """Whether nothing is broken."""
        return not any(finding.weight == "broken" for finding in self.findings)

    def as_json(self) -> dict[str, object]:
        """For programs."""
        return {
            "repositories": self.repositories,
            "files": self.files,
            "bytes": self.size,
            "keys": self.keys,
            "keys_not_listed_by_a_root": self.unnamed,
            "findings": [as_json(finding) for finding in self.findings],
        }

    def as_text(self) -> str:
        """For people: the counts, then the findings by weight and kind."""
        lines = [f"{self.repositories} repositories, {self.files} files, {self.size} bytes"]
        if self.keys is not None:
            lines.append(
                f"{self.keys} keys in the old signer, {self.unnamed} of them listed by no current root"
            )
        tally = Tally()
        for finding in self.findings:
            tally.add(finding)
        return "\n".join([*lines, *tally.as_lines()])


async def survey(
    database: Database,
    keyring: Keyring | None,
    now_ns: int,
    progress: Callable[[int], None],
) -> Survey:
    """Examine every repository of an old server's database.

    Args:
        keyring: the keys of the old signer; None if they are of no interest.
        progress: is told how many more repositories are done.

    Raises:
        DatabaseError: the database cannot be read.
    """
    held = None if keyring is None else keyring.held
    result = Survey(keys=None if held is None else len(held))
    named: set[KeyId] = set()
    async for page in holdings(database):
        result.findings += await asyncio.to_thread(_examined, page, held, now_ns)
        for holding in page:
            result.repositories += 1
            result.files += holding.rows
            result.size += holding.size
            named |= _named(holding.stored)
        progress(len(page))
    if keyring is not None:
        result.unnamed = len(keyring.held.keys() - named)
        result.findings += _unused(keyring.unused & named)
    return result


def _unused(keys: frozenset[KeyId]) -> list[Finding]:
    if not keys:
        return []
    one = len(keys) == 1
    text = (
        f"{'1 key that a root lists has' if one else f'{len(keys)} keys that roots list have'} never signed, as the old "
        f"signer notes; unless {'it does' if one else 'they do'}, the new signer destroys {'it' if one else 'them'} "
        "limits.pending_key_days after the import"
    )
    return [Finding("", "note", "unused-key", text)]


def _examined(page: Sequence[Holding], held: Mapping[KeyId, HeldKey] | None, now_ns: int) -> list[Finding]:
    return [finding for holding in page for finding in examine(holding.stored, held, now_ns)]


def _named(stored: Stored) -> frozenset[KeyId]:
    try:
        return online.candidates(parse_root(stored.files[ROOT]).body) if ROOT in stored.files else frozenset()
    except ParseError:
        return frozenset()
