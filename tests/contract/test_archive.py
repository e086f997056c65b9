"""Repositories go from one database to another as a file: the same bytes, served the same, and never back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from notary_common import migrate
from notary_common.database import Database, DatabaseTarget, Query, open_database, parse_url
from notary_common.database.engine import create_engine
from notary_server.archive.exporting import Exported, export
from notary_server.archive.format import MAX_FILE_BYTES, BadArchive
from notary_server.archive.imported import Imported
from notary_server.archive.importing import _Importing, take_in
from notary_server.archive.reading import Archive
from notary_server.archive.rows import read_rows
from notary_server.archive.writing import CannotWrite
from notary_server.operations.context import Context
from notary_server.operations.publish import publish
from notary_server.operations.reseal import Outcome, refresh, renew_now
from notary_server.signing.local_signer import LocalSigner
from notary_server.storage.schema import TUF_FILES
from notary_server.storage.sql_store import SqlStore
from notary_server.tuf.document import Document
from notary_server.tuf.names import ROOT, SNAPSHOT, TARGETS, TIMESTAMP, Gun, RoleName, Sha256Hex
from notary_server.upkeep.runs import NothingStored
from tests.publisher import Publisher
from tests.publisher.keys import key_id, key_object
from tests.unit.archive.archives import packed
from tests.unit.tuf.world import GUN as WORLD
from tests.unit.tuf.world import World

from .test_overtaken import DAY, Clock

GUN, OTHER = Gun("registry.example.org/team/app"), Gun("registry.example.org/team/App")
DIRECTIONS = [("postgres", "mysql"), ("mysql", "sqlite3"), ("sqlite3", "postgres")]
_DROP = Query(
    lambda _: sa.delete(TUF_FILES).where(
        TUF_FILES.c.gun == sa.bindparam("named"),
        TUF_FILES.c.role == sa.bindparam("wanted"),
        TUF_FILES.c.version == sa.bindparam("number"),
    )
)
_BARE = Query(lambda _: sa.update(TUF_FILES).where(TUF_FILES.c.role == TARGETS).values(sha256=None))
_SPOIL = Query(lambda _: sa.update(TUF_FILES).where(TUF_FILES.c.role == TARGETS).values(data=b"{}"))


@dataclass
class Server:
    """One server: its database and what works on it."""

    target: DatabaseTarget
    database: Database
    store: SqlStore
    context: Context

    async def files(self, gun: Gun) -> dict[tuple[str, int], bytes]:
        """Every file as clients are given it by version, which is what they are given by digest, too."""
        async with self.database.statement() as session:
            rows = await read_rows(session, gun)
        found = {}
        for row in rows:
            role = RoleName(row.entry.role)
            one = await self.store.by_version(gun, role, row.entry.version)
            assert one is not None
            same = await self.store.by_checksum(gun, role, Sha256Hex(row.entry.sha256))
            assert same is not None
            assert same.data == one.data
            found[row.entry.role, row.entry.version] = one.data
        return found

    async def current(self, gun: Gun) -> list[bytes | None]:
        """The current files as clients are given them."""
        roles = (ROOT, TARGETS, SNAPSHOT, TIMESTAMP, RoleName("targets/a"))
        found = [await self.store.current(gun, role) for role in roles]
        return [None if one is None else one.data for one in found]

    async def drop(self, role: str, version: int) -> None:
        """Lose a row."""
        async with self.database.transaction() as session:
            assert await session.run(_DROP, named=GUN, wanted=role, number=version) == 1

    async def export(self, output: Path, gun: str | None = None, prefix: str = "") -> Exported:
        """`repo export`."""
        return await export(self.target, gun, prefix, output, dry_run=False)

    async def take(self, path: Path, *, dry_run: bool = False) -> Imported:
        """`repo import`."""
        with path.open("rb") as file:
            archive = Archive(file, MAX_FILE_BYTES)
            places = archive.places(lambda _: None)
            return await take_in(
                archive, places, self.database, self.context, lambda _: None, dry_run=dry_run
            )


class Owner:
    """Publishes to servers whose signer is one."""

    def __init__(self, gun: Gun, signer: LocalSigner) -> None:
        self.gun, self.signer, self.publisher, self.version = gun, signer, Publisher(gun), 1

    async def begin(self, server: Server) -> None:
        """The first publish."""
        for role in (TIMESTAMP, SNAPSHOT):
            held = await self.signer.create_key(self.gun, role, "ed25519")
            self.publisher.server_keys[role] = key_object(held.key.keytype, held.key.public)
        await self.upload(server, self.publisher.first())

    async def next(self, server: Server) -> None:
        """The next version of targets."""
        self.version += 1
        delegated = self.publisher.delegation("targets/a", self.version - 1)
        targets = self.publisher.targets(self.version, delegates=["targets/a"])
        await self.upload(server, {"targets": targets, "targets/a": delegated})

    async def upload(self, server: Server, files: dict[str, bytes]) -> None:
        """Publish these files."""
        await publish(
            server.context, self.gun, [Document(RoleName(role), one) for role, one in files.items()]
        )


async def _server(target: DatabaseTarget, signer: LocalSigner) -> Server:
    engine = create_engine(target)
    await migrate.upgrade_engine(engine, "server", lambda _line: None)
    await engine.dispose()
    store = SqlStore(open_database(target))
    return Server(target, open_database(target), store, Context(store, signer, Clock(), "ed25519"))


@pytest.fixture
def signer() -> LocalSigner:
    """Of both servers."""
    return LocalSigner()


@pytest.fixture
async def servers(
    request: pytest.FixtureRequest, tmp_path: Path, signer: LocalSigner
) -> AsyncIterator[list[Server]]:
    """Two, over empty databases of these kinds."""
    made = []
    for number, kind in enumerate(getattr(request, "param", ("sqlite3", "sqlite3"))):
        url = f"{number}.db" if kind == "sqlite3" else request.getfixturevalue(f"{kind}_url")
        made.append(await _server(parse_url(kind, url, tmp_path), signer))
    yield made
    for one in made:
        await one.store.close()
        await one.database.close()


@pytest.fixture
async def owner(servers: list[Server], signer: LocalSigner) -> Owner:
    """Has published three times to the first server, which has renewed the timestamp twice."""
    made = Owner(GUN, signer)
    await made.begin(servers[0])
    await made.next(servers[0])
    await made.next(servers[0])
    clock = servers[0].context.clock
    assert isinstance(clock, Clock)
    for _ in range(2):
        clock.ahead_ns += 9 * DAY
        assert await refresh(servers[0].context, GUN) is Outcome.DONE
    clock.ahead_ns = 0
    return made


def outcomes(imported: Imported) -> list[tuple[str, str, int]]:
    """Name, outcome and number of files of each."""
    return [(one.gun, one.outcome, one.files) for one in imported.repositories]


def names(folder: Path) -> list[str]:
    """Every file there, hidden ones too; databases apart."""
    return sorted(path.name for path in folder.iterdir() if ".db" not in path.name)


@pytest.mark.parametrize("servers", DIRECTIONS, ids="-to-".join, indirect=True)
async def test_there_and_served_the_same(
    servers: list[Server], owner: Owner, signer: LocalSigner, tmp_path: Path
) -> None:
    """Every version, byte for byte; one changefeed record each; the second run adds nothing; and publishes go on."""
    first, second = servers
    await Owner(OTHER, signer).begin(first)
    exported = await first.export(tmp_path / "all.tar")
    assert (exported.repositories, exported.sound) == (2, True)
    assert exported.files == 4 + 14
    foreseen = await second.take(tmp_path / "all.tar", dry_run=True)
    assert await second.store.repositories() == []
    done = await second.take(tmp_path / "all.tar")
    assert outcomes(done) == outcomes(foreseen) == [(OTHER, "imported", 4), (GUN, "imported", 14)]
    assert done.lacking == {}
    for gun in (GUN, OTHER):
        assert await second.files(gun) == await first.files(gun)
        assert await second.current(gun) == await first.current(gun)
        (change,) = await second.store.changes(gun, 0, 100)
        assert (change.version, change.category) == (5 if gun == GUN else 1, "update")
        newest = await first.store.current(gun, TIMESTAMP)
        assert newest is not None
        assert change.sha256 == newest.sha256
    again = await second.take(tmp_path / "all.tar")
    assert outcomes(again) == [(OTHER, "current", 0), (GUN, "current", 0)]
    assert len(await second.store.changes(None, 0, 100)) == 2
    await second.export(tmp_path / "again.tar")
    assert (tmp_path / "again.tar").read_bytes() == (tmp_path / "all.tar").read_bytes()
    await owner.next(second)
    await second.export(tmp_path / "back.tar", GUN)
    assert outcomes(await first.take(tmp_path / "back.tar")) == [(GUN, "imported", 4)]
    assert await first.current(GUN) == await second.current(GUN)
    assert len(await first.store.changes(GUN, 0, 100)) == 6


async def test_what_is_ahead_stays_ahead(servers: list[Server], owner: Owner, tmp_path: Path) -> None:
    """An older archive brings back what was pruned since, and changes nothing that clients are led to."""
    first, _ = servers
    await first.export(tmp_path / "old.tar", GUN)
    await owner.next(first)
    for role in (TARGETS, SNAPSHOT, TIMESTAMP):
        await first.drop(role, 1)
    before = await first.current(GUN)
    changes = await first.store.changes(GUN, 0, 100)
    assert outcomes(await first.take(tmp_path / "old.tar")) == [(GUN, "imported", 3)]
    assert await first.current(GUN) == before
    assert await first.store.changes(GUN, 0, 100) == changes


@pytest.mark.parametrize(
    ("role", "version"), [(TARGETS, 3), (ROOT, 1), (SNAPSHOT, 3), (TIMESTAMP, 5), (TIMESTAMP, 3)]
)
async def test_a_lost_row_comes_back(
    servers: list[Server], owner: Owner, tmp_path: Path, role: str, version: int
) -> None:
    """What `repo verify` finds torn is mended by the archive of a backup."""
    first, _ = servers
    before = await first.files(owner.gun)
    await first.export(tmp_path / "backup.tar")
    await first.drop(role, version)
    assert outcomes(await first.take(tmp_path / "backup.tar")) == [(GUN, "imported", 1)]
    assert await first.files(GUN) == before


async def test_histories_that_have_parted(servers: list[Server], owner: Owner, tmp_path: Path) -> None:
    """Both went on from one point: neither can be brought to the other, and nothing is stored of either."""
    first, second = servers
    await first.export(tmp_path / "common.tar")
    await second.take(tmp_path / "common.tar")
    await owner.upload(second, {"targets": owner.publisher.targets(4)})
    await owner.next(first)
    for here, there in ((first, second), (second, first)):
        path = tmp_path / f"{id(here)}.tar"
        await here.export(path)
        before = await there.files(GUN)
        (refused,) = (await there.take(path)).repositories
        assert refused.outcome == "refused"
        assert "another " in refused.reason
        assert await there.files(GUN) == before


async def test_somebody_elses_repository_of_that_name(
    servers: list[Server], owner: Owner, tmp_path: Path
) -> None:
    """Higher versions everywhere, signed by other owners with a root of their own: nothing of it comes in."""
    first, second = servers
    other = Owner(GUN, LocalSigner())
    foreign = Server(
        second.target, second.database, second.store, Context(second.store, other.signer, Clock(), "ed25519")
    )
    await other.begin(foreign)
    for version in (2, 3):
        await other.upload(foreign, {"root": other.publisher.root(version)})
    for _ in range(5):
        await other.next(foreign)
    before = await first.files(owner.gun)
    theirs = await second.files(GUN)
    above = {
        (role, version): data for (role, version), data in theirs.items() if (role, version) not in before
    }
    assert (ROOT, 3) in above
    across_a_gap = {place: data for place, data in above.items() if place != (ROOT, 2)}
    for files, said in (
        (theirs, "another "),
        (above, "not signed with the root keys"),
        (across_a_gap, "does not follow"),
    ):
        (tmp_path / "a.tar").write_bytes(packed({GUN: files}))
        (refused,) = (await first.take(tmp_path / "a.tar")).repositories
        assert (refused.outcome, said in refused.reason) == ("refused", True), refused.reason
        assert await first.files(GUN) == before


async def test_a_file_that_is_missing_hides_nothing(servers: list[Server], tmp_path: Path) -> None:
    """A listed file that nobody leads to may be missing, says `repo verify`, and looks no further; an import must: here
    somebody else's second root follows the owner's first one."""
    owner, other = World(), World()
    owner.first()
    other.first()
    delegating = other.owner.targets(2, delegates=["targets/a"])
    other.publish({"targets": delegating, "targets/a": other.owner.delegation("targets/a")})
    other.publish({"root": other.owner.root(2), "targets": other.owner.targets(3)})
    files = {(role, version): data for role, kept in other.files.items() for version, data in kept.items()}
    del files["targets/a", 1]
    files["root", 1] = owner.latest("root")
    (tmp_path / "a.tar").write_bytes(packed({WORLD: files}))
    (refused,) = (await servers[0].take(tmp_path / "a.tar")).repositories
    assert (refused.outcome, "targets/a that is not there" in refused.reason) == ("refused", True)


async def test_an_old_version_that_nobody_signed(servers: list[Server], owner: Owner, tmp_path: Path) -> None:
    """Clients are not led to it, and yet it does not come in."""
    first, second = servers
    files = await first.files(owner.gun) | {(TARGETS, 1): b'{"signed": {}, "signatures": []}'}
    (tmp_path / "a.tar").write_bytes(packed({GUN: files}))
    (refused,) = (await second.take(tmp_path / "a.tar")).repositories
    assert (refused.outcome, "version 1 of targets is not valid" in refused.reason) == ("refused", True)


async def test_a_newer_timestamp_that_leads_back(servers: list[Server], owner: Owner, tmp_path: Path) -> None:
    """The other server only renewed while targets were published here: its newest timestamp knows nothing of them."""
    first, second = servers
    await first.export(tmp_path / "common.tar")
    await second.take(tmp_path / "common.tar")
    await owner.next(first)
    for _ in range(2):
        assert await renew_now(second.context, GUN) is Outcome.DONE
    files = {
        place: data
        for place, data in (await second.files(GUN)).items()
        if place[1] != 6 and place != (SNAPSHOT, 4)
    }
    (tmp_path / "a.tar").write_bytes(packed({GUN: files}))
    before = await first.files(GUN)
    (refused,) = (await first.take(tmp_path / "a.tar")).repositories
    assert (refused.outcome, "one does not follow from the other" in refused.reason) == ("refused", True)
    assert await first.files(GUN) == before


async def test_keys_that_stayed_behind(servers: list[Server], owner: Owner, tmp_path: Path) -> None:
    """Another signer: the repository is served, and it is said which keys are missing and what to do."""
    first, second = servers
    await first.export(tmp_path / "a.tar")
    second.context = Context(second.store, LocalSigner(), Clock(), "ed25519")
    done = await second.take(tmp_path / "a.tar")
    assert outcomes(done) == [(GUN, "imported", 14)]
    assert [lack.role for lack in done.lacking[GUN]] == [TIMESTAMP, SNAPSHOT]
    text = done.as_text()
    for role in (TIMESTAMP, SNAPSHOT):
        listed = key_id(owner.publisher.server_keys[role])
        assert f"{GUN}: {role} key {listed}" in text
        assert f"notary key rotate {GUN} {role} -r" in text
    assert await second.current(GUN) == await first.current(GUN)


async def test_somebody_publishes_meanwhile(
    servers: list[Server], owner: Owner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was planned for another state is not stored; the next look is at what is there then."""
    first, second = servers
    await first.export(tmp_path / "a.tar")
    await second.take(tmp_path / "a.tar")
    await first.drop(TARGETS, 1)
    store, times = _Importing._store, []

    async def meanwhile(self: _Importing, gun: Gun, plan: Any) -> None:
        times.append(len(plan.stored))
        if len(times) == 1:
            await owner.next(first)
        await store(self, gun, plan)

    monkeypatch.setattr(_Importing, "_store", meanwhile)
    assert outcomes(await first.take(tmp_path / "a.tar")) == [(GUN, "imported", 1)]
    assert times == [13, 17]
    await owner.next(first)


