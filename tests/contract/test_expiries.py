"""The table of what ends: filled by what is published, whoever writes it, by one process at a time, and counted alike by all."""

from __future__ import annotations

import asyncio
import json
import re
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from notary_common.database import Database, DatabaseTarget, Query
from notary_server.expiry.report import report
from notary_server.expiry.scanner import DAY, INTERVAL, LEASE, Scanner
from notary_server.metrics import Metrics
from notary_server.storage.expiries import SqlExpiries
from notary_server.storage.schema import TUF_FILES

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
_COLUMNS = ("gun", "role", "version", "data")
_INSERT = Query(
    lambda _: TUF_FILES.insert().values(
        {name: sa.bindparam(name) for name in _COLUMNS}
        | {"sha256": sa.literal(""), "created_at": BEGIN.replace(tzinfo=None)}
    )
)
_DELETE = Query(lambda _: TUF_FILES.delete().where(TUF_FILES.c.gun == sa.bindparam("named")))


class Time:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = int(BEGIN.timestamp()) * 10**9

    def now_ns(self) -> int:
        """Implements `Clock`."""
        return self.now


@pytest.fixture
def time() -> Time:
    """Of all processes."""
    return Time()


async def store(database: Database, gun: str, version: int = 1, **days: int) -> None:
    """Files of a repository, as any Notary would store them, that end so many days after `BEGIN`."""
    rows = [
        {
            "gun": gun,
            "role": role,
            "version": version,
            "data": json.dumps(
                {
                    "signed": {
                        "expires": f"{BEGIN + timedelta(days=end):%Y-%m-%dT%H:%M:%SZ}",
                        "version": version,
                    }
                }
            ).encode(),
        }
        for role, end in days.items()
    ]
    async with database.transaction() as session:
        await session.run_each(_INSERT, rows)


def counted(metrics: Metrics) -> dict[tuple[str, str], int]:
    """What is told, without zeros."""
    lines = re.findall(
        r'notary_server_expiring{kind="(\w+)",within="(\w+)"} (\d+)', metrics.exposition().decode()
    )
    return {(kind, within): int(number) for kind, within, number in lines if number != "0"}


async def test_counts_follow_what_is_published_and_deleted(database: Database, time: Time) -> None:
    """Each range holds those before it; what is over is in all of them."""
    metrics = Metrics()
    scanner = Scanner(database, time, metrics)
    await store(database, "App", root=400, targets=20, timestamp=5)
    await store(database, "app", root=80, targets=-1, timestamp=5)
    await scanner.look()
    assert counted(metrics) == {
        ("root", "90d"): 1,
        ("root", "365d"): 1,
        ("targets", "0d"): 1,
        ("targets", "7d"): 1,
        ("targets", "30d"): 2,
        ("targets", "90d"): 2,
        ("targets", "365d"): 2,
        ("timestamp", "7d"): 2,
        ("timestamp", "30d"): 2,
        ("timestamp", "90d"): 2,
        ("timestamp", "365d"): 2,
    }
    # Nothing is looked at again before its time, by nobody.
    await store(database, "app", 2, targets=500)
    other = Metrics()
    await Scanner(database, time, other).look()
    assert counted(other) == counted(metrics)
    time.now += INTERVAL + 1
    async with database.transaction() as session:
        await session.run(_DELETE, named="App")
    await Scanner(database, time, other).look()
    assert set(counted(other)) == {
        ("root", "90d"),
        ("root", "365d"),
        *(("timestamp", within) for within in ("7d", "30d", "90d", "365d")),
    }
    assert set(counted(other).values()) == {1}
    assert await SqlExpiries(database).finished() == time.now
    told = re.search(
        r"^notary_server_expiry_scan_timestamp_seconds (\S+)", other.exposition().decode(), re.MULTILINE
    )
    assert told is not None
    assert float(told[1]) == time.now / 1e9


async def test_time_passes_without_a_publish(database: Database, time: Time) -> None:
    """The table has dates, not counts."""
    metrics = Metrics()
    await store(database, "app", targets=40)
    await Scanner(database, time, metrics).look()
    assert ("targets", "30d") not in counted(metrics)
    time.now += 11 * DAY
    await Scanner(database, time, metrics).look()
    assert counted(metrics)["targets", "30d"] == 1


async def test_one_process_scans_and_is_followed_when_it_dies(database: Database, time: Time) -> None:
    """The lease holds for two minutes after the last page."""
    expiries = SqlExpiries(database)
    assert await expiries.take("a", time.now, time.now + LEASE)
    assert await expiries.take("a", time.now, time.now + LEASE + 1)
    assert not await expiries.take("b", time.now, time.now + LEASE)
    assert await expiries.take("b", time.now + LEASE + 2, time.now + 2 * LEASE)
    await expiries.finish("a", time.now, time.now)  # too late: it is not noted
    assert await expiries.finished() == 0
    await expiries.finish("b", time.now, time.now + INTERVAL)
    assert await expiries.finished() == time.now
    assert not await expiries.take("b", time.now + 1, time.now + LEASE)


async def test_only_what_changed_is_read(database: Database, time: Time) -> None:
    """Whatever the size of a page."""
    expiries = SqlExpiries(database)
    for number in range(7):
        await store(database, f"app/{number}", targets=number)
    await Scanner(database, time, Metrics()).look()
    await store(database, "app/3", 2, targets=9)
    await store(database, "new", targets=9)
    found: set[str] = set()
    place: str | None = ""
    while place is not None:
        place, changed = await expiries.changed(place, 3)
        found |= set(changed)
    assert found == {"app/3", "new"}


async def test_scans_at_the_same_time_do_no_harm(database: Database, time: Time) -> None:
    """A lease can end under a process that was stopped for a while."""
    expiries, metrics = SqlExpiries(database), Metrics()
    for number in range(20):
        await store(database, f"app/{number}", targets=3)
    scanners = [Scanner(database, time, metrics) for _ in range(3)]

    async def at_once(scanner: Scanner) -> None:
        await scanner._note([f"app/{number}" for number in range(20)], newest)

    _, newest = await expiries.changed("", 50)
    await asyncio.gather(*map(at_once, scanners))
    counts = await expiries.count([time.now + 4 * DAY])
    assert counts == {time.now + 4 * DAY: {"targets": 20}}


@pytest.mark.parametrize("target", ["sqlite-file", "postgres", "mysql"], indirect=True)
async def test_the_report_needs_no_table(database: Database, target: DatabaseTarget, time: Time) -> None:
    """What ends first comes first, with the contact."""
    await store(database, "reg/team/app", root=400, targets=20, timestamp=5)
    await store(database, "reg/app", root=80, targets=-1, timestamp=-2)
    await store(database, "else", root=1)
    entries = await report(target, {"reg/team": "team"}, "reg/", time.now, 90 * DAY)
    assert [(entry.gun, entry.end.kind, entry.contact) for entry in entries] == [
        ("reg/app", "timestamp", ""),
        ("reg/app", "targets", ""),
        ("reg/team/app", "targets", "team"),
        ("reg/app", "root", ""),
    ]
