"""`repo renew`: timestamps and snapshots signed anew at once, above every version that their keys have signed."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Final

from notary_common.database import DatabaseTarget
from notary_common.progress import progress_bar
from notary_common.table import printable
from notary_server.app import open_context
from notary_server.config import ServerConfig
from notary_server.inspection.holdings import read_holdings, repository_names
from notary_server.inspection.tally import SHOWN
from notary_server.inspection.whole import opened
from notary_server.operations.reseal import Outcome, renew_now
from notary_server.tuf.names import Gun

from .runs import NothingStored

AT_ONCE: Final = 8
"""Repositories that are renewed together."""


@dataclass(slots=True)
class Renewed:
    """What was renewed, or would be.

    Attributes:
        impossible: repositories that stay as they are; the log says why.
    """

    dry_run: bool
    repositories: int = 0
    impossible: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, object]:
        """For programs."""
        return {"dry_run": self.dry_run, "repositories": self.repositories, "impossible": self.impossible}

    def as_text(self) -> str:
        """For people."""
        lines = [f"{self.repositories} repositories {'would be' if self.dry_run else 'were'} renewed"]
        lines += [f"{printable(gun)}: cannot be renewed: see repo verify" for gun in self.impossible[:SHOWN]]
        if len(self.impossible) > SHOWN:
            lines.append(f"and {len(self.impossible) - SHOWN} more; --json names all")
        return "\n".join(lines)


async def renew_repositories(
    config: ServerConfig, target: DatabaseTarget, gun: str | None, *, dry_run: bool
) -> Renewed:
    """Renew one repository, or all.

    Raises:
        NothingStored: of `gun`.
        StoreUnavailable, SignerUnavailable, DatabaseError, TlsError: something cannot be asked or opened; what was
            renewed so far stays.
    """
    result = Renewed(dry_run)
    async with open_context(config) as context, opened(target) as database:
        if gun is None:
            names = [name async for page in repository_names(database) for name in page]
        else:
            names = [gun]
            if not await read_holdings(database, names):
                raise NothingStored(gun)
        if dry_run:
            result.repositories = len(names)
            return result
        with progress_bar("renewing", len(names)) as progress:
            for begin in range(0, len(names), AT_ONCE):
                some = names[begin : begin + AT_ONCE]
                outcomes = await asyncio.gather(*(renew_now(context, Gun(name)) for name in some))
                for name, outcome in zip(some, outcomes, strict=True):
                    if outcome is Outcome.DONE:
                        result.repositories += 1
                    else:
                        result.impossible.append(name)
                progress(len(some))
    return result
