"""Flaws that need time or several requests at once: 16, 28, 29, 30 and 37."""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.publisher import Client, Publisher, Reply, Verifier, ecdsa_key, root_key

from .arena import Arena, shape_problem
from .case import BAD_ROOT, OK, UNKNOWN, VERSION, Answer, Side, Stage
from .edits import put
from .servers import OldServers, OurServers

SOON = dt.timedelta(seconds=6)
"""Long enough for a first publish on a busy machine."""
READERS = 12
FILES = 80
SIDES: tuple[Side, Side] = ("old", "ours")


def until(moment: dt.datetime) -> None:
    """Return when the clock has passed `moment`, after which something has expired."""
    while dt.datetime.now(dt.UTC) <= moment:
        time.sleep(0.05)


def both(arena: Arena, name: str) -> dict[Side, Stage]:
    """A repository on each server."""
    return {side: arena.stage(side, "plain", name) for side in SIDES}


def expect(stage: Stage, answer: Answer, reply: Reply) -> None:
    """Fail unless `reply` is `answer`, well-shaped if it is ours."""
    problem = answer.problem(reply)
    assert problem is None, f"{stage.side}: {problem}"
    if stage.side == "ours":
        assert shape_problem(reply) is None, shape_problem(reply)


@pytest.mark.differential
def test_root_certificate_expires(arena: Arena) -> None:
    """Flaws 16 and 37: after the date the old server takes nothing; ours takes a successor, and names the root."""
    stages = both(arena, "16-37")
    end = dt.datetime.now(dt.UTC) + SOON
    for stage in stages.values():
        left = end.replace(microsecond=0) - dt.datetime.now(dt.UTC).replace(microsecond=0)
        stage.established(root=root_key(stage.gun, not_after=left))
    until(end)
    for side, stage in stages.items():
        pub, sound = stage.pub, side == "ours"
        refused = BAD_ROOT if sound else Answer(400, "INVALID_UPDATE")
        expect(stage, refused, stage.publish({"targets": pub.targets(2)}))
        expired = pub.root_keys[0]
        pub.root_keys = [root_key(stage.gun)]
        expect(stage, refused, stage.publish({"root": pub.root(2)}))
        successor = pub.root(2, signers=[expired, *pub.root_keys])
        expect(stage, OK if sound else refused, stage.publish({"root": successor}))
        expect(stage, OK, stage.read("timestamp.json"))
    ours = stages["ours"]
    expect(ours, OK, ours.publish({"targets": ours.pub.targets(2)}))
    assert Verifier(ours.client, ours.gun).problems() == []


@pytest.mark.differential
def test_own_snapshot_expires(arena: Arena) -> None:
    """Flaw 28: the old server answers 500 for what the client must sign; ours serves what there is."""
    stages = both(arena, "28")
    end = dt.datetime.now(dt.UTC) + SOON
    for stage in stages.values():
        pub = stage.owner(snapshot=ecdsa_key())
        files = {"root": pub.root(), "targets": pub.targets()}
        expires = put("expires", f"{end:%Y-%m-%dT%H:%M:%S.%f}Z")
        stage.good({**files, "snapshot": pub.snapshot(files, edit=expires)})
    until(end)
    for side, stage in stages.items():
        for name in ("timestamp.json", "snapshot.json"):
            expect(stage, OK if side == "ours" else UNKNOWN, stage.read(name))
        files = {"root": stage.read("root.json").body, "targets": stage.pub.targets(2)}
        expect(
            stage, OK, stage.publish({"targets": files["targets"], "snapshot": stage.pub.snapshot(files, 2)})
        )
        assert Verifier(stage.client, stage.gun).problems() == []


def read_all(client: Callable[[], Client], gun: str, names: Sequence[str]) -> list[int]:
    """Read every name from twelve threads at once; the statuses."""
    ready = threading.Barrier(READERS)

    def reader(_: int) -> list[int]:
        mine = client()
        mine.get("/v2/")
        ready.wait(30)
        return [mine.role(gun, name).status for name in names]

    with ThreadPoolExecutor(READERS) as pool:
        return [status for statuses in pool.map(reader, range(READERS)) for status in statuses]


def large(stage: Stage) -> list[str]:
    """A repository of many delegations; the addresses of their files."""
    roles = [f"targets/r{number}" for number in range(FILES)]
    pub = stage.owner()
    files = {"root": pub.root(), "targets": pub.targets(delegates=roles)}
    stage.good(files | {role: pub.delegation(role) for role in roles})
    return [f"{role}.json" for role in roles]


@pytest.mark.differential
def test_parallel_readers(arena: Arena, ours: OurServers) -> None:
    """Flaw 29: parallel reads that miss its cache can kill the old server; ours answers all of them.

    The old server is left out: whether two writes to its unguarded cache meet within some seconds is luck.
    """
    stage = arena.stage("ours", "plain", "29")
    names = large(stage)
    url, ca_file = ours.stack.url, str(ours.stack.ca_file)
    statuses = read_all(lambda: Client(url, ca_file, keep_alive=True), stage.gun, names)
    assert statuses == [200] * (READERS * len(names))
    assert ours.stack.server.pid is not None


def race(client: Callable[[], Client], pub: Publisher, version: int) -> list[Reply]:
    """Two people publish the same version of targets at the same moment."""
    ready = threading.Barrier(2)
    files = [{"targets": pub.targets(version, targets={})}, {"targets": pub.targets(version)}]

    def publish(number: int) -> Reply:
        mine = client()
        ready.wait(30)
        return mine.publish(pub.gun, files[number])

    with ThreadPoolExecutor(2) as pool:
        return sorted(pool.map(publish, range(2)), key=lambda reply: reply.status)


@pytest.mark.differential
def test_two_publishers(arena: Arena, old: OldServers, ours: OurServers) -> None:
    """Flaw 30: of two publishers at once one wins; the old server may tell the other 500, ours says VERSION."""
    stage = arena.stage("ours", "plain", "30")
    stage.established()
    for version in range(2, 14):
        won, lost = race(lambda: Client(ours.stack.url, str(ours.stack.ca_file)), stage.pub, version)
        expect(stage, OK, won)
        expect(stage, VERSION, lost)
        assert lost.name == "ErrValidation", "clients do not show the loser what happened"
        assert Verifier(stage.client, stage.gun).problems() == []
    stage = arena.stage("old", "plain", "30")
    stage.established()
    deadline = time.monotonic() + 60
    version = 1
    while True:
        racer = old.reference.server("racer")
        version += 1
        replies = race(lambda s=racer: Client(s.url, s.ca_file), stage.pub, version)  # type: ignore[misc]
        if "UPDATING" in {reply.code for reply in replies}:
            return
        assert time.monotonic() < deadline, "the old server told every loser VERSION"