async def test_nothing_of_a_damaged_archive(servers: list[Server], owner: Owner, tmp_path: Path) -> None:
    """The last byte counts as much as the first: not even the repositories before it are stored."""
    first, second = servers
    await Owner(OTHER, owner.signer).begin(first)
    await first.export(tmp_path / "a.tar")
    data = (tmp_path / "a.tar").read_bytes()
    (tmp_path / "b.tar").write_bytes(data[:-1])
    with pytest.raises(BadArchive, match="cut off"):
        await second.take(tmp_path / "b.tar")
    assert await second.store.repositories() == []


async def test_damage_is_told_when_it_is_exported(
    servers: list[Server], owner: Owner, tmp_path: Path
) -> None:
    """Bytes that are not their row's are left out; a repository that lacks a file is written, and would be refused."""
    first, second = servers
    await Owner(OTHER, owner.signer).begin(first)
    await first.drop(SNAPSHOT, 3)
    exported = await first.export(tmp_path / "a.tar")
    assert (exported.repositories, exported.sound, list(exported.unsound)) == (2, False, [GUN])
    assert outcomes(await second.take(tmp_path / "a.tar")) == [(OTHER, "imported", 4), (GUN, "refused", 0)]
    async with first.database.transaction() as session:
        await session.run(_SPOIL)
    exported = await first.export(tmp_path / "b.tar")
    assert (exported.repositories, list(exported.left_out)) == (0, [OTHER, GUN])
    with pytest.raises(CannotWrite, match="has not the digest"):
        await first.export(tmp_path / "c.tar", GUN)
    assert names(tmp_path) == ["a.tar", "b.tar"]


