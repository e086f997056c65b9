"""A real server over a real in-memory database and local keys, on a port of its own, in a thread of its own."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TypeVar

import sqlalchemy as sa
import uvloop

from notary_common.bind import bind
from notary_common.database import open_database, parse_url
from notary_common.database.query import Query
from notary_common.health import Health
from notary_common.migrate import upgrade_open
from notary_server.auth.access import AccessController, Everybody
from notary_server.http.audit import AuditLog
from notary_server.http.call import Services, Settings
from notary_server.http.rate import Rates
from notary_server.http.server import HttpServer
from notary_server.metrics import Metrics
from notary_server.operations.change_stream import Streams
from notary_server.operations.context import Context
from notary_server.ports import MetadataStore, RemoteSigner
from notary_server.signing.local_signer import LocalSigner
from notary_server.storage.sql_store import SqlStore
from notary_server.tuf.parse import DEFAULT_LIMITS, Limits
from tests.publisher import Client

_T = TypeVar("_T")
DEADLINE = 20.0


@dataclass
class SettableClock:
    """The time, moved forward by a test."""

    ahead_ns: int = 0

    def now_ns(self) -> int:
        """The real time plus what the test wants."""
        return time.time_ns() + self.ahead_ns

    def forward(self, days: float) -> None:
        """Let so many days go by."""
        self.ahead_ns += int(days * 86_400 * 1_000_000_000)


@dataclass
class Running:
    """The server while it runs."""

    settings: Settings = field(default_factory=Settings)
    wrap_store: Callable[[MetadataStore], MetadataStore] = lambda store: store
    wrap_signer: Callable[[RemoteSigner], RemoteSigner] = lambda signer: signer
    max_changes: int = 1000
    rates: Rates = field(default_factory=Rates)
    audit: AuditLog = field(default_factory=AuditLog)
    access: AccessController = field(default_factory=Everybody)
    limits: Limits = DEFAULT_LIMITS
    tls: Callable[[], ssl.SSLContext] | None = None
    streams: Callable[[], Streams] = Streams

    def __post_init__(self) -> None:
        self.clock = SettableClock()
        self.port = 0
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: uvloop.run(self._run()), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(DEADLINE), "the server did not start"
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self, seconds: float = 5.0) -> None:
        """Stop as SIGTERM does; returns when it has."""
        if self._thread.is_alive():
            self.seconds = seconds
            self.loop.call_soon_threadsafe(self._stopped.set)
            self._thread.join(DEADLINE)
        assert not self._thread.is_alive(), "the server did not stop"

    async def _run(self) -> None:
        self.loop, self._stopped = asyncio.get_running_loop(), asyncio.Event()
        self.database = database = open_database(parse_url("memory", "", Path()))
        await upgrade_open(database, "server", lambda _: None)
        self.store = SqlStore(database)
        self.context = Context(
            self.wrap_store(self.store),
            self.wrap_signer(LocalSigner()),
            self.clock,
            "ed25519",
            limits=self.limits,
            max_changes=self.max_changes,
        )
        self.services = Services(
            self.context,
            self.settings,
            Metrics(),
            Health(),
            self.access,
            self.rates,
            self.audit,
            self.streams(),
        )
        self.server = server = HttpServer(self.services)
        listeners = bind("127.0.0.1", 0)
        self.port = listeners[0].getsockname()[1]
        await server.start(listeners, self.tls)
        self._ready.set()
        await self._stopped.wait()
        await server.stop(self.seconds)
        await self.store.close()

    def call(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Run a coroutine in the server's loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(DEADLINE)

    def tamper(self, statement: str, **values: object) -> None:
        """Change stored rows behind the server's back, as only a holder of the database can."""

        async def run() -> None:
            async with self.database.transaction() as session:
                await session.run(Query(lambda _: sa.text(statement)), **values)

        self.call(run())

    @property
    def client(self) -> Client:
        """A client for it."""
        return Client(f"http://127.0.0.1:{self.port}")

    def connect(self) -> socket.socket:
        """A bare connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=DEADLINE)

    def raw(self, request: bytes) -> RawReply:
        """Send these bytes and read until the server closes."""
        with self.connect() as connection:
            connection.sendall(request)
            return RawReply(read_all(connection))

    def ask(self, method: str, target: str, *fields: str, body: bytes = b"") -> RawReply:
        """Send a request with this very target, and have the connection closed after it."""
        lines = [f"{method} {target} HTTP/1.1", "Host: localhost", "Connection: close", *fields]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        return self.raw("\r\n".join([*lines, "", ""]).encode() + body)


def read_all(connection: socket.socket) -> bytes:
    """Everything until the other side closes."""
    return b"".join(iter(lambda: connection.recv(65536), b""))


@dataclass(frozen=True)
class RawReply:
    """An answer byte for byte."""

    data: bytes

    @property
    def status(self) -> int:
        """Its status; 0 if there was no answer."""
        return int(self.data.split(b" ", 2)[1]) if self.data else 0

    @property
    def fields(self) -> dict[str, str]:
        """Its header, by lower-case name."""
        lines = self.data.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
        return {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}

    @property
    def body(self) -> bytes:
        """Its body."""
        return self.data.partition(b"\r\n\r\n")[2]
