"""Keeps one connection to the token: uses it, finds out when it is dead, and connects again with growing pauses.

Runs in the token's process, on the thread that owns the module.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, TypeVar, get_args

from pkcs11 import exceptions
from pkcs11.exceptions import PKCS11Error

from notary_common.wire import Algorithm
from notary_signer.errors import TokenFault, TokenUnavailable

from .connection import Connection
from .objects import GONE
from .problems import PinRefused, TokenProblem
from .settings import Proof, TokenSettings
from .state import TokenState

FIRST_PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 5.0
"""Seconds between attempts to reconnect: doubled from the first to the longest."""

_FULL: Final = (exceptions.DeviceMemory, exceptions.HostMemory)
_PASSING: Final = (*_FULL, *GONE, exceptions.OperationActive)
"""What a token says that is busy or full, or was gone for a moment: worth a second try, and no fault of the key. A
general error is none of them: SoftHSM answers it to a wrapped key that is damaged."""

Result = TypeVar("Result")


class Keeper:
    """The token as far as it can be had just now."""

    def __init__(self, settings: TokenSettings, on_event: Callable[[TokenState, str], None]) -> None:
        """Nothing is opened yet.

        Args:
            settings: which token.
            on_event: told the new state, and in a sentence why, when the token is lost, refused or back.
        """
        self._settings = settings
        self._on_event = on_event
        self._told: tuple[TokenState, str] | None = None
        self._connection: Connection | None = None
        self._proven: dict[Algorithm, Proof] = {}
        self._retry_at = 0.0
        self._pause = FIRST_PAUSE

    @property
    def handles(self) -> int:
        """Keys that are ready in the session."""
        return 0 if self._connection is None else self._connection.handles

    def start(self, proven: dict[Algorithm, Proof] | None = None) -> dict[Algorithm, Proof]:
        """Log in and prove every algorithm by a signature; how the keys of each will be kept.

        Args:
            proven: what an earlier process found; then one signature is proof enough.

        Raises:
            TokenProblem: the token cannot be used as configured, or has none of the algorithms.
        """
        self._proven = dict(proven or {})
        connection = Connection.open(self._settings)
        try:
            connection.proven.update(self._proven)
            if self._proven:
                connection.probe()
            else:
                for algorithm in get_args(Algorithm):
                    connection.self_test(algorithm)
        except (PKCS11Error, ValueError) as error:
            connection.close()
            raise TokenProblem(f"the token failed its self-test ({type(error).__name__})") from None
        except TokenFault as error:
            connection.close()
            raise TokenProblem(error.message) from None
        if not connection.proven:
            connection.close()
            raise TokenProblem(
                "the token makes none of the key types ecdsa, rsa and ed25519, or can keep none as pkcs11.keys says: "
                "see notary-signer token check"
            )
        self._proven = dict(connection.proven)
        self._connection = connection
        return self._proven

    def close(self) -> None:
        """Give the session and the module back."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def attempt(self, use: Callable[[Connection], Result]) -> Result:
        """One call, and a second one over a new connection if the old one turns out to be dead.

        Raises:
            TokenUnavailable: the token cannot be used just now.
            TokenFault: it works, but could not do this.
        """
        connection = self._connected()
        try:
            return use(connection)
        except (PKCS11Error, TokenFault, ValueError) as error:
            if self._alive(connection):
                return self._once_more(connection, use, error)
        self.close()
        self._tell("lost", "the token's session was lost; connecting again")
        connection = self._connected()
        try:
            return use(connection)
        except (PKCS11Error, TokenFault, ValueError) as error:
            if self._alive(connection):
                raise _fault(error) from None
            self.close()
            self._back_off()
            self._tell("lost", "the token does not work; it is tried again")
            raise TokenUnavailable("the token does not work") from None

    def _once_more(
        self, connection: Connection, use: Callable[[Connection], Result], error: Exception
    ) -> Result:
        """The call again if the error may have been a passing one; the token has just proved that it works."""
        if not isinstance(error, _PASSING):
            raise _fault(error) from None
        try:
            if isinstance(error, _FULL):
                connection.make_room()
            return use(connection)
        except _PASSING as again:
            raise TokenUnavailable(f"the token is busy, full or gone ({type(again).__name__})") from None
        except (PKCS11Error, TokenFault, ValueError) as again:
            raise _fault(again) from None

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
        if time.monotonic() < self._retry_at:
            raise TokenUnavailable("the token is not there; the signer tries again shortly")
        try:
            connection = Connection.open(self._settings)
        except TokenProblem as problem:
            self._back_off()
            self._tell("refused" if isinstance(problem, PinRefused) else "lost", str(problem))
            raise TokenUnavailable(str(problem)) from None
        connection.proven.update(self._proven)
        self._connection = connection
        self._pause = FIRST_PAUSE
        self._tell("ready", "the token is connected again")
        return connection

    def _tell(self, state: TokenState, sentence: str) -> None:
        """Say it once, however often it is tried again."""
        if self._told != (state, sentence):
            self._told = (state, sentence)
            self._on_event(state, sentence)

    def _back_off(self) -> None:
        self._retry_at = time.monotonic() + self._pause
        self._pause = min(2 * self._pause, LONGEST_PAUSE)


def _fault(error: Exception) -> TokenFault:
    if isinstance(error, TokenFault):
        return error
    return TokenFault(f"the token could not do this ({type(error).__name__})")
