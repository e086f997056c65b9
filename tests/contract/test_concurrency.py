"""Many writers and readers at once, through two engines as two processes would be."""

from __future__ import annotations

import asyncio
from typing import Any

from notary_server.errors import HeadMoved
from notary_server.storage.sql_store import SqlStore
from notary_server.tuf.names import ROOT, SNAPSHOT, TARGETS, TIMESTAMP, Gun

from .metadata import found, publish

GUN = Gun("docker.io/library/busy")


async def _won(store: SqlStore, *commit: Any) -> bool:
    try:
        await store.commit(*commit)
    except HeadMoved:
        return False
    return True


async def test_exactly_one_of_many_writers_wins(stores: list[SqlStore]) -> None:
    """Eight writers start from one state: one is stored whole, the others are told, round after round."""
    for version in range(1, 9):
        state = await stores[0].trust_state(GUN, [])
        tries = [publish(version, f"writer {number}") for number in range(8)]
        won = await asyncio.gather(
            *(_won(stores[number % 2], state, files) for number, files in enumerate(tries))
        )
        assert sum(won) == 1
        winner = tries[won.index(True)]
        for file in winner:
            assert found(await stores[1].current(GUN, file.role)).data == file.data
    assert [change.version for change in await stores[0].changes(GUN, 0, 100)] == list(range(1, 9))


async def test_commit_and_delete_leave_no_half_repository(stores: list[SqlStore]) -> None:
    """Whoever is first, afterwards the repository is wholly there or wholly gone."""
    for version in range(1, 16):
        old = await stores[0].trust_state(GUN, [])
        await asyncio.gather(
            _won(stores[0], old, publish(version)),
            stores[1].delete(GUN),
            _won(stores[1], old, publish(version, "b")),
        )
        state = await stores[0].trust_state(GUN, [])
        assert set(state.latest) in (set(), {ROOT, TARGETS, SNAPSHOT, TIMESTAMP})
        assert {summary.version for summary in state.latest.values()} in (set(), {version})
        present = [
            await stores[1].current(GUN, role) is not None for role in (ROOT, TARGETS, SNAPSHOT, TIMESTAMP)
        ]
        assert set(present) == {bool(state.latest)}


async def test_a_state_from_before_delete_and_rebirth_is_refused(stores: list[SqlStore]) -> None:
    """A slow publisher does not continue the life that ended while it was signing."""
    await stores[0].commit(await stores[0].trust_state(GUN, []), publish(1, "first"))
    slow = await stores[0].trust_state(GUN, [])
    await stores[1].delete(GUN)
    await stores[1].commit(await stores[1].trust_state(GUN, []), publish(1, "second"))
    assert not await _won(stores[0], slow, publish(2, "first"))


async def test_a_reader_never_sees_a_gap_or_a_step_back(stores: list[SqlStore]) -> None:
    """While versions are committed, every role is always found and its version never falls."""
    await stores[0].commit(await stores[0].trust_state(GUN, []), publish(1))
    done = asyncio.Event()

    async def write() -> None:
        for version in range(2, 30):
            await stores[0].commit(await stores[0].trust_state(GUN, []), publish(version))
        done.set()

    async def read() -> int:
        seen = dict.fromkeys((ROOT, TARGETS, SNAPSHOT, TIMESTAMP), 0)
        looks = 0
        while not done.is_set():
            for role, version in seen.items():
                file = await stores[1].current(GUN, role)
                assert file is not None
                assert file.version >= version
                seen[role] = file.version
            looks += 1
        return looks

    _, *looks = await asyncio.gather(write(), read(), read())
    assert min(looks) > 0


async def test_a_polling_consumer_misses_no_change(stores: list[SqlStore]) -> None:
    """With writers on many repositories at once, asking again from the last ID seen gives every record."""
    done = asyncio.Event()
    names = [Gun(f"busy/{number}") for number in range(8)]

    async def write(number: int) -> None:
        store = stores[number % 2]
        for version in range(1, 13):
            await store.commit(await store.trust_state(names[number], []), publish(version))
            if version % 6 == 0:
                await store.delete(names[number])

    async def poll() -> list[int]:
        seen: list[int] = []
        while True:
            last_round = done.is_set()
            found = await stores[0].changes(None, seen[-1] if seen else 0, 5)
            seen.extend(change.id for change in found)
            if last_round and not found:
                return seen

    async def write_all() -> None:
        await asyncio.gather(*(write(number) for number in range(len(names))))
        done.set()

    _, *polled = await asyncio.gather(write_all(), poll(), poll())
    everything = [change.id for change in await stores[0].changes(None, 0, 10_000)]
    assert len(everything) == len(names) * (12 + 2)
    assert polled == [everything, everything]


async def test_a_cancelled_commit_stores_all_or_nothing_and_holds_no_lock(stores: list[SqlStore]) -> None:
    """Publishers that go away at any moment leave whole versions, and the next one need not wait for them."""
    outcomes: list[object] = []  # kept, with the tracebacks and the cursors in them
    for attempt in range(25):
        before = await stores[0].trust_state(GUN, [])
        task = asyncio.create_task(stores[0].commit(before, publish(2 * attempt + 1, "cancelled")))
        await asyncio.sleep(attempt * 0.0004)
        task.cancel()
        outcomes += await asyncio.gather(task, return_exceptions=True)
        after = await stores[1].trust_state(GUN, [])
        assert after.latest == before.latest or {summary.version for summary in after.latest.values()} == {
            2 * attempt + 1
        }
        await stores[1].commit(after, publish(2 * attempt + 2, "next"))
    assert any(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes)
