"""After pruning, everybody whom a timestamp of the grace period leads somewhere still finds all of it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from notary_server.inspection.holdings import Indexed
from notary_server.tuf.names import ROOT, SNAPSHOT, TARGETS, TIMESTAMP, RoleName, Sha256Hex
from notary_server.upkeep import prune

ROLES = (ROOT, TARGETS, RoleName("targets/a"), RoleName("targets/b"))


@dataclass
class History:
    """Publishes one after the other; row IDs, times and what is listed."""

    rows: list[Indexed] = field(default_factory=list)
    stored: dict[int, int] = field(default_factory=dict)
    lists: dict[int, dict[RoleName, Sha256Hex]] = field(default_factory=dict)
    current: dict[RoleName, Sha256Hex] = field(default_factory=dict)

    def add(self, role: RoleName, time: int, lists: Mapping[RoleName, Sha256Hex] | None = None) -> Sha256Hex:
        """Store the next version of a role."""
        version = max((row.version for row in self.rows if row.role == role), default=0) + 1
        digest = Sha256Hex(hashlib.sha256(f"{role} {version}".encode()).hexdigest())
        number = len(self.rows) + 1
        self.rows.append(Indexed(number, "gun", role, version, digest, 10))
        self.stored[number] = time
        if lists is not None:
            self.lists[number] = dict(lists)
        return digest

    def publish(self, roles: frozenset[RoleName], time: int) -> None:
        """New files of these roles, a snapshot over all, and a timestamp; without any, a renewal of the timestamp."""
        for role in roles:
            self.current[role] = self.add(role, time)
        if roles:
            entries = {role: digest for role, digest in self.current.items() if role != SNAPSHOT}
            self.current[SNAPSHOT] = self.add(SNAPSHOT, time, entries)
        self.add(TIMESTAMP, time, {SNAPSHOT: self.current[SNAPSHOT]})

    def pruned(self, cutoff: int) -> list[Indexed]:
        """What is deleted, when only what the two looks ask for is read."""
        old = {number for number, time in self.stored.items() if time < cutoff}
        lists = {row.id: self.lists[row.id] for row in prune.first_look(self.rows, old)}
        lists |= {row.id: self.lists[row.id] for row in prune.second_look(self.rows, lists)}
        assert not prune.torn(self.rows, lists)
        return prune.superfluous(self.rows, old, lists)


@st.composite
def histories(draw: st.DrawFn) -> History:
    """A few publishes and renewals at rising times."""
    made = History()
    made.publish(frozenset({ROOT, TARGETS}), 0)
    time = 0
    for roles in draw(st.lists(st.frozensets(st.sampled_from(ROLES)), max_size=12)):
        time += draw(st.integers(0, 10))
        made.publish(roles, time)
    return made


@given(histories(), st.integers(-1, 130))
def test_readers_of_the_grace_period_find_everything(history: History, cutoff: int) -> None:
    """Whoever read a timestamp at the cutoff or later follows it to files that are all there; nobody loses a root."""
    gone = history.pruned(cutoff)
    left = {(row.role, row.sha256) for row in history.rows} - {(row.role, row.sha256) for row in gone}
    timestamps = [row for row in history.rows if row.role == TIMESTAMP]
    snapshots = {row.sha256: row.id for row in history.rows if row.role == SNAPSHOT}
    for row, follower in zip(timestamps, [*timestamps[1:], None], strict=True):
        if follower is not None and history.stored[follower.id] < cutoff:
            continue  # nobody could read it any more
        assert (TIMESTAMP, row.sha256) in left
        digest = history.lists[row.id][SNAPSHOT]
        assert (SNAPSHOT, digest) in left
        assert left >= set(history.lists[snapshots[digest]].items())
    assert not any(row.role == ROOT for row in gone)
    highest = {row.role: row.version for row in history.rows}
    assert not any(row.version == highest[row.role] for row in gone)


@given(histories(), st.integers(-1, 130))
def test_a_second_run_finds_nothing(history: History, cutoff: int) -> None:
    """What one run leaves, the next leaves too."""
    gone = history.pruned(cutoff)
    history.rows = [row for row in history.rows if row not in gone]
    assert history.pruned(cutoff) == []


def test_old_versions_go() -> None:
    """When all is old, one version of everything but root stays."""
    history = History()
    for time in range(5):
        history.publish(frozenset(ROLES), time)
    gone = history.pruned(100)
    assert len(gone) == 4 * (len(ROLES) - 1 + 2)
    assert {row.version for row in gone} == {1, 2, 3, 4}


def test_what_an_older_listing_leads_to_stays() -> None:
    """A snapshot may list a file that is not the latest, as older servers stored them."""
    history = History()
    history.publish(frozenset({ROOT, TARGETS}), 0)
    history.add(TARGETS, 1)
    history.add(SNAPSHOT, 1, {})
    assert history.pruned(100) == []


def test_a_row_without_a_digest_stays() -> None:
    """Nobody can say what lists it."""
    history = History()
    for time in range(3):
        history.publish(frozenset({ROOT, TARGETS}), time)
    history.rows = [
        row._replace(sha256="") if (row.role, row.version) == (TARGETS, 1) else row for row in history.rows
    ]
    assert {(row.role, row.version) for row in history.pruned(100) if row.role == TARGETS} == {(TARGETS, 2)}


def test_a_damaged_repository_is_left_alone() -> None:
    """Without the snapshot that the timestamp lists, or a file that the snapshot lists, it is torn."""
    for role in (ROOT, TARGETS, SNAPSHOT, TIMESTAMP):
        history = History()
        history.publish(frozenset({ROOT, TARGETS}), 0)
        rows = [row for row in history.rows if row.role != role]
        assert prune.torn(rows, history.lists)
