"""An old database is copied to one of another kind: every row, whenever and however often, and nothing undone."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from notary_common import migrate
from notary_common.database import Database, DatabaseTarget, open_database, parse_url
from notary_server.inspection.holdings import holdings
from notary_server.storage.sql_store import SqlStore
from notary_server.takeover import runs
from notary_server.takeover.copying import Copied, Copying, TargetInUse
from notary_server.takeover.old_schema import schema_findings
from notary_server.takeover.tables import BLOCK, CHANGES, FILES
from notary_server.takeover.verify import Proof, compare_rows
from notary_server.tuf.model import NewFile
from notary_server.tuf.names import SNAPSHOT, TARGETS, TIMESTAMP, Gun, RoleName
from tests.support import reference, reference_mysql

from .metadata import body, found, publish

GUN = Gun("docker.io/library/alpine")
OTHER = Gun("docker.io/library/Alpine")
WHEN = datetime(2019, 1, 2, 3, 4, 5)  # noqa: DTZ001 - as the tables have it

DIRECTIONS = [
    ("postgres", "mysql"),
    ("postgres", "sqlite3"),
    ("postgres", "postgres"),
    ("mysql", "postgres"),
    ("mysql", "sqlite3"),
    ("mysql", "mysql"),
    ("sqlite3", "postgres"),
]
everywhere = pytest.mark.parametrize("targets", DIRECTIONS, ids="-to-".join, indirect=True)
somewhere = pytest.mark.parametrize(
    "targets", [("postgres", "sqlite3"), ("mysql", "postgres")], ids="-to-".join, indirect=True
)
"""For what the databases have no say in."""

OLD_TABLES = {
    "postgres": reference.SERVER_TABLES,
    "mysql": reference_mysql.SERVER_TABLES + reference_mysql.FEED_TABLES,
}


@dataclass(frozen=True, slots=True)
class Pair:
    """An old database and a new one."""

    old: DatabaseTarget
    new: DatabaseTarget
    source: Database
    target: Database

    async def copy(self) -> Copied:
        """One run."""
        copying = Copying(self.source, self.target)
        await copying.prepare()
        return await copying.run(lambda _: None)

    async def proof(self) -> Proof:
        """What a comparison of all rows says."""
        proof = Proof()
        await compare_rows(self.source, self.target, proof, lambda _: None)
        return proof


@pytest.fixture
def targets(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[tuple[DatabaseTarget, DatabaseTarget]]:
    """The old database with Notary's own tables, and the new one with this version's."""
    with contextlib.ExitStack() as stack:
        old, new = (_fresh(request, kind, tmp_path, stack) for kind in request.param)
        if request.param[0] == "sqlite3":
            migrate.upgrade(old, "server", lambda _: None)
        migrate.upgrade(new, "server", lambda _: None)
        yield old, new


def _fresh(
    request: pytest.FixtureRequest, kind: str, folder: Path, stack: contextlib.ExitStack
) -> DatabaseTarget:
    if kind == "sqlite3":
        return parse_url(kind, "notary.db", folder)
    server: Any = request.getfixturevalue("postgres_cluster" if kind == "postgres" else "mariadb_server")
    url = server.create_database()
    name = url.rpartition("/")[2].partition("?")[0]
    stack.callback(server.drop_database, name)
    if not stack.__dict__.get("old"):
        server.sql(OLD_TABLES[kind], name)
    stack.__dict__["old"] = True
    return parse_url(kind, url, folder)


@pytest.fixture
async def pair(targets: tuple[DatabaseTarget, DatabaseTarget]) -> AsyncIterator[Pair]:
    """The same two, opened."""
    old, new = targets
    source, target = open_database(old), open_database(new)
    yield Pair(old, new, source, target)
    await source.close()
    await target.close()


def file_rows(first: int, files: Sequence[NewFile], gun: str = GUN, **changed: Any) -> list[dict[str, Any]]:
    """Rows of `tuf_files` with IDs from `first` on."""
    common = {"created_at": WHEN, "updated_at": WHEN, "deleted_at": None, "gun": gun}
    return [
        common
        | {
            "id": first + place,
            "role": file.role,
            "version": file.version,
            "data": file.data,
            "sha256": file.sha256,
        }
        | changed
        for place, file in enumerate(files)
    ]


def change_row(number: int, version: int, files: Sequence[NewFile], gun: str = GUN) -> dict[str, Any]:
    """The row of `changefeed` for a publish; for a deletion if there are no files."""
    digest = next((file.sha256 for file in files if file.role == TIMESTAMP), None)
    category = "update" if files else "deletion"
    return {
        "id": number,
        "created_at": WHEN,
        "gun": gun,
        "version": version,
        "sha256": digest,
        "category": category,
    }


async def store(database: Database, files: list[dict[str, Any]], changes: list[dict[str, Any]]) -> None:
    """Put rows into a database as they are."""
    async with database.transaction() as session:
        if files:
            await FILES.add(session, files)
        if changes:
            await CHANGES.add(session, changes)


@everywhere
async def test_every_row_comes_over_as_it_is(pair: Pair) -> None:
    """IDs, times, bytes and the changefeed; afterwards both tables go on after the highest ID."""
    first, second = publish(1), publish(2)
    hidden = file_rows(900, [second[0]], "hidden", deleted_at=WHEN)
    await store(
        pair.source,
        [*file_rows(1, first), *file_rows(1500, second), *hidden],
        [change_row(7, 1, first), change_row(9, 2, second), change_row(12, 0, [], "gone")],
    )
    copied = await pair.copy()
    assert (copied.added, copied.removed, copied.damaged) == (12, 0, [])
    assert await FILES.page(pair.target, 0) == await FILES.page(pair.source, 0)
    assert await CHANGES.page(pair.target, 0) == await CHANGES.page(pair.source, 0)
    proof = await pair.proof()
    assert (proof.rows, proof.problems) == (12, [])
    new = SqlStore(open_database(pair.new))
    assert found(await new.current(GUN, TARGETS)).data == body(second, TARGETS)
    assert [(change.id, change.category) for change in await new.changes(None, 0, 10)] == [
        (7, "update"),
        (9, "update"),
        (12, "deletion"),
    ]
    await new.commit(await new.trust_state(GUN, []), publish(3))
    assert [change.version for change in await new.changes(GUN, 12, 10)] == [3]
    assert (await FILES.page(pair.target, 1503))[0]["role"] == "targets"
    await new.close()


@everywhere
async def test_a_later_run_brings_what_changed_since(pair: Pair) -> None:
    """A new publish, and a repository that was deleted and published anew under the same versions."""
    first, second, again = publish(1), publish(2), publish(1, "again")
    await store(
        pair.source,
        [*file_rows(1, first), *file_rows(11, first, "other")],
        [change_row(1, 1, first), change_row(2, 1, first, "other")],
    )
    await pair.copy()
    assert (await pair.copy()).added == 0
    async with pair.source.transaction() as session:
        await FILES.remove(session, [11, 12, 13, 14])
    await store(
        pair.source,
        [*file_rows(21, again, "other"), *file_rows(31, second)],
        [change_row(3, 0, [], "other"), change_row(4, 1, again, "other"), change_row(5, 2, second)],
    )
    copied = await pair.copy()
    assert (copied.added, copied.removed) == (11, 4)
    assert (await pair.proof()).problems == []
    assert await FILES.count(pair.target) == await FILES.count(pair.source) == 12


class Interrupted(Exception):
    """Somebody pressed Ctrl-C."""


@somewhere
async def test_a_run_that_broke_off_is_gone_on_with(pair: Pair) -> None:
    """Whatever was done stays; the next run does the rest."""
    for number in range(1, 4):
        await store(
            pair.source,
            file_rows(number * BLOCK, publish(number)),
            [change_row(number * BLOCK, number, publish(number))],
        )

    def interrupt(_: int) -> None:
        raise Interrupted

    copying = Copying(pair.source, pair.target)
    assert await copying.prepare() == 6
    with pytest.raises(Interrupted):
        await copying.run(interrupt)
    assert await FILES.count(pair.target) == 4
    assert (await pair.proof()).problems != []
    assert (await pair.copy()).added == 11
    assert (await pair.proof()).problems == []


@somewhere
async def test_nothing_is_copied_over_what_was_published_since(pair: Pair) -> None:
    """Both servers were published to: as many changes, the same versions, and still not the same."""
    first = publish(1)
    await store(pair.source, file_rows(1, first), [change_row(1, 1, first)])
    await pair.copy()
    new = SqlStore(open_database(pair.new))
    await new.commit(await new.trust_state(GUN, []), publish(2, "ours"))
    before = await FILES.page(pair.target, 0)
    await store(pair.source, file_rows(5, publish(2)), [change_row(2, 2, publish(2))])
    with pytest.raises(TargetInUse, match=GUN):
        await pair.copy()
    assert await FILES.page(pair.target, 0) == before
    await new.close()


@somewhere
async def test_the_way_back_is_a_copy_in_the_other_direction(pair: Pair) -> None:
    """What was published to the new server comes to the old database, which has stood still since."""
    first = publish(1)
    await store(pair.source, file_rows(1, first), [change_row(1, 1, first)])
    await pair.copy()
    new = SqlStore(open_database(pair.new))
    await new.commit(await new.trust_state(GUN, []), publish(2))
    await new.close()
    back = Pair(pair.new, pair.old, pair.target, pair.source)
    assert (await back.copy()).added == 5
    assert (await back.proof()).problems == []


@somewhere
async def test_rows_without_a_digest_get_one(pair: Pair) -> None:
    """Early versions of Notary stored none, and files are looked up by it; copying again leaves them alone."""
    files = publish(1)
    await store(pair.source, file_rows(1, files, sha256=None), [change_row(1, 1, files)])
    await pair.copy()
    assert [row["sha256"] for row in await FILES.page(pair.target, 0)] == [file.sha256 for file in files]
    copied = await pair.copy()
    assert (copied.added, copied.removed) == (0, 0)
    assert (await pair.proof()).problems == []


@somewhere
async def test_a_damaged_row_is_copied_and_named(pair: Pair) -> None:
    """Its digest is not that of its bytes: nobody gets it, before and after; somebody should know."""
    files = publish(1)
    rows = file_rows(1, files)
    rows[0]["data"] = b"damaged"
    await store(pair.source, rows, [change_row(1, 1, files)])
    assert (await pair.copy()).damaged == [f"{GUN} {files[0].role} version 1"]
    assert (await pair.proof()).problems == []


@somewhere
async def test_a_proof_names_what_differs(pair: Pair) -> None:
    """Bytes, names and records that are missing or other than before."""
    files = publish(1)
    await store(pair.source, file_rows(1, files), [change_row(1, 1, files), change_row(2, 0, [], "gone")])
    rows = file_rows(1, files)
    rows[0]["data"] += b" "
    await store(pair.target, rows[:-1], [change_row(1, 2, files)])
    assert (await pair.proof()).problems == [
        f"{GUN}: {files[0].role} version 1 has other bytes than before",
        f"{GUN}: {files[-1].role} version 1 was not brought over",
        f"{GUN}: the changefeed record 1 has another name or version than before",
        "gone: the changefeed record 2 was not brought over",
    ]


@somewhere
async def test_what_a_database_holds_is_read_in_pages(pair: Pair) -> None:
    """The latest of each role, what the latest timestamp leads to, and the versions of root."""
    for number in range(120):
        await store(pair.source, file_rows(10 * number + 1, publish(1, str(number)), f"gun{number:03}"), [])
    older, newer = publish(2, "older"), publish(3, "newer")
    listed = [file for file in newer if file.role == TIMESTAMP]
    torn = [*older, *(file for file in newer if file.role == TARGETS), *listed]
    await store(pair.source, [*file_rows(2000, torn[:-2], "torn"), *file_rows(2010, torn[-2:], "torn")], [])
    found_there = [holding async for page in holdings(pair.source) for holding in page]
    assert len(found_there) == 121
    whole, broken = found_there[0], found_there[-1]
    assert whole.stored.current == {file.role: file.sha256 for file in publish(1, "0")}
    assert (whole.stored.gun, whole.stored.roots, whole.rows) == ("gun000", [1], 4)
    assert whole.size == sum(len(file.data) for file in publish(1, "0"))
    assert broken.stored.latest[TARGETS].version == 3
    assert set(broken.stored.current) == {TIMESTAMP}
    assert broken.stored.files[RoleName(SNAPSHOT)] == body(older, SNAPSHOT)


@pytest.mark.parametrize("targets", [("postgres", "mysql")], ids="-to-".join, indirect=True)
async def test_names_that_differ_only_in_case_stay_apart(pair: Pair) -> None:
    """Each is a repository of its own; in Notary's MySQL tables they never could be."""
    await store(pair.source, [*file_rows(1, publish(1)), *file_rows(5, publish(1, "x"), OTHER)], [])
    await pair.copy()
    assert (await pair.proof()).problems == []
    names = {holding.stored.gun async for page in holdings(pair.target) for holding in page}
    assert names == {GUN, OTHER}


