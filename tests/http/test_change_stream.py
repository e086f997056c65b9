"""The changefeed as server-sent events: every record once and in order, whoever comes, goes, lags behind or asks for nonsense."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notary_server.http import events
from notary_server.operations.change_stream import Streams
from notary_server.operations.changefeed import resumed_after

from .running import DEADLINE, Running
from .test_publishing import published

ALL = "/v2/_trust/changefeed"


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    """Looks often, and has room for three streams, two of them of one client."""
    with Running(streams=partial(Streams, 3, 2, interval=0.01)) as running:
        yield running


class Listener:
    """A client of a stream."""

    def __init__(self, server: Running, path: str = ALL, last: str = "") -> None:
        fields = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last} if last else {})
        self._asked = (server, path, fields)
        self.ask()

    def ask(self) -> None:
        """Once more."""
        server, path, fields = self._asked
        self._connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=DEADLINE)
        self._connection.request("GET", path, headers=fields)
        self.answer = self._connection.getresponse()

    def close(self) -> None:
        """Go away, and be forgotten."""
        if self._connection.sock is not None:
            self._connection.sock.shutdown(socket.SHUT_RDWR)
        self.answer.close()
        self._connection.close()

    def __enter__(self) -> Listener:
        end = time.monotonic() + DEADLINE
        while self.answer.status == 429 and time.monotonic() < end:
            # Those that went before are noticed within a second.
            self.close()
            time.sleep(0.05)
            self.ask()
        assert self.answer.status == 200, self.answer.read()
        assert self.answer.headers["Content-Type"] == "text/event-stream"
        assert self.answer.readline() + self.answer.readline() == events.OPENING
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def next(self) -> dict[str, Any]:
        """The next event; what only says that the server is there is passed over."""
        lines: dict[str, str] = {}
        while (line := self.answer.readline().decode()) != "\n" or not lines:
            assert line, "the stream has ended"
            name, _, value = line.rstrip("\n").partition(": ")
            if name not in {"", ":"}:
                lines[name] = value
        record: dict[str, Any] = json.loads(lines["data"])
        assert (record["ID"], record["Category"]) == (lines["id"], lines["event"])
        return record


def test_what_is_committed_is_told_in_order(server: Running) -> None:
    """From now on, if nothing else is said; the records are those of polling."""
    published(server, "stream/before")
    with Listener(server) as all_, Listener(server, "/v2/stream/b/_trust/changefeed") as one:
        for gun in ("stream/a", "stream/b", "stream/c"):
            published(server, gun)
        server.client.delete("stream/b")
        told = [all_.next() for _ in range(4)]
        assert [(record["GUN"], record["Category"]) for record in told] == [
            ("stream/a", "update"),
            ("stream/b", "update"),
            ("stream/c", "update"),
            ("stream/b", "deletion"),
        ]
        assert [one.next(), one.next()] == [told[1], told[3]]
    assert server.client.changes("stream/b").json["records"] == [told[1], told[3]]


def test_a_lost_stream_goes_on_where_it_was(server: Running) -> None:
    """By the field that clients send, which counts more than the address; from the beginning with `change_id=0`."""
    for number in range(5):
        published(server, f"resumed/{number}")
    with Listener(server, f"{ALL}?change_id=0") as listener:
        first = [listener.next() for _ in range(3)]
    with Listener(server, f"{ALL}?change_id=0", last=first[1]["ID"]) as listener:
        assert listener.next() == first[2]
        rest: list[dict[str, Any]] = []
        while not rest or rest[-1]["GUN"] != "resumed/4":
            rest.append(listener.next())
    numbers = [int(record["ID"]) for record in [*first, *rest]]
    assert numbers == sorted(set(numbers))


def test_there_is_room_for_so_many(server: Running) -> None:
    """A client that has its share is told so; one that went makes room."""
    with Listener(server), Listener(server):
        refused = Listener(server).answer
        assert refused.status == 429
        assert refused.headers["Retry-After"] == "5"
        assert "too many streams" in json.loads(refused.read())["errors"][0]["message"]
    with Listener(server):
        pass


@pytest.mark.parametrize(
    ("query", "last", "name"),
    [
        ("change_id=x", "", "change_id"),
        ("change_id=-1", "", "change_id"),
        ("", "1e3", "Last-Event-ID"),
        ("records=5", "", "records"),
    ],
)
def test_questions_that_make_no_sense(server: Running, query: str, last: str, name: str) -> None:
    """They are answered at once, and take no room."""
    answer = Listener(server, f"{ALL}?{query}", last).answer
    assert answer.status == 400
    assert name in json.loads(answer.read())["errors"][0]["detail"]


def test_polling_is_what_it_was(server: Running) -> None:
    """Whoever accepts anything, or text, polls."""
    for accept in ("*/*", "text/plain", "application/json, text/*"):
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=DEADLINE)
        connection.request("GET", f"{ALL}?records=1", headers={"Accept": accept})
        answer = connection.getresponse()
        assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
        assert json.loads(answer.read())["count"] == 1
        connection.close()


def test_a_stopping_server_ends_its_streams() -> None:
    """Cleanly: the last piece says that it is the last, and nobody waits for the end of time."""
    with Running(streams=partial(Streams, interval=0.01)) as running, Listener(running) as listener:
        running.stop()
        assert listener.answer.read() == b""


@given(st.lists(st.sampled_from(["text/html", "text/event-stream", "Text/Event-Stream;q=0.5", "*/*"])))
def test_who_names_events_gets_them(accepted: list[str]) -> None:
    """In any place of the field, in any spelling; a wildcard does not name them."""
    named = any(part.lower().startswith("text/event-stream") for part in accepted)
    assert events.wanted(", ".join(accepted)) == named


@given(st.integers(0, 2**63 - 1))
def test_the_last_event_counts(number: int) -> None:
    """What a browser sends by itself is newer than the address it began with."""
    assert resumed_after({"change_id": "7"}, str(number)) == number
    assert resumed_after({"change_id": str(number)}, "") == number
    assert resumed_after({}, "") is None
