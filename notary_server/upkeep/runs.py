"""What each command does, from opening what it needs to closing it. One page of repositories is in memory at a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from notary_common.database import Database, DatabaseTarget
from notary_common.progress import progress_bar
from notary_common.table import printable
from notary_server.app import open_context
from notary_server.config import ServerConfig
from notary_server.errors import SignerRefused, SignerUnavailable
from notary_server.inspection.examine import Finding
from notary_server.inspection.holdings import (
    Holding,
    Indexed,
    count_repositories,
    holdings,
    read_files,
    read_holdings,
)
from notary_server.inspection.tally import SHOWN, Tally
from notary_server.inspection.whole import opened
from notary_server.operations.context import Context
from notary_server.storage.chain import listed_digests
from notary_server.tuf.model import HeldKey
from notary_server.tuf.names import ROOT, KeyId, RoleName, Sha256Hex
from notary_server.tuf10.names import is_standard
from notary_server.tuf10.publish import listed_keys

from . import prune
from .check import check
from .deleting import delete_rows, stored_before
from .evidence import Evidence

_READ_AT_ONCE: Final = 100
"""Timestamps and snapshots whose bytes are in memory together; what they list stays."""
DAY_NS: Final = 86_400 * 10**9


class NothingStored(Exception):
    """Nothing is stored of the repository that was named."""


@dataclass(slots=True)
class Verified:
    """What was looked at; `unasked`: why the signer could not be asked."""

    repositories: int = 0
    files: int = 0
    size: int = 0
    unasked: str | None = None
    tally: Tally = field(default_factory=Tally)

    @property
    def sound(self) -> bool:
        """Whether nothing is broken, and nothing for an owner to do."""
        return self.tally.count("broken", "owner") == 0

    def as_json(self) -> dict[str, object]:
        """The last line for programs, after one line for each finding."""
        return {
            "repositories": self.repositories,
            "files": self.files,
            "bytes": self.size,
            "broken": self.tally.count("broken"),
            "for_owners": self.tally.count("owner"),
            "notes": self.tally.count("note"),
            "signer_not_asked": self.unasked,
        }

    def as_text(self) -> str:
        """For people."""
        lines = [f"{self.repositories} repositories, {self.files} files, {self.size} bytes"]
        return "\n".join([*lines, *self.tally.as_lines()])


async def verify(
    config: ServerConfig, target: DatabaseTarget, gun: str | None, tell: Callable[[Finding], None]
) -> Verified:
    """Verify one repository, or all.

    Args:
        tell: is given every finding as soon as it is known.

    Raises:
        NothingStored: of `gun`.
        DatabaseError, TlsError: something cannot be opened or read.
    """
    result = Verified()

    def note(finding: Finding) -> None:
        result.tally.add(finding)
        tell(finding)

    async with open_context(config) as context, opened(target) as database:
        with progress_bar("verifying", await _count(database, gun)) as progress:
            async for page in _pages(database, gun):
                evidence = [await _evidence(database, holding) for holding in page]
                held = await _held(context, evidence, result)
                for finding in await asyncio.to_thread(_checked, evidence, held, time.time_ns()):
                    note(finding)
                result.repositories += len(page)
                result.files += sum(holding.rows for holding in page)
                result.size += sum(holding.size for holding in page)
                progress(len(page))
    if result.unasked is not None:
        text = (
            f"the signer could not be asked which keys it holds ({result.unasked}): start the signer that trust_service "
            "names and verify again; everything but keys was verified"
        )
        note(Finding("", "broken", "signer", text))
    return result


async def _evidence(database: Database, holding: Holding) -> Evidence:
    """The bytes besides those that the holding has: older roots, and current files that are not the latest."""
    stored = holding.stored
    if is_standard(stored.files.get(ROOT)):
        # A TUF 1.0 snapshot does not list root: the latest is the current one.
        stored = replace(stored, current={**stored.current, ROOT: stored.latest[ROOT].sha256})
    roots = sorted((row for row in holding.index if row.role == ROOT), key=lambda row: row.version)
    current = {
        RoleName(row.role): row
        for row in holding.index
        if stored.current.get(RoleName(row.role)) == row.sha256 != ""
    }
    data = await read_files(database, [row.id for row in {*roots, *current.values()}])
    return Evidence(
        stored=stored,
        roots=[data[row.id] for row in roots if row.id in data],
        files={role: data[row.id] for role, row in current.items() if row.id in data},
    )


async def _held(
    context: Context, evidence: Sequence[Evidence], result: Verified
) -> Mapping[KeyId, HeldKey] | None:
    """The signer's answer for a page; after the first failure it is not asked again."""
    if result.unasked is not None:
        return None
    roots = [one.stored.files[ROOT] for one in evidence if ROOT in one.stored.files]
    wanted = await asyncio.to_thread(lambda: frozenset().union(*map(listed_keys, roots)))
    try:
        return await context.signer.describe_keys(wanted) if wanted else {}
    except (SignerUnavailable, SignerRefused) as error:
        result.unasked = error.message
        return None


