"""Publishers, readers and an owner who deletes, through two servers, while PostgreSQL is killed: what each was told fits one order."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from base64 import b64decode
from collections.abc import Callable, Iterable
from functools import partial

import pytest

from tests.publisher import Client, Reply
from tests.support.linearizable import NEVER, Call, contradiction
from tests.support.stack import Daemon

from .repository import Repository
from .rig import Rig, eventually

pytestmark = pytest.mark.faults

Served = tuple[int, str] | None
"""The model: version and digest of the targets file that is served, None while there is no repository."""

PUBLISHERS = 3
KILLS = 2
MEANWHILE = 12
"""Acknowledged publishes between two kills."""
PAUSE = 0.2
"""Seconds, after a call that was not answered."""


class _Told:
    """All calls with their times and answers; safe for threads."""

    def __init__(self) -> None:
        self.calls: list[Call[Served]] = []
        self.acknowledged = 0
        self.unexpected: list[str] = []
        self._lock = threading.Lock()

    def note(
        self,
        text: str,
        ask: Callable[[], Reply],
        after: Callable[[Reply, Served], Iterable[Served]],
    ) -> Reply:
        """Ask, and remember what was answered. 503 and a lost connection leave open what a write did; a read did nothing."""
        began = time.monotonic()
        reply = ask()
        ended = NEVER if reply.status in {0, 503} else time.monotonic()
        if ended == NEVER:
            # Those who go on asking while nobody answers would only add calls of which nothing is known.
            time.sleep(PAUSE)
        with self._lock:
            if ended != NEVER or text != "read":
                self.calls.append(Call(began, ended, partial(after, reply), f"{text}: {reply.status}"))
            if reply.status == 200 and text.startswith("publish"):
                self.acknowledged += 1
            if reply.status not in {0, 200, 400, 404, 503}:
                self.unexpected.append(str(reply))
        return reply


def _published(number: int, digest: str, reply: Reply, served: Served) -> Iterable[Served]:
    fits = number == 1 if served is None else number > served[0]
    after: Served = (number, digest)
    if reply.status == 200:
        return [after] if fits else []
    if reply.status == 400:
        return [served] if not fits or b"busy" in reply.body else []
    return [after] if fits else []


def _read(reply: Reply, served: Served) -> Iterable[Served]:
    if reply.status == 200:
        digest = hashlib.sha256(reply.body).hexdigest()
        return [served] if served is not None and served[1] == digest else []
    return [served] if reply.status == 404 and served is None else []


def _deleted(reply: Reply, served: Served) -> Iterable[Served]:
    return [None]


def _publisher(told: _Told, repository: Repository, name: str, client: Client, stop: threading.Event) -> None:
    for turn in range(1000):
        if stop.is_set():
            return
        read = told.note("read", partial(client.role, repository.gun, "targets.json"), _read)
        if read.status not in {200, 404}:
            continue
        number = 1 if read.status == 404 else read.json["signed"]["version"] + 1
        files = repository.files(number, f" by {name} {turn}")
        digest = hashlib.sha256(files["targets"]).hexdigest()
        told.note(
            f"publish {number} {digest[:6]}",
            partial(client.publish, repository.gun, files),
            partial(_published, number, digest),
        )


def _reader(told: _Told, gun: str, client: Client, stop: threading.Event) -> None:
    while not stop.wait(0.02):
        told.note("read", partial(client.role, gun, "targets.json"), _read)


def test_what_everybody_was_told_fits_one_order(rig: Rig, second_server: tuple[Daemon, Client]) -> None:
    """Neither server is restarted; every 200 is kept, no read is stale, deletions included."""
    clients = [rig.client, second_server[1]]
    repository = rig.repository(publishes=0)
    told, stop = _Told(), threading.Event()
    threads = [
        threading.Thread(
            target=_publisher, args=(told, repository, str(one), clients[one % 2], stop), daemon=True
        )
        for one in range(PUBLISHERS)
    ]
    threads += [
        threading.Thread(target=_reader, args=(told, repository.gun, client, stop), daemon=True)
        for client in clients
    ]
    for thread in threads:
        thread.start()
    try:
        for _ in range(KILLS):
            wanted = told.acknowledged + MEANWHILE
            eventually(partial(_reached, told, wanted), "publishes are acknowledged")
            told.note("delete", partial(clients[0].delete, repository.gun), _deleted)
            rig.kill("postgres")
            rig.revive()
        eventually(partial(_reached, told, told.acknowledged + MEANWHILE), "publishing goes on")
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)
    assert told.unexpected == []
    for client in clients:
        told.note("read", partial(client.role, repository.gun, "targets.json"), _read)
    assert contradiction(None, told.calls) is None
    assert rig.tables.torn(*rig.tables.look(repository.gun)) == []


def _reached(told: _Told, wanted: int) -> bool:
    return told.acknowledged >= wanted or bool(told.unexpected)


def test_plain_names_always_fit_together(rig: Rig, second_server: tuple[Daemon, Client]) -> None:
    """Timestamp, snapshot, targets and root are fetched one after another while others publish.

    What a file lists can be fetched by its digest; and where no publish came in between, the plain name gives it too.
    """
    writer, reader = rig.client, second_server[1]
    repository = rig.repository(publishes=1)
    stop = threading.Event()
    published = 1

    def publish() -> None:
        nonlocal published
        while not stop.is_set():
            assert repository.publish(published + 1).status == 200
            published += 1

    thread = threading.Thread(target=publish, daemon=True)
    thread.start()
    still = walks = 0
    try:
        while (still < 5 or walks < 60) and walks < 600:
            walks += 1
            listed: dict[str, str] = {}
            same = True
            first = reader.role(repository.gun, "timestamp.json").body
            files = {"timestamp": first}
            for role, by in (("snapshot", "timestamp"), ("targets", "snapshot"), ("root", "snapshot")):
                meta = json.loads(files[by])["signed"]["meta"][role]
                listed[role] = b64decode(meta["hashes"]["sha256"]).hex()
                plain = reader.role(repository.gun, f"{role}.json").body
                same = same and hashlib.sha256(plain).hexdigest() == listed[role]
                files[role] = reader.role(repository.gun, f"{role}.{listed[role]}.json").body
                assert hashlib.sha256(files[role]).hexdigest() == listed[role]
            if reader.role(repository.gun, "timestamp.json").body == first:
                still += 1
                assert same, "nothing was published in between, and yet the files do not fit"
    finally:
        stop.set()
        thread.join(60)
    assert still >= 5
    assert published > 5
    assert writer.role(repository.gun, "targets.json").json["signed"]["version"] == published
