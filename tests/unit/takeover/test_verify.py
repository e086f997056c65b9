"""The proof that the new server answers as the old one did: silent when it does, and naming what differs."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Collection
from datetime import datetime
from pathlib import Path
from typing import Any, cast

import pytest

from notary_common import migrate
from notary_common.database import Database, open_database, parse_url
from notary_server.operations.context import Context
from notary_server.ports import RemoteSigner
from notary_server.storage.sql_store import SqlStore
from notary_server.takeover.keyring import Keyring
from notary_server.takeover.survey import survey
from notary_server.takeover.tables import FILES
from notary_server.takeover.verify import Proof, compare_answers, plan_publishes
from notary_server.tuf.model import HeldKey
from notary_server.tuf.names import KeyId

from ..tuf.world import GUN, World

WHEN = datetime(2019, 1, 2, 3, 4, 5)  # noqa: DTZ001 - as the tables have it


class Answers:
    """A server that answers what was stored, but for what a test changes.

    Attributes:
        changed: other answers, by the last part of the address.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.changed: dict[str, bytes | None] = {}

    async def get(self, gun: str, name: str) -> bytes | None:
        """See `Served.get`."""
        assert gun == GUN
        if name in self.changed:
            return self.changed[name]
        first, _, second = name.removesuffix(".json").partition(".")
        if not second:
            return self.world.latest(first)
        if first.isdigit():
            return self.world.files[second].get(int(first))
        found = (data for data in self.world.files[first].values() if _digest(data) == second)
        return next(found, None)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def world() -> World:
    """Two versions of targets."""
    world = World()
    world.first()
    world.publish({"targets": world.owner.targets(2)})
    return world


@pytest.fixture
async def old(world: World, tmp_path: Path) -> AsyncIterator[Database]:
    """The old database with all of it."""
    target = parse_url("sqlite3", "old.db", tmp_path)
    await asyncio.to_thread(migrate.upgrade, target, "server", lambda _: None)
    database = open_database(target)
    rows = [
        {
            "id": number, "created_at": WHEN, "updated_at": WHEN, "deleted_at": None, "gun": GUN, "role": role,
            "version": version, "data": data, "sha256": _digest(data),
        }
        for number, (role, version, data) in enumerate(
            (role, version, data) for role, files in world.files.items() for version, data in files.items()
        )
    ]  # fmt: skip
    await store(database, rows)
    yield database
    await database.close()


async def store(database: Database, rows: list[dict[str, Any]]) -> None:
    """Put rows into the database."""
    async with database.transaction() as session:
        await FILES.add(session, [row | {"id": row["id"] + 1} for row in rows])


async def proof_of(old: Database, answers: Answers) -> Proof:
    """What a comparison says."""
    proof = Proof()
    await compare_answers(old, answers, proof, lambda _: None)
    return proof


async def test_the_same_answers_are_no_problem(old: Database, world: World) -> None:
    """Every file twice, and the current root and targets under their own names."""
    proof = await proof_of(old, Answers(world))
    assert (proof.answers, proof.problems) == (2 * 7 + 2, [])


@pytest.mark.parametrize("answer", [None, b"other bytes"])
async def test_other_answers_are_named(old: Database, world: World, answer: bytes | None) -> None:
    """By version, by checksum, and the current file."""
    answers = Answers(world)
    digest = _digest(world.files["targets"][1])
    answers.changed = {"1.targets.json": answer, f"targets.{digest}.json": answer, "root.json": answer}
    assert (await proof_of(old, answers)).problems == [
        f"{GUN}: version 1 of targets is answered otherwise than before",
        f"{GUN}: version 1 of targets, asked for by checksum, is answered otherwise than before",
        f"{GUN}: the current root is answered otherwise than before",
    ]


async def test_renewed_timestamps_are_no_problem(old: Database, world: World) -> None:
    """An expired one is renewed when it is asked for."""
    answers = Answers(world)
    answers.changed = {"timestamp.json": b"a newer one", "snapshot.json": b"a newer one"}
    assert (await proof_of(old, answers)).problems == []


