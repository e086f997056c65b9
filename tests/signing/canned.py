"""A signer that answers as a test tells it to: for what a real one cannot be brought to do at a chosen moment."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

import msgspec

from notary_common import wire
from notary_server.metrics import Metrics
from notary_server.signing.remote_signer import HttpSigner
from notary_server.signing.transport import Endpoint
from notary_server.tuf.model import HeldKey
from notary_server.tuf.names import TIMESTAMP, Gun
from notary_signer import encoding

Behaviour = Literal["good", "closed", "silent", "garbage"] | tuple[int, str]
"""How calls are answered: well; by hanging up; not at all; with what is no HTTP; or with a status and an error code."""

_PUBLIC = b"\x30\x59 any key"
KEY = encoding.key_id("ecdsa", _PUBLIC)


class Canned:
    """One signer. It makes the same key for everybody, and holds no other.

    Attributes:
        asked: the paths of all calls but those for health, in order.
        probed: how many calls for health there were.
        connections: how many there were.
    """

    def __init__(self, behaviour: Behaviour = "good") -> None:
        self.behaviour: Behaviour = behaviour
        self.asked: list[str] = []
        self.probed = 0
        self.connections = 0
        self.release = asyncio.Event()
        self.release.set()
        self.port = 0
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def name(self) -> str:
        """What the server's logs and metrics call it."""
        return f"127.0.0.1:{self.port}"

    @property
    def endpoint(self) -> Endpoint:
        """Where it is."""
        return Endpoint(f"http://{self.name}", lambda: None)

    async def listen(self) -> None:
        """Begin, or begin again on the same port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Refuse connections, and end those that are open."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while await self._answer(reader, writer):
                pass
        writer.close()
        self._writers.discard(writer)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        path = head.split(b" ", 2)[1].decode()
        body = await reader.readexactly(int(re.findall(rb"Content-Length: ([0-9]+)", head)[0]))
        if path == "/v1/health":
            self.probed += 1
        else:
            self.asked.append(path)
        await self.release.wait()
        match self.behaviour:
            case "closed":
                return False
            case "silent":
                await asyncio.sleep(60)
            case "garbage":
                writer.write(b"SSH-2.0-OpenSSH_9.9\r\n\r\n")
            case "good":
                writer.write(_reply(200, msgspec.json.encode(_success(path, body))))
            case (status, code):
                error = {"error": {"code": code, "message": "so it is"}}
                writer.write(_reply(status, msgspec.json.encode(error)))
        await writer.drain()
        return True


def _success(path: str, body: bytes) -> msgspec.Struct:
    if path == "/v1/health":
        return wire.Health(ready=True, problems={})
    if path == "/v1/keys/describe":
        return wire.DescribeResponse(keys=[])
    if path.endswith("/sign"):
        return wire.SignResponse(path.split("/")[3], "ecdsa", b"signature")
    if path.endswith("/retire"):
        return wire.Key(KEY, "ecdsa", _PUBLIC, "gun", "timestamp", "retired", 0)
    return wire.Key(KEY, "ecdsa", _PUBLIC, msgspec.json.decode(body)["gun"], "timestamp", "pending", 0)


def _reply(status: int, body: bytes) -> bytes:
    later = "Retry-After: 77\r\n" if status == 429 else ""
    return (
        f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n{later}Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body


class Side:
    """The server's side of several canned signers."""

    def __init__(self, signers: list[Canned], timeout: float) -> None:
        self.signers = signers
        self.metrics = Metrics()
        self.client = HttpSigner([signer.endpoint for signer in signers], timeout, self.metrics.signers)

    def metric(self, name: str, signer: Canned, **labels: str) -> float:
        """The value of a sample about one signer; 0 if there is none."""
        wanted = {"signer": signer.name, **labels}
        for line in self.metrics.exposition().decode().splitlines():
            found = re.fullmatch(rf"notary_server_signer_{name}\{{(.*)\}} (\S+)", line)
            if found is not None and dict(re.findall(r'(\w+)="([^"]*)"', found[1])) == wanted:
                return float(found[2])
        return 0.0

    def is_open(self, signer: Canned) -> bool:
        """Whether its circuit is."""
        return self.metric("circuit_open", signer) == 1

    async def create(self, gun: str) -> HeldKey:
        """One call, of an operation that every signer answers from the registry or the token."""
        return await self.client.create_key(Gun(gun), TIMESTAMP, "ecdsa")

    async def home(self, signer: Canned) -> str:
        """The name of a repository whose calls go to this signer first while all is well."""
        for number in range(200):
            before = len(signer.asked)
            await self.create(f"gun{number}")
            if len(signer.asked) > before:
                return f"gun{number}"
        raise AssertionError("no repository's calls go there first")


@asynccontextmanager
async def canned(number: int, seconds: float = 4.0) -> AsyncIterator[Side]:
    """So many good signers, and who asks them, with so many seconds for a call."""
    signers = [Canned() for _ in range(number)]
    for signer in signers:
        await signer.listen()
    side = Side(signers, seconds)
    try:
        yield side
    finally:
        await side.client.close()
        for signer in signers:
            await signer.stop()