def test_tables_from_before_the_changefeed(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """They are not copied but taken over in place, and plan says so; a migration that broke off stops everything."""
    cluster: Any = request.getfixturevalue("postgres_cluster")
    url = cluster.create_database()
    name = url.rpartition("/")[2].partition("?")[0]
    old = parse_url("postgres", url, tmp_path)
    new = parse_url("sqlite3", "new.db", tmp_path)
    migrate.upgrade(new, "server", lambda _: None)
    tables = reference.SERVER_TABLES.partition("CREATE TABLE change_category")[0]
    cluster.sql(
        tables
        + "CREATE TABLE schema_migrations (version bigint PRIMARY KEY, dirty boolean NOT NULL);"
        + "INSERT INTO schema_migrations VALUES (1, false);",
        name,
    )

    async def findings() -> list[str]:
        database = open_database(old)
        try:
            return [finding.text for finding in await schema_findings(database, "server")]
        finally:
            await database.close()

    absent, behind = asyncio.run(findings())
    assert "no table changefeed: a takeover in place makes and fills it" in absent
    assert "are of migration 1, those of Notary 0.7.0 of 2" in behind
    with pytest.raises(runs.NotCopyable, match="changefeed"):
        asyncio.run(runs.copy(old, new))
    cluster.sql("UPDATE schema_migrations SET dirty = true", name)
    assert "broke off" in asyncio.run(findings())[1]
    cluster.drop_database(name)


@pytest.mark.parametrize("targets", [("postgres", "mysql")], ids="-to-".join, indirect=True)
async def test_names_that_mysql_cannot_hold_are_foreseen(pair: Pair) -> None:
    """Before anything is copied; the error names them."""
    held, too_wide = Gun("docker.io/app"), Gun("docker.io/app\U0001f600")
    await store(pair.source, [*file_rows(1, publish(1), held), *file_rows(9, publish(1), too_wide)], [])
    with pytest.raises(runs.NotCopyable, match=f"hold 1 of the names .'{too_wide}'"):
        await runs.copy(pair.old, pair.new)
    assert await FILES.count(pair.target) == 0


@somewhere
async def test_times_are_those_of_the_old_rows(pair: Pair) -> None:
    """To the second at least, in UTC: what MySQL keeps."""
    await store(pair.source, file_rows(1, publish(1)), [change_row(1, 1, publish(1))])
    await pair.copy()
    new = SqlStore(open_database(pair.new))
    assert found(await new.current(GUN, TARGETS)).created_at == WHEN.replace(tzinfo=UTC)
    await new.close()