async def test_a_row_with_a_wrong_digest_could_not_be_asked_for_before(old: Database, world: World) -> None:
    """So its absence by checksum is not the takeover's doing."""
    lost = {
        "id": 100, "created_at": WHEN, "updated_at": WHEN, "deleted_at": None, "gun": GUN, "role": "targets",
        "version": 3, "data": b"damaged", "sha256": "0" * 64,
    }  # fmt: skip
    await store(old, [lost])
    answers = Answers(world)
    answers.changed = {"3.targets.json": b"damaged"}
    assert (await proof_of(old, answers)).problems == []


class Signer:
    """Holds the keys of a `World`, and counts how often it is asked."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.asked = 0

    async def describe_keys(self, key_ids: Collection[KeyId]) -> dict[KeyId, HeldKey]:
        """See `RemoteSigner.describe_keys`."""
        self.asked += 1
        return {key_id: self.world.signer[key_id][1] for key_id in key_ids if key_id in self.world.signer}


class At:
    """The time of a `World`."""

    def __init__(self, world: World) -> None:
        self.world = world

    def now_ns(self) -> int:
        """See `Clock.now_ns`."""
        return self.world.now_ns


async def planned(old: Database, world: World) -> tuple[Proof, Signer]:
    """What planning a publish to every repository says."""
    proof, signer = Proof(), Signer(world)
    context = Context(store=SqlStore(old), signer=cast(RemoteSigner, signer), clock=At(world))
    await plan_publishes(context, proof, lambda _: None)
    return proof, signer


async def test_a_publish_to_every_repository_is_planned(old: Database, world: World) -> None:
    """The signer is asked once for many keys."""
    proof, signer = await planned(old, world)
    assert (proof.repositories, proof.held_by_owners, proof.problems, signer.asked) == (1, 0, [], 1)


def _without(world: World, role: str) -> None:
    keyid = next(keyid for keyid, (_, held) in world.signer.items() if held.role == role)
    del world.signer[keyid]


async def test_a_timestamp_key_that_was_not_imported(old: Database, world: World) -> None:
    """The publish would be refused."""
    _without(world, "timestamp")
    proof, _ = await planned(old, world)
    assert proof.problems == [
        f"{GUN}: the signer does not hold the timestamp key that the root lists; import it first"
    ]


async def test_a_snapshot_key_that_is_not_ours_is_taken_for_the_owners(old: Database, world: World) -> None:
    """Nobody can tell; it is counted."""
    _without(world, "snapshot")
    proof, _ = await planned(old, world)
    assert (proof.held_by_owners, proof.problems) == (1, [])


async def test_an_ended_certificate_is_not_the_takeovers_doing(old: Database, world: World) -> None:
    """`takeover plan` has said so."""
    world.now_ns += 11 * 365 * 86_400 * 10**9
    proof, _ = await planned(old, world)
    assert proof.problems == []


async def test_a_survey_names_the_keys_that_would_be_collected_as_unused(old: Database, world: World) -> None:
    """Those that a root lists; what no root lists is counted apart, and a used key is no finding."""
    listed = KeyId(next(keyid for keyid, (_, held) in world.signer.items() if held.role == "timestamp"))
    stray = KeyId(world.make_key("timestamp").id)
    held = {KeyId(keyid): held for keyid, (_, held) in world.signer.items()}
    done = 0

    def progress(more: int) -> None:
        nonlocal done
        done += more

    found = await survey(old, Keyring(held, frozenset({listed, stray})), world.now_ns, progress)
    assert [finding.text[:7] for finding in found.findings if finding.kind == "unused-key"] == ["1 key t"]
    assert (found.repositories, found.keys, found.unnamed, done) == (1, 3, 1, 1)
    found = await survey(old, Keyring(held, frozenset({stray})), world.now_ns, progress)
    assert [finding for finding in found.findings if finding.kind == "unused-key"] == []
