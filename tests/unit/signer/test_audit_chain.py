"""Making records durable together, and what happens when that fails."""

from __future__ import annotations

import asyncio

import pytest

from notary_signer.audit import chain as module
from notary_signer.audit.chain import ChainedLog
from notary_signer.audit.check import ChainCheck
from notary_signer.audit.record import START, parse
from notary_signer.errors import AuditUnavailable

from .chains import WRITER, MemoryStore, event


def is_whole(store: MemoryStore) -> bool:
    check = ChainCheck(WRITER, [])
    for line in store.lines:
        check.feed("line", line)
    return not check.findings and check.records == len(store.lines)


async def test_records_that_wait_are_written_together() -> None:
    """What arrives during a write goes into the next one, whole and in order, and every caller waits for its own."""
    store = MemoryStore()
    log = ChainedLog(WRITER, START, store)
    store.hold.clear()
    first = asyncio.create_task(log.append(event(1)))
    await asyncio.sleep(0)
    rest = [asyncio.create_task(log.append(event(number))) for number in range(2, 52)]
    await asyncio.sleep(0)
    assert not first.done()
    assert log.head == START
    store.hold.set()
    await asyncio.gather(first, *rest)
    assert [len(batch) for batch in store.batches] == [1, 50]
    assert is_whole(store)
    assert [parse(line)[0].version for line in store.lines] == list(range(1, 52))
    assert (log.head, log.written, log.failures) == (store.batches[-1][-1].head, 51, 0)
    await log.close()


async def test_what_cannot_be_written_is_refused_and_said_afterwards() -> None:
    """Everybody who waits is told; the chain goes on where it was, with a record of the pause."""
    store = MemoryStore()
    log = ChainedLog(WRITER, START, store)
    await log.append(event(1))
    await log.ping()
    store.failing = "No space left on device"
    for outcome in await asyncio.gather(
        *(log.append(event(number)) for number in (2, 3)), return_exceptions=True
    ):
        assert isinstance(outcome, AuditUnavailable)
        assert "No space" not in outcome.message
    with pytest.raises(AuditUnavailable):
        await log.ping()
    assert len(store.lines) == 1
    store.failing = None
    await log.ping()
    await log.append(event(4))
    assert is_whole(store)
    actions = [parse(line)[0].action for line in store.lines]
    assert actions == ["sign", "audit_resumed", "sign"]
    assert "No space left on device" in parse(store.lines[1])[0].reason
    assert store.recoveries >= 1
    assert log.failures == 2


async def test_a_write_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller is refused in time; what it gave up on and was not written yet is left out."""
    store = MemoryStore()
    log = ChainedLog(WRITER, START, store, timeout=0.05)
    store.hold.clear()
    outcomes = await asyncio.gather(
        log.append(event(1)), log.append(event(2)), log.append(event(3)), return_exceptions=True
    )
    late = asyncio.create_task(log.append(event(4)))
    await asyncio.sleep(0)
    assert all(isinstance(outcome, AuditUnavailable) for outcome in outcomes)
    with pytest.raises(AuditUnavailable):
        await late
    monkeypatch.setattr(module, "MAX_WAITING", 0)
    with pytest.raises(AuditUnavailable, match="too many"):
        await log.append(event(5))
    monkeypatch.undo()
    store.hold.set()
    await log.ping()
    assert is_whole(store)
    assert [parse(line)[0].version for line in store.lines] == [1, 2, 3, None]


async def test_an_unforeseen_fault_reaches_whoever_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is left waiting, and the next record finds the log working."""
    store = MemoryStore()
    log = ChainedLog(WRITER, START, store)

    async def broken(_records: object) -> None:
        raise RuntimeError("what nobody thought of")

    monkeypatch.setattr(store, "write", broken)
    with pytest.raises(AuditUnavailable):
        await log.append(event(1))
    monkeypatch.undo()
    await log.append(event(2))
    assert is_whole(store)
