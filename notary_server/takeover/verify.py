"""The proof that a takeover lost nothing: rows compared byte by byte, files asked for as clients do, publishes planned."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from notary_common.database import Database
from notary_common.table import printable
from notary_server.errors import InvalidUpdate
from notary_server.inspection.examine import Stored
from notary_server.inspection.holdings import holdings
from notary_server.operations.context import Context
from notary_server.tuf import online
from notary_server.tuf.certificates import BadRootError, have_ended, stored_root
from notary_server.tuf.document import Document, by_role
from notary_server.tuf.model import HeldKey, Parsed, Root, TrustState
from notary_server.tuf.names import ROOT, SNAPSHOT, TIMESTAMP, Gun, KeyId, RoleName
from notary_server.tuf.parse import ParseError
from notary_server.tuf.publish import Lifetimes, online_keys, plan

from .tables import CHANGES, FILES, Numbered, Row

AT_ONCE: Final = 8
"""Files that are asked for together."""
PLANNED_AT_ONCE: Final = 32
"""Repositories that are planned together: the signer is asked once for their keys, which are two each."""
SHOWN: Final = 20
"""Problems that are named for people; JSON has all."""

Progress = Callable[[int], None]


class Served(Protocol):
    """How the new server answers a client."""

    async def get(self, gun: str, name: str) -> bytes | None:
        """The body of `GET /v2/GUN/_trust/tuf/NAME`; None if the answer is not 200.

        Raises:
            RemoteProblem: the server cannot be asked.
        """


@dataclass(slots=True)
class Proof:
    """What was compared, and everything that was not as it should be."""

    rows: int = 0
    answers: int = 0
    repositories: int = 0
    held_by_owners: int = 0
    problems: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, object]:
        """For programs."""
        return {
            "rows_compared": self.rows,
            "answers_compared": self.answers,
            "publishes_planned": self.repositories,
            "snapshot_keys_held_by_owners": self.held_by_owners,
            "problems": self.problems,
        }

    def as_text(self) -> str:
        """For people."""
        lines = [
            f"{self.rows} rows compared, {self.answers} answers compared, {self.repositories} publishes planned "
            f"({self.held_by_owners} of them with a snapshot key that its owner holds)"
        ]
        lines += [printable(problem) for problem in self.problems[:SHOWN]]
        if len(self.problems) > SHOWN:
            lines.append(f"and {len(self.problems) - SHOWN} more; --json names all")
        lines.append("everything is as it was" if not self.problems else f"{len(self.problems)} problems")
        return "\n".join(lines)


async def compare_rows(old: Database, new: Database, proof: Proof, progress: Progress) -> None:
    """Whether the new database holds every row of the old one, byte for byte; more is no problem.

    Raises:
        DatabaseError: one of the two cannot be read.
    """
    for table in (FILES, CHANGES):
        after = 0
        while page := await table.page(old, after):
            after = page[-1]["id"]
            there = {row["id"]: row for row in await table.read(new, [row["id"] for row in page])}
            for row in page:
                problem = _difference(table, row, there.get(row["id"]))
                if problem is not None:
                    proof.problems.append(f"{row['gun']}: {problem}")
            proof.rows += len(page)
            progress(len(page))


def _difference(table: Numbered, old: Row, new: Row | None) -> str | None:
    what = (
        f"{old['role']} version {old['version']}" if table is FILES else f"the changefeed record {old['id']}"
    )
    if new is None:
        return f"{what} was not brought over"
    if table is FILES and (old["data"] != new["data"] or old["role"] != new["role"]):
        return f"{what} has other bytes than before"
    if (old["gun"], old["version"]) != (new["gun"], new["version"]):
        return f"{what} has another name or version than before"
    return None


async def compare_answers(old: Database, served: Served, proof: Proof, progress: Progress) -> None:
    """Whether the new server gives clients what the old one stored: every file by version and by checksum, and the
    current files by their names. Expired timestamps and snapshots are renewed when they are asked for; those may differ.

    Raises:
        DatabaseError: the old database cannot be read.
        RemoteProblem: the new server cannot be asked.
    """
    after = 0
    while page := await FILES.page(old, after):
        after = page[-1]["id"]
        visible = [row for row in page if row["deleted_at"] is None]
        for begin in range(0, len(visible), AT_ONCE):
            some = visible[begin : begin + AT_ONCE]
            for problems in await asyncio.gather(*(_asked_for(served, row) for row in some)):
                proof.answers += 2
                proof.problems += problems
        progress(len(page))
    async for repositories in holdings(old):
        for holding in repositories:
            await _current(served, holding.stored, proof)


async def _current(served: Served, stored: Stored, proof: Proof) -> None:
    for role, digest in stored.current.items():
        if role in {SNAPSHOT, TIMESTAMP}:
            continue
        proof.answers += 1
        answer = await served.get(stored.gun, f"{role}.json")
        if answer is None or hashlib.sha256(answer).hexdigest() != digest:
            proof.problems.append(f"{stored.gun}: the current {role} is answered otherwise than before")


async def _asked_for(served: Served, row: Row) -> list[str]:
    gun, role, version, data = row["gun"], row["role"], row["version"], row["data"]
    digest = hashlib.sha256(data).hexdigest()
    by_version, by_checksum = await asyncio.gather(
        served.get(gun, f"{version}.{role}.json"), served.get(gun, f"{role}.{digest}.json")
    )
    problems = []
    if by_version != data:
        problems.append(f"{gun}: version {version} of {role} is answered otherwise than before")
    # Without the right digest in its row, nobody could ask for it so before either.
    if (row["sha256"] or "").strip() == digest and by_checksum != data:
        problems.append(
            f"{gun}: version {version} of {role}, asked for by checksum, is answered otherwise than before"
        )
    return problems


async def plan_publishes(context: Context, proof: Proof, progress: Progress) -> None:
    """Whether a publish to every repository would succeed: everything is decided as for a real one, nothing is signed.

    What keeps an owner from publishing with the old server too, such as an ended certificate, is no problem of the
    takeover and is left to `takeover plan`.

    Raises:
        StoreUnavailable, SignerUnavailable, SignerRefused: one of the two cannot be asked.
    """
    guns = [repository.gun for repository in await context.store.repositories()]
    for begin in range(0, len(guns), PLANNED_AT_ONCE):
        some = guns[begin : begin + PLANNED_AT_ONCE]
        states = await asyncio.gather(*(context.store.trust_state(gun, ()) for gun in some))
        stored = [by_role(state.files) for state in states]
        wanted = frozenset().union(*(online_keys(files, ()) for files in stored))
        held = await context.signer.describe_keys(wanted) if wanted else {}
        now_ns = context.clock.now_ns()
        for state, files in zip(states, stored, strict=True):
            problem, by_owner = await asyncio.to_thread(
                _planned, state, files, held, now_ns, context.lifetimes
            )
            proof.repositories += 1
            proof.held_by_owners += by_owner
            if problem is not None:
                proof.problems.append(problem)
        progress(len(some))


def _planned(
    state: TrustState,
    stored: Mapping[RoleName, Document],
    held: Mapping[KeyId, HeldKey],
    now_ns: int,
    lifetimes: Lifetimes,
) -> tuple[str | None, bool]:
    """Why the publish would fail, if it would; and whether the owner holds the snapshot key."""
    gun = state.gun
    try:
        root = stored[ROOT].root()
    except (KeyError, ParseError):
        return None, False
    if not online.signers(gun, root.body, TIMESTAMP, held):
        missing = "the signer does not hold the timestamp key that the root lists; import it first"
        return f"{gun}: {missing}", False
    if not online.signers(gun, root.body, SNAPSHOT, held):
        return None, True
    if _certificate_ended(gun, root, now_ns):
        return None, False
    try:
        plan(state, stored, (), held, now_ns, lifetimes)
    except InvalidUpdate as error:
        return f"{gun}: a publish would be refused: {error.message}", False
    return None, False


def _certificate_ended(gun: Gun, root: Parsed[Root], now_ns: int) -> bool:
    try:
        return have_ended(gun, stored_root(gun, root), now_ns)
    except BadRootError:
        return True
