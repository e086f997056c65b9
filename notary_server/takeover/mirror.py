"""Bring over what a live trust server serves, without its databases: everything but the keys."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Final, Literal, get_args

from notary_common.table import printable
from notary_server.errors import HeadMoved
from notary_server.inspection.advice import rotation
from notary_server.inspection.chain import BrokenChain, listed_files, listed_snapshot, verified
from notary_server.ports import MetadataStore
from notary_server.tuf.names import ROOT, SNAPSHOT, TIMESTAMP, Gun, RoleName, gun_problem
from notary_server.tuf.parse import ParseError, parse_root

from .remote import RemoteServer

MAX_ROOTS: Final = 1000
"""Root versions of one repository that are fetched, the latest ones."""
AT_ONCE: Final = 4
"""Repositories that are fetched at the same time; `remote` bounds the connections."""
ATTEMPTS: Final = 3
"""How often a repository is fetched that somebody publishes to at that moment."""

Outcome = Literal["mirrored", "current", "ahead", "gone", "refused"]
"""Stored now; was there as it is already; the new server has gone on by itself since; not to be had from the server any
more; not to be stored."""


@dataclass(frozen=True, slots=True)
class Mirrored:
    """What became of one repository.

    Attributes:
        reason: why it was refused.
        commands: what its owner runs once clients go to the new server: its keys stayed behind.
    """

    gun: str
    outcome: Outcome
    reason: str = ""
    commands: tuple[str, ...] = ()


@dataclass(slots=True)
class MirrorReport:
    """All repositories."""

    repositories: list[Mirrored] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether none was refused."""
        return not any(one.outcome == "refused" for one in self.repositories)

    def as_json(self) -> dict[str, object]:
        """For programs."""
        return {
            "repositories": [
                {
                    "gun": one.gun,
                    "outcome": one.outcome,
                    "reason": one.reason,
                    "commands": list(one.commands),
                }
                for one in self.repositories
            ]
        }

    def as_text(self) -> str:
        """For people."""
        counts = [
            f"{sum(one.outcome == word for one in self.repositories)} {word}" for word in get_args(Outcome)
        ]
        lines = ["repositories: " + ", ".join(counts)]
        lines += [
            f"  {printable(f'{one.gun}: {one.reason}')}"
            for one in self.repositories
            if one.outcome in {"refused", "gone"}
        ]
        owners = [one for one in self.repositories if one.commands]
        if owners:
            lines.append(
                "the keys stayed behind: until their owners have done this with the root key, these repositories can be read "
                "until their timestamps expire, and not be published to"
            )
            lines += [f"  {printable(command)}" for one in owners for command in one.commands]
        return "\n".join(lines)


async def mirror(
    remote: RemoteServer, store: MetadataStore, guns: list[str], progress: Callable[[int], None]
) -> MirrorReport:
    """Fetch, verify and store these repositories; what is stored already is left as it is.

    Raises:
        RemoteProblem: the server cannot be asked; what was done so far stays.
        StoreUnavailable: the database cannot be written; likewise.
    """
    report = MirrorReport()
    for begin in range(0, len(guns), AT_ONCE):
        some = guns[begin : begin + AT_ONCE]
        report.repositories += await asyncio.gather(*(_mirror(remote, store, gun) for gun in some))
        progress(len(some))
    return report


async def named_by_changefeed(remote: RemoteServer) -> list[str]:
    """The repositories that the changefeed names and that were not deleted last, in alphabetical order.

    Raises:
        RemoteProblem: there is no changefeed, or it may not be read.
    """
    last: dict[str, str] = {}
    async for change in remote.changes():
        last[change.gun] = change.category
    return sorted(gun for gun, category in last.items() if category != "deletion")


async def _mirror(remote: RemoteServer, store: MetadataStore, gun: str) -> Mirrored:
    problem = gun_problem(gun)
    if problem is not None:
        return Mirrored(gun, "refused", problem)
    for _ in range(ATTEMPTS):
        try:
            return await _mirror_once(remote, store, Gun(gun))
        except BrokenChain as broken:
            problem = str(broken)
        except HeadMoved:
            problem = "somebody publishes to it on the new server: it is in use there"
    return Mirrored(gun, "refused", problem or "")


async def _mirror_once(remote: RemoteServer, store: MetadataStore, gun: Gun) -> Mirrored:
    timestamp = await remote.get(gun, "timestamp.json")
    if timestamp is None:
        return Mirrored(gun, "gone")
    snapshot = await _fetch(remote, gun, SNAPSHOT, listed_snapshot(timestamp))
    listed = listed_files(snapshot)
    fetched = await asyncio.gather(*(_fetch(remote, gun, role, digest) for role, digest in listed.items()))
    files = dict(zip(listed, fetched, strict=True))
    if ROOT not in files:
        raise BrokenChain("the snapshot lists no root")
    roots = [data async for data in _older_roots(remote, gun, files[ROOT])]
    stored = verified(gun, [*roots, files[ROOT]], timestamp, snapshot, files)
    state = await store.trust_state(gun, tuple(files))
    latest = state.latest
    for file in stored:
        if file.role in latest and file.version <= latest[file.role].version:
            there = await store.by_version(gun, file.role, file.version)
            if there is not None and there.sha256 != file.sha256:
                raise BrokenChain(
                    f"the new server stores another {file.role} of version {file.version} already"
                )
    new = [file for file in stored if file.role not in latest or file.version > latest[file.role].version]
    if any(file.role == TIMESTAMP for file in new):
        await store.commit(state, new)
        return Mirrored(gun, "mirrored", commands=_commands(gun))
    if latest[TIMESTAMP].version > stored[-1].version:
        return Mirrored(gun, "ahead")
    return Mirrored(gun, "current", commands=_commands(gun))


async def _fetch(remote: RemoteServer, gun: Gun, role: RoleName, digest: str) -> bytes:
    data = await remote.get(gun, f"{role}.{digest}.json")
    if data is None:
        raise BrokenChain(f"the {role} that is listed is not served")
    return data


async def _older_roots(remote: RemoteServer, gun: Gun, current: bytes) -> AsyncIterator[bytes]:
    """The roots before the current one that are to be had: clients that stopped at one go on from there.

    Raises:
        BrokenChain: the current root cannot be read.
    """
    newest = _root_version(current)
    for version in range(max(1, newest - MAX_ROOTS), newest):
        data = await remote.get(gun, f"{version}.root.json")
        if data is not None:
            yield data


def _root_version(root: bytes) -> int:
    try:
        return parse_root(root).body.version
    except ParseError as problem:
        raise BrokenChain(f"the root cannot be read: {problem}") from None


def _commands(gun: Gun) -> tuple[str, ...]:
    return (
        rotation(gun, TIMESTAMP),
        # Whose the snapshot key is cannot be seen from outside.
        f"{rotation(gun, SNAPSHOT)}   (unless the owner holds that key)",
    )
