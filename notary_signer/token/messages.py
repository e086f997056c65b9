"""What the signer and the token's process say to each other over a socket pair: MessagePack after its length.

Questions are answered one by one in their order. Tables of questions are closed: the process can do what stands
here and nothing else, whatever it is sent.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

import msgspec

from notary_common.wire import Algorithm
from notary_signer.ports import KeyRecord, NewKey, PrivatePart

from .settings import Proof, TokenSettings
from .state import TokenState

if TYPE_CHECKING:
    from .connection import Connection

LENGTH: Final = struct.Struct("<I")
MAX_FRAME: Final = 1 << 29
"""Twice the largest payload that a client may send; more is no message of ours."""


class Start(msgspec.Struct, frozen=True, tag="start"):
    """The first question: open the token. `proven`: what an earlier process found, which need not be found again."""

    answer: ClassVar[Any] = dict[Algorithm, Proof]
    settings: TokenSettings
    proven: dict[Algorithm, Proof] = {}


class Generate(msgspec.Struct, frozen=True, tag="generate"):
    """See `ports.Token.generate`."""

    answer: ClassVar[Any] = NewKey
    algorithm: Algorithm
    label: str
    kek_label: str | None = None

    def run(self, connection: Connection) -> NewKey:
        """Carried out in the token's process."""
        return connection.generate(self.algorithm, self.label, self.kek_label)


class Sign(msgspec.Struct, frozen=True, tag="sign"):
    """See `ports.Token.sign`."""

    answer: ClassVar[Any] = bytes
    key_id: str
    algorithm: Algorithm
    private: PrivatePart
    payload: bytes

    def run(self, connection: Connection) -> bytes:
        """Carried out in the token's process."""
        return connection.sign(self.key_id, self.algorithm, self.private, self.payload)


class Discard(msgspec.Struct, frozen=True, tag="discard"):
    """See `ports.Token.discard`."""

    answer: ClassVar[Any] = None
    key: NewKey

    def run(self, connection: Connection) -> None:
        """Carried out in the token's process."""
        connection.discard(self.key)


class Import(msgspec.Struct, frozen=True, tag="import"):
    """See `takeover.import_keys.ImportingToken.import_key`."""

    answer: ClassVar[Any] = NewKey
    algorithm: Algorithm
    private: bytes
    public: bytes
    label: str

    def run(self, connection: Connection) -> NewKey:
        """Carried out in the token's process."""
        return connection.import_key(self.algorithm, self.private, self.public, self.label)

    def __repr__(self) -> str:
        return f"Import({self.algorithm!r}, {self.label!r})"


class Export(msgspec.Struct, frozen=True, tag="export"):
    """See `takeover.export_keys.ExportingToken.export_key`."""

    answer: ClassVar[Any] = bytes
    algorithm: Algorithm
    private: PrivatePart

    def run(self, connection: Connection) -> bytes:
        """Carried out in the token's process."""
        return connection.export_key(self.algorithm, self.private)


class Ping(msgspec.Struct, frozen=True, tag="ping"):
    """See `ports.Token.ping`."""

    answer: ClassVar[Any] = None

    def run(self, connection: Connection) -> None:
        """Carried out in the token's process."""
        connection.probe()


class Destroy(msgspec.Struct, frozen=True, tag="destroy"):
    """See `ports.Token.destroy`."""

    answer: ClassVar[Any] = None
    key: KeyRecord

    def run(self, connection: Connection) -> None:
        """Carried out in the token's process."""
        connection.destroy(self.key)


class Keks(msgspec.Struct, frozen=True, tag="keks"):
    """See `ports.KekStore.keks`."""

    answer: ClassVar[Any] = list[str]

    def run(self, connection: Connection) -> list[str]:
        """Carried out in the token's process."""
        return connection.keks()


class Keywraps(msgspec.Struct, frozen=True, tag="keywraps"):
    """See `ports.KekStore.keywraps`."""

    answer: ClassVar[Any] = dict[Algorithm, str]

    def run(self, connection: Connection) -> dict[Algorithm, str]:
        """Carried out in the token's process."""
        return connection.keywraps()


class MakeKek(msgspec.Struct, frozen=True, tag="make_kek"):
    """See `ports.KekStore.make_kek`."""

    answer: ClassVar[Any] = None
    label: str

    def run(self, connection: Connection) -> None:
        """Carried out in the token's process."""
        connection.make_kek(self.label)


class DestroyKek(msgspec.Struct, frozen=True, tag="destroy_kek"):
    """See `ports.KekStore.destroy_kek`."""

    answer: ClassVar[Any] = None
    label: str

    def run(self, connection: Connection) -> None:
        """Carried out in the token's process."""
        connection.destroy_kek(self.label)


class Rewrap(msgspec.Struct, frozen=True, tag="rewrap"):
    """See `ports.KekStore.rewrap`."""

    answer: ClassVar[Any] = PrivatePart
    key: KeyRecord
    kek_label: str

    def run(self, connection: Connection) -> PrivatePart:
        """Carried out in the token's process."""
        return connection.rewrap(self.key, self.kek_label)


Question = (
    Generate
    | Sign
    | Discard
    | Ping
    | Destroy
    | Keks
    | Keywraps
    | MakeKek
    | DestroyKek
    | Rewrap
    | Import
    | Export
)


class Done(msgspec.Struct, frozen=True, tag="done"):
    """The answer, and how many keys are ready in the session."""

    value: msgspec.Raw
    handles: int


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """Why there is none: the token's fault, the token cannot be had just now, or it cannot be started at all."""

    kind: Literal["fault", "unavailable", "problem"]
    message: str
    state: TokenState | None = None


class Told(msgspec.Struct, frozen=True, tag="told"):
    """Not an answer: the token was lost, refused the PIN, or is back."""

    state: TokenState
    message: str


class Up(msgspec.Struct, frozen=True, tag="up"):
    """The first thing the process says: it runs, and only now its first question counts as begun."""


Reply = Done | Failed | Told | Up


def frame(message: msgspec.Struct) -> bytes:
    """The message as it goes over the socket."""
    body = msgspec.msgpack.encode(message)
    return LENGTH.pack(len(body)) + body


class Frames:
    """Cuts what arrives into messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def take(self, data: bytes) -> list[bytes]:
        """The messages that are complete with `data`.

        Raises:
            ValueError: what arrives is no message.
        """
        buffer = self._buffer
        buffer += data
        messages = []
        start = 0
        while len(buffer) - start >= LENGTH.size:
            (length,) = LENGTH.unpack_from(buffer, start)
            if length > MAX_FRAME:
                raise ValueError("a message of that length cannot be")
            end = start + LENGTH.size + length
            if len(buffer) < end:
                break
            messages.append(bytes(buffer[start + LENGTH.size : end]))
            start = end
        del buffer[:start]
        return messages
