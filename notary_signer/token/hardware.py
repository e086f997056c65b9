"""The PKCS#11 token behind the port: one thread, one connection, reconnecting with back-off."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar, get_args

from pkcs11.exceptions import PKCS11Error

from notary_common.wire import Algorithm
from notary_signer.errors import SignerError, StartRefused, TokenFault, TokenUnavailable
from notary_signer.ports import Keeping, KeyRecord, NewKey, PrivatePart

from .connection import MAX_HANDLES, Connection
from .module import find_module
from .pin import read_pin
from .problems import PinRefused, TokenProblem
from .worker import MAX_WAITING, Worker

CALL_DEADLINE: Final = 10.0
"""Seconds that one call may take, waiting included; a network token answers in milliseconds."""
START_DEADLINE: Final = 60.0
"""Seconds for opening and the self-test, which makes an RSA key."""
FIRST_PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 5.0
"""Seconds between attempts to reconnect: doubled from the first to the longest."""

Result = TypeVar("Result")


class HardwareToken:
    """Implements `ports.Token` and `ports.KekStore`. `open` it first, `close` it last."""

    def __init__(
        self,
        module: Path | None,
        label: str,
        pin_file: Path,
        *,
        on_event: Callable[[str], None],
        max_handles: int = MAX_HANDLES,
        max_waiting: int = MAX_WAITING,
        deadline: float = CALL_DEADLINE,
    ) -> None:
        """Nothing is opened yet.

        Args:
            module: the PKCS#11 library, None to find SoftHSM.
            label: the token's label.
            pin_file: read at every login, so that a changed PIN is picked up.
            on_event: told in a sentence when the token is lost or back.
            max_handles: unwrapped keys to keep.
            max_waiting: calls that may wait for the token.
            deadline: seconds for one call.
        """
        self._module = module
        self._label = label
        self._pin_file = pin_file
        self._on_event = on_event
        self._max_handles = max_handles
        self._deadline = deadline
        self._worker = Worker(max_waiting)
        # Below: touched by the owning thread alone.
        self._connection: Connection | None = None
        self._keeping: dict[Algorithm, Keeping] = {}
        self._refused: str | None = None
        self._retry_at = 0.0
        self._pause = FIRST_PAUSE

    async def open(self) -> dict[Algorithm, Keeping]:
        """Log in and prove every algorithm by a signature; how the keys of each will be kept.

        Raises:
            StartRefused: the token cannot be used as configured, or has none of the algorithms.
        """
        self._worker.start()
        try:
            return await self._worker.submit(self._start, START_DEADLINE)
        except (TokenProblem, SignerError) as error:
            raise StartRefused(str(error)) from None

    async def close(self) -> None:
        """Close the session and end the thread."""
        try:
            await self._worker.stop(self._disconnect, self._deadline)
        except TokenUnavailable:
            self._on_event("the token did not answer while closing")

    async def generate(self, algorithm: Algorithm, label: str) -> NewKey:
        """See `ports.Token.generate`."""
        return await self._call(lambda connection: connection.generate(algorithm, label))

    async def sign(self, key_id: str, algorithm: Algorithm, private: PrivatePart, payload: bytes) -> bytes:
        """See `ports.Token.sign`."""
        return await self._call(lambda connection: connection.sign(key_id, algorithm, private, payload))

    async def discard(self, key: NewKey) -> None:
        """See `ports.Token.discard`."""
        await self._call(lambda connection: connection.discard(key))

    async def destroy(self, key: KeyRecord) -> None:
        """See `ports.Token.destroy`."""
        await self._call(lambda connection: connection.destroy(key))

    async def keks(self) -> list[str]:
        """See `ports.KekStore.keks`."""
        return await self._call(Connection.keks)

    async def keywraps(self) -> dict[Algorithm, str]:
        """See `ports.KekStore.keywraps`."""
        return await self._call(Connection.keywraps)

    async def make_kek(self, label: str) -> None:
        """See `ports.KekStore.make_kek`."""
        await self._call(lambda connection: connection.make_kek(label))

    async def destroy_kek(self, label: str) -> None:
        """See `ports.KekStore.destroy_kek`."""
        await self._call(lambda connection: connection.destroy_kek(label))

    async def rewrap(self, key: KeyRecord, kek_label: str) -> PrivatePart:
        """See `ports.KekStore.rewrap`."""
        return await self._call(lambda connection: connection.rewrap(key, kek_label))

    async def ping(self) -> None:
        """See `ports.Token.ping`."""
        await self._call(Connection.probe)

    async def _call(self, use: Callable[[Connection], Result]) -> Result:
        return await self._worker.submit(lambda: self._attempt(use), self._deadline)

    # From here on: the owning thread alone.

    def _start(self) -> dict[Algorithm, Keeping]:
        connection = self._open_connection()
        try:
            for algorithm in get_args(Algorithm):
                connection.self_test(algorithm)
        except (PKCS11Error, ValueError) as error:
            connection.close()
            raise TokenProblem(f"the token failed its self-test ({type(error).__name__})") from None
        except TokenFault:
            connection.close()
            raise
        if not connection.keeping:
            connection.close()
            raise TokenProblem("the token makes none of the key types ecdsa, rsa and ed25519")
        self._keeping = dict(connection.keeping)
        self._connection = connection
        return self._keeping

    def _open_connection(self) -> Connection:
        return Connection.open(
            find_module(self._module), self._label, lambda: read_pin(self._pin_file), self._max_handles
        )

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _attempt(self, use: Callable[[Connection], Result]) -> Result:
        """One call, and a second one over a new connection if the old one turns out to be dead."""
        connection = self._connected()
        try:
            return use(connection)
        except (PKCS11Error, TokenFault, ValueError) as error:
            if self._alive(connection):
                raise self._fault(error) from None
        self._disconnect()
        self._on_event("the token's session was lost; connecting again")
        connection = self._connected()
        try:
            return use(connection)
        except (PKCS11Error, TokenFault, ValueError) as error:
            if self._alive(connection):
                raise self._fault(error) from None
            self._disconnect()
            self._back_off()
            raise TokenUnavailable("the token does not work") from None

    @staticmethod
    def _fault(error: Exception) -> TokenFault:
        if isinstance(error, TokenFault):
            return error
        return TokenFault(f"the token could not do this ({type(error).__name__})")

    @staticmethod
    def _alive(connection: Connection) -> bool:
        """Whether the token still works, which makes a failure the call's own."""
        try:
            connection.probe()
        except (PKCS11Error, TokenFault, ValueError):
            return False
        return True

    def _connected(self) -> Connection:
        if self._connection is not None:
            return self._connection
        if self._refused is not None:
            raise TokenUnavailable(self._refused)
        if time.monotonic() < self._retry_at:
            raise TokenUnavailable("the token is not there; the signer tries again shortly")
        try:
            connection = self._open_connection()
        except PinRefused as problem:
            # Final until a restart: a token locks itself after a few wrong PINs.
            self._refused = str(problem)
            self._on_event(self._refused)
            raise TokenUnavailable(self._refused) from None
        except TokenProblem as problem:
            self._back_off()
            self._on_event(str(problem))
            raise TokenUnavailable(str(problem)) from None
        connection.keeping.update(self._keeping)
        self._connection = connection
        self._pause = FIRST_PAUSE
        self._on_event("the token is connected again")
        return connection

    def _back_off(self) -> None:
        self._retry_at = time.monotonic() + self._pause
        self._pause = min(2 * self._pause, LONGEST_PAUSE)
