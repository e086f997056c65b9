"""The audit log in the database, and the noted ends of chains, on SQLite, PostgreSQL and MariaDB."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from notary_common.database import Database, open_database, parse_url
from notary_common.sections import Logging
from notary_signer.audit.anchors import note_head, noted_heads
from notary_signer.audit.chain import ChainedLog, StoreFailed
from notary_signer.audit.record import START, Head
from notary_signer.audit.stores import RowStore, audit_table, rows_of, writers
from notary_signer.audit.verify import ExpectedHead, verified_file, verified_rows
from notary_signer.auditing import daemon_log, operator_log
from notary_signer.config import SignerConfig
from notary_signer.config.audit import Audit
from notary_signer.errors import AuditUnavailable, StartRefused
from notary_signer.ports import AuditEvent
from tests.unit.signer.chains import WRITER, chain, event


def config(**audit: Any) -> SignerConfig:
    return SignerConfig.model_construct(audit=Audit.model_construct(writer="w", **audit))


async def findings(database: Database, writer: str, noted: Head | None = None) -> list[str]:
    heads = [] if noted is None else [ExpectedHead(writer, noted, "a friend")]
    outcome = await verified_rows(database, writer, 1, heads, begins_at=1)
    return [finding.text for finding in outcome.findings]


async def test_a_chain_in_rows(database: Database, engine: AsyncEngine) -> None:
    """Written batch by batch, found again, whole; a removed, an altered and a misplaced row are found."""
    store = RowStore(database, WRITER)
    assert await store.last() == START
    log = ChainedLog(WRITER, START, store)
    await asyncio.gather(*(log.append(event(number)) for number in range(1, 31)))
    assert await store.last() == log.head
    assert log.head.sequence == 30
    other = ChainedLog(WRITER.upper(), START, RowStore(database, WRITER.upper()))
    await other.append(event())
    assert await writers(database) == {WRITER: 30, WRITER.upper(): 1}
    assert await findings(database, WRITER, log.head) == []
    rows = audit_table.c
    place = (rows.writer == WRITER, rows.sequence == 7)
    async with engine.begin() as connection:
        line = str(await connection.scalar(sa.select(rows.record).where(*place)))
        bent = line.replace("request-7", "request-x")
        await connection.execute(audit_table.update().where(*place).values(record=bent))
        await connection.execute(audit_table.delete().where(rows.writer == WRITER, rows.sequence == 9))
        await connection.execute(audit_table.delete().where(rows.writer == WRITER, rows.sequence == 30))
    found = await findings(database, WRITER, log.head)
    assert len(found) == 3
    assert found[0].startswith("the line was altered")
    assert found[1].startswith("record 9 is missing")
    assert "its end was cut off" in found[2]
    async with engine.begin() as connection:
        await connection.execute(audit_table.update().where(*place).values(record=line, sequence=9))
    assert "record 7 stands here" in await findings(database, WRITER)


async def test_pages_follow_each_other(database: Database) -> None:
    """A chain longer than a page is read whole."""
    store = RowStore(database, WRITER)
    await store.write(chain(1005))
    assert [number async for number, _ in rows_of(database, WRITER)] == list(range(1, 1006))


async def test_two_processes_cannot_write_one_chain(database: Database) -> None:
    """The primary key lets one of them through; the other is told, and writes nothing until it is restarted."""
    first = ChainedLog(WRITER, START, RowStore(database, WRITER))
    second = ChainedLog(WRITER, START, RowStore(database, WRITER))
    await first.append(event(1))
    for _ in range(2):
        with pytest.raises(AuditUnavailable):
            await second.append(event(2))
    await first.append(event(3))
    assert await findings(database, WRITER, first.head) == []


async def test_a_commit_whose_answer_was_lost(database: Database) -> None:
    """What is there after all counts, and the chain goes on behind it."""
    records = chain(3)
    store = RowStore(database, WRITER)
    await store.write(records[:2])
    assert await store.recover(START) == records[1].head
    assert await store.recover(records[1].head) == records[1].head
    assert await store.recover(records[2].head) == records[2].head
    with pytest.raises(StoreFailed, match="another process"):
        await RowStore(database, WRITER).recover(records[0].head)


async def test_notes_of_ends_never_go_back(database: Database) -> None:
    """The highest one stays, for each writer."""
    ends = [record.head for record in chain(3)]
    for head in (ends[1], ends[0], ends[2], ends[1]):
        await note_head(database, WRITER, head)
    await note_head(database, "other", ends[0])
    assert await noted_heads(database) == {WRITER: ends[2], "other": ends[0]}


async def test_the_daemon_goes_on_with_its_chain(database: Database, engine: AsyncEngine) -> None:
    """Start and stop are records; the end is noted; an end that was cut off while it was stopped is said and stays."""
    for _ in range(2):
        async with daemon_log(config(to="database"), database) as log:
            await log.append(event())
    assert await findings(database, "w", (await noted_heads(database))["w"]) == []
    async with engine.begin() as connection:
        await connection.execute(audit_table.delete().where(audit_table.c.sequence > 4))
    async with daemon_log(config(to="database"), database):
        pass
    assert await findings(database, "w") == ["records 5 to 6 are missing before this one"]
    lines = [line async for _, line in rows_of(database, "w")]
    assert b"audit_end_differs" in lines[4]
    async with engine.begin() as connection:
        await connection.execute(audit_table.update().values(record="{}"))
    with pytest.raises(StartRefused, match="is not a record"):
        async with daemon_log(config(to="database"), database):
            pass


async def test_commands_have_a_chain_of_their_own(database: Database, tmp_path: Path) -> None:
    """While the daemon writes its own, and several at once; the actor is the user; the ends are noted."""
    for number, settings in enumerate((
        config(to=None, file=tmp_path / "audit.jsonl", max_file_bytes=1 << 20), config(to="database")
    )):  # fmt: skip
        async with (
            daemon_log(settings, database) as log,
            operator_log(settings, database) as first,
            operator_log(settings, database) as second,
        ):
            assert first.actor.startswith("operator:")
            for mine in (first, second, first):
                await asyncio.gather(*(mine.append("retire_key", "begun", key_id=str(n)) for n in range(3)))
                await mine.append("retire_key", key_id="0")
            await log.append(AuditEvent("cn:x", "sign", "done"))
            await first.log.ping()
        noted = await noted_heads(database)
        assert {"w", "w/operator"} == set(noted)
        if number == 0:
            outcome = verified_file(
                tmp_path / "audit.operator.jsonl", "w/operator",
                [ExpectedHead("w/operator", noted["w/operator"], "the database")], begins_at=1,
            )  # fmt: skip
            assert (list(outcome.findings), outcome.records) == ([], 12)
    # The rows go on after the end that was noted of the file, and say that it is missing.
    assert await findings(database, "w/operator") == ["records 1 to 12 are missing before this one"]
    outcome = await verified_rows(database, "w/operator", 1, [], begins_at=13)
    assert (list(outcome.findings), outcome.records) == ([], 13)


async def test_commands_without_the_database(tmp_path: Path) -> None:
    """A file will do; what is in the database needs it; a file that is not sound stops the command before it begins."""
    settings = config(to=None, file=tmp_path / "audit.jsonl", max_file_bytes=1 << 20)
    for _ in range(2):
        async with operator_log(settings, None) as mine:
            await mine.append("init_token")
    path = tmp_path / "audit.operator.jsonl"
    assert verified_file(path, "w/operator", [], begins_at=1).records == 2
    async with operator_log(settings, None) as mine:
        with path.open("ab") as torn:
            torn.write(b"{")
        await mine.append("init_token")
        assert verified_file(path, "w/operator", [], begins_at=1).records == 4
        with path.open("ab") as other:
            other.write(b"{}\n")
        with pytest.raises(AuditUnavailable):
            await mine.append("init_token")
        with pytest.raises(AuditUnavailable):
            await mine.log.ping()
    with pytest.raises(StartRefused):
        async with operator_log(settings, None):
            pass
    with pytest.raises(StartRefused):
        async with operator_log(config(to="database"), None):
            pass


@pytest.mark.usefixtures("logging_restored")
async def test_commands_without_an_audit_log(capsys: pytest.CaptureFixture[str]) -> None:
    """One line on standard error, at every log level; standard output stays the command's."""
    settings = SignerConfig.model_construct(audit=Audit(), logging=Logging())
    async with operator_log(settings, None) as mine:
        await mine.append("destroy_key", key_id="a" * 64, gun="g")
    said = capsys.readouterr()
    assert said.out == ""
    line = json.loads(said.err)
    assert (line["action"], line["outcome"], line["gun"]) == ("destroy_key", "done", "g")
    assert line["actor"].startswith("operator:")


async def test_a_database_that_is_gone_stops_commands(tmp_path: Path) -> None:
    """Before they begin."""
    gone = open_database(
        parse_url("postgres", "postgres://u@127.0.0.1:1/d?sslmode=disable&connect_timeout=1", tmp_path)
    )
    with pytest.raises(StartRefused, match="cannot be asked"):
        async with operator_log(config(to="database"), gone):
            pass
    await gone.close()