def _checked(
    evidence: Sequence[Evidence], held: Mapping[KeyId, HeldKey] | None, now_ns: int
) -> list[Finding]:
    return [finding for one in evidence for finding in check(one, held, now_ns)]


@dataclass(slots=True)
class Pruned:
    """What was deleted, or would be.

    Attributes:
        torn: repositories that were left alone: their current files are not all stored.
    """

    dry_run: bool
    repositories: int = 0
    rows: int = 0
    size: int = 0
    torn: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, object]:
        """For programs."""
        return {
            "dry_run": self.dry_run,
            "repositories": self.repositories,
            "rows": self.rows,
            "bytes": self.size,
            "torn": self.torn,
        }

    def as_text(self) -> str:
        """For people."""
        did = "would be deleted" if self.dry_run else "were deleted"
        lines = [f"{self.repositories} repositories: {self.rows} rows with {self.size} bytes {did}"]
        lines += [
            f"{printable(gun)}: left alone, for its current files are not all stored"
            for gun in self.torn[:SHOWN]
        ]
        if len(self.torn) > SHOWN:
            lines.append(f"and {len(self.torn) - SHOWN} more; --json names all")
        return "\n".join(lines)


async def prune_rows(target: DatabaseTarget, gun: str | None, days: int, *, dry_run: bool) -> Pruned:
    """Delete the versions of one repository, or of all, that nobody can be led to.

    Args:
        days: the grace period.

    Raises:
        NothingStored: of `gun`.
        DatabaseError: the database cannot be read or written.
    """
    before_ns = time.time_ns() - days * DAY_NS
    result = Pruned(dry_run)
    async with opened(target) as database:
        with progress_bar("pruning", await _count(database, gun)) as progress:
            async for page in _pages(database, gun):
                for holding in page:
                    await _prune(database, holding, before_ns, result)
                progress(len(page))
    return result


async def _prune(database: Database, holding: Holding, before_ns: int, result: Pruned) -> None:
    result.repositories += 1
    rows, gun = holding.index, holding.stored.gun
    old = await stored_before(database, gun, before_ns)
    lists = await _lists(database, prune.first_look(rows, old))
    lists |= await _lists(database, prune.second_look(rows, lists))
    if prune.torn(rows, lists):
        result.torn.append(gun)
        return
    chosen = prune.superfluous(rows, old, lists)
    if not result.dry_run:
        await delete_rows(database, gun, chosen, before_ns)
    result.rows += len(chosen)
    result.size += sum(row.length for row in chosen)


async def _lists(database: Database, rows: Sequence[Indexed]) -> dict[int, Mapping[RoleName, Sha256Hex]]:
    found: dict[int, Mapping[RoleName, Sha256Hex]] = {}
    for begin in range(0, len(rows), _READ_AT_ONCE):
        some = await read_files(database, [row.id for row in rows[begin : begin + _READ_AT_ONCE]])
        found |= {number: listed_digests(data) for number, data in some.items()}
    return found


async def _count(database: Database, gun: str | None) -> int:
    return await count_repositories(database) if gun is None else 1


async def _pages(database: Database, gun: str | None) -> AsyncIterator[list[Holding]]:
    """Raises: NothingStored."""
    if gun is None:
        async for page in holdings(database):
            yield page
        return
    found = await read_holdings(database, [gun])
    if not found:
        raise NothingStored(gun)
    yield found