async def test_rows_without_a_digest(servers: list[Server], owner: Owner, tmp_path: Path) -> None:
    """Some of Notary's have none: they are exported with that of their bytes, and are no other files than these."""
    first, second = servers
    before = await first.current(owner.gun)
    await first.export(tmp_path / "a.tar")
    async with first.database.transaction() as session:
        await session.run(_BARE)
    await first.export(tmp_path / "b.tar")
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()
    assert outcomes(await first.take(tmp_path / "a.tar")) == [(GUN, "current", 0)]
    assert outcomes(await second.take(tmp_path / "b.tar")) == [(GUN, "imported", 14)]
    assert await second.current(GUN) == before


async def test_what_is_exported(servers: list[Server], owner: Owner, tmp_path: Path) -> None:
    """One name, or a prefix; nobody's file is overwritten, and none is left of what failed."""
    first, _ = servers
    assert (await first.export(tmp_path / "a.tar", prefix=GUN[:-1])).repositories == 1
    assert (await first.export(tmp_path / "b.tar", prefix="elsewhere/")).repositories == 0
    with pytest.raises(CannotWrite, match="exists already"):
        await first.export(tmp_path / "a.tar")
    with pytest.raises(NothingStored):
        await first.export(tmp_path / "c.tar", OTHER)
    with pytest.raises(NothingStored):
        await export(first.target, OTHER, "", tmp_path / "c.tar", dry_run=True)
    with pytest.raises(CannotWrite, match="No such file"):
        await first.export(tmp_path / "none" / "c.tar")
    foreseen = await export(first.target, None, "", tmp_path / "c.tar", dry_run=True)
    assert (foreseen.repositories, foreseen.files) == (1, 14)
    assert names(tmp_path) == ["a.tar", "b.tar"]
    assert (tmp_path / "a.tar").stat().st_mode & 0o777 == 0o600
    assert owner.gun == GUN
