"""Put together what clients get of a repository, from wherever its files are, so that it can be verified."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence

from notary_server.inspection.examine import Stored
from notary_server.storage.chain import listed_digests
from notary_server.tuf.model import FileSummary
from notary_server.tuf.names import ROOT, SNAPSHOT, TIMESTAMP, Gun, RoleName, Sha256Hex
from notary_server.tuf10.names import is_standard
from notary_server.upkeep.check import check
from notary_server.upkeep.evidence import Evidence

from .format import Entry

Read = Callable[[Collection[Entry]], Awaitable[Mapping[Entry, bytes]]]
"""The bytes of these files; each is there."""

BEARABLE = frozenset({"certificate", "expired", "key"})
"""What is broken by time, or for want of a key, and no fault of the files: such a repository is restored as it was."""


async def evidence(gun: str, entries: Iterable[Entry], read: Read) -> Evidence:
    """What `upkeep.check` looks at, of a repository with these files."""
    entries = sorted(entries, key=lambda entry: entry.version)
    latest = {entry.role: entry for entry in entries}
    roots = [entry for entry in entries if entry.role == ROOT]
    by_digest = {(entry.role, entry.sha256): entry for entry in entries}
    data = dict(await read({*latest.values(), *roots}))
    current: dict[str, Entry] = {}
    if TIMESTAMP in latest:
        current[TIMESTAMP] = latest[TIMESTAMP]
    await _follow(current, TIMESTAMP, (SNAPSHOT,), by_digest, data, read)
    await _follow(current, SNAPSHOT, None, by_digest, data, read)
    if ROOT in latest and is_standard(data[latest[ROOT]]):
        # A TUF 1.0 snapshot does not list root: the latest is the current one.
        current[ROOT] = latest[ROOT]
    stored = Stored(
        gun=Gun(gun),
        latest={
            RoleName(role): FileSummary(one.version, Sha256Hex(one.sha256), one.length)
            for role, one in latest.items()
        },
        files={RoleName(role): data[one] for role, one in latest.items()},
        current={RoleName(role): one.sha256 for role, one in current.items()},
        roots=[one.version for one in roots],
    )
    return Evidence(
        stored=stored,
        roots=[data[one] for one in roots],
        files={RoleName(role): data[one] for role, one in current.items()},
    )


async def _follow(
    current: dict[str, Entry],
    lister: str,
    wanted: Sequence[str] | None,
    by_digest: Mapping[tuple[str, str], Entry],
    data: dict[Entry, bytes],
    read: Read,
) -> None:
    """Add to `current`, and to `data`, those stored files that the current `lister` lists."""
    if lister not in current:
        return
    listed = listed_digests(data[current[lister]])
    found = {
        str(role): by_digest[role, digest]
        for role, digest in listed.items()
        if (role, digest) in by_digest and (wanted is None or role in wanted)
    }
    current.update(found)
    data.update(await read([entry for entry in found.values() if entry not in data]))


def faults(found: Evidence, now_ns: int) -> list[str]:
    """Why a repository must not be stored so: what is broken in its files.

    Without any, every listed file is there, and all of them, and every root, were verified.
    """
    said = [
        one.text for one in check(found, None, now_ns) if one.weight == "broken" and one.kind not in BEARABLE
    ]
    # The check has nothing against a file that is missing and that nobody leads to, and looks no further then.
    return said or [f"the snapshot lists a {role} that is not there" for role in found.missing]
