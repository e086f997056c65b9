"""The PKCS#11 token behind the port: asked in a process of its own, which is replaced when it hangs or dies."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, Literal, cast

from notary_common import tracing
from notary_common.wire import Algorithm
from notary_signer.errors import StartRefused, TokenFault, TokenUnavailable
from notary_signer.ports import Keeping, KeyRecord, NewKey, PrivatePart

from . import messages
from .child import Child
from .problems import PinRefused, TokenProblem
from .settings import Proof, TokenSettings
from .state import TokenState

MAX_WAITING: Final = 512
"""Calls that may wait for the token; at a millisecond each that is half a second."""
CALL_DEADLINE: Final = 10.0
"""Seconds that one call may take, waiting included; a network token answers in milliseconds."""
START_DEADLINE: Final = 60.0
"""Seconds for opening and the self-test, which makes an RSA key."""
BUSY_AFTER: Final = 2.0
"""Seconds after which one call that runs makes the token `busy`, so that health says so before it counts as hung."""
FIRST_PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 5.0
"""Seconds before the process is started again: doubled from the first to the longest."""

OnCall = Callable[[str, Literal["done", "fault", "unavailable"], float], None]
"""Told of a call: the operation's name, how it ended, seconds."""


class HardwareToken:
    """Implements `ports.Token` and `ports.KekStore`. `open` it first, `close` it last."""

    def __init__(
        self,
        settings: TokenSettings,
        *,
        on_event: Callable[[str], None],
        on_call: OnCall = lambda *_: None,
        max_waiting: int = MAX_WAITING,
        deadline: float = CALL_DEADLINE,
    ) -> None:
        """Nothing is opened yet.

        Args:
            settings: which token, and how it is used.
            on_event: told in a sentence when the token is lost, hangs, refuses the PIN, or is back.
            on_call: told of every call when it has ended.
            max_waiting: calls that may wait for the token.
            deadline: seconds for one call; one that runs for so long hangs, and its process is ended.
        """
        self._settings = settings
        self._on_event = on_event
        self._on_call = on_call
        self._max_waiting = max_waiting
        self._deadline = deadline
        self._child: Child | None = None
        self._proven: dict[Algorithm, Proof] = {}
        self._state: TokenState = "starting"
        self._why = "the token has not been opened yet"
        self._reviving: asyncio.Task[None] | None = None

    @property
    def state(self) -> TokenState:
        """What the token is doing, in a word."""
        if self._state != "ready" or self._child is None:
            return self._state
        full = self._child.load >= self._max_waiting
        return "busy" if full or self._child.busy_for > BUSY_AFTER else "ready"

    @property
    def sessions(self) -> int:
        """Sessions that are open: one, or none."""
        return 1 if self._state == "ready" else 0

    @property
    def load(self) -> int:
        """Calls that are not answered yet."""
        return 0 if self._child is None else self._child.load

    @property
    def handles(self) -> int:
        """Keys that are ready in the session."""
        return 0 if self._child is None else self._child.handles

    async def open(self) -> dict[Algorithm, Keeping]:
        """Log in and prove every algorithm by a signature; how the keys of each will be kept.

        Raises:
            StartRefused: the token cannot be used as configured, or has none of the algorithms.
        """
        child = self._made()
        try:
            self._proven = await self._start(child, START_DEADLINE)
        except (TokenProblem, TokenUnavailable, OSError) as error:
            child.kill("the token could not be opened")
            await child.reap(self._deadline)
            self._state = "refused" if isinstance(error, PinRefused) else "lost"
            raise StartRefused(
                f"the token's process: {error.strerror}" if isinstance(error, OSError) else str(error)
            ) from None
        except BaseException:
            child.kill("the token could not be opened")
            raise
        self._child, self._state = child, "ready"
        return {algorithm: proof.keeping for algorithm, proof in self._proven.items()}

    def _made(self) -> Child:
        return Child(self._told, self._hung, self._gone)

    async def _start(self, child: Child, limit: float) -> dict[Algorithm, Proof]:
        await child.start()
        found: dict[Algorithm, Proof] = await child.ask(messages.Start(self._settings, self._proven), limit)
        return found

    async def close(self) -> None:
        """Let the calls that wait finish, close the session and end the process."""
        if self._state == "closed":
            return
        if self._reviving is not None:
            self._reviving.cancel()
            with suppress(asyncio.CancelledError):
                await self._reviving
        child, self._child = self._child, None
        self._state, self._why = "closed", "the signer is shutting down"
        if child is None:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(self._deadline):
                await child.drained()
        if not await child.finish(self._deadline):
            self._on_event("the token did not answer while closing")

    async def generate(self, algorithm: Algorithm, label: str, kek_label: str | None = None) -> NewKey:
        """See `ports.Token.generate`."""
        made: NewKey = await self._call(messages.Generate(algorithm, label, kek_label))
        return made

    async def sign(self, key_id: str, algorithm: Algorithm, private: PrivatePart, payload: bytes) -> bytes:
        """See `ports.Token.sign`."""
        signature: bytes = await self._call(messages.Sign(key_id, algorithm, private, payload))
        return signature

    async def discard(self, key: NewKey) -> None:
        """See `ports.Token.discard`."""
        await self._call(messages.Discard(key))

    async def destroy(self, key: KeyRecord) -> None:
        """See `ports.Token.destroy`."""
        await self._call(messages.Destroy(key))

    async def keks(self) -> list[str]:
        """See `ports.KekStore.keks`."""
        return cast("list[str]", await self._call(messages.Keks()))

    async def keywraps(self) -> dict[Algorithm, str]:
        """See `ports.KekStore.keywraps`."""
        return cast("dict[Algorithm, str]", await self._call(messages.Keywraps()))

    async def make_kek(self, label: str) -> None:
        """See `ports.KekStore.make_kek`."""
        await self._call(messages.MakeKek(label))

    async def destroy_kek(self, label: str) -> None:
        """See `ports.KekStore.destroy_kek`."""
        await self._call(messages.DestroyKek(label))

    async def rewrap(self, key: KeyRecord, kek_label: str) -> PrivatePart:
        """See `ports.KekStore.rewrap`."""
        return cast(PrivatePart, await self._call(messages.Rewrap(key, kek_label)))

    async def import_key(self, algorithm: Algorithm, private: bytes, public: bytes, label: str) -> NewKey:
        """See `takeover.import_keys.ImportingToken.import_key`."""
        taken: NewKey = await self._call(messages.Import(algorithm, private, public, label))
        return taken

    async def export_key(self, key: KeyRecord) -> bytes:
        """See `takeover.export_keys.ExportingToken.export_key`."""
        exported: bytes = await self._call(messages.Export(key.algorithm, key.private))
        return exported

    async def ping(self) -> None:
        """See `ports.Token.ping`. Does not wait behind a call that takes long."""
        if self._child is not None and self._child.busy_for > BUSY_AFTER:
            raise TokenUnavailable(f"the token has been at one call for {self._child.busy_for:.0f} seconds")
        await self._call(messages.Ping())

    async def _call(self, question: messages.Question) -> Any:
        begun = time.monotonic()
        outcome: Literal["done", "fault", "unavailable"] = "unavailable"
        name = str(question.__struct_config__.tag)
        try:
            with tracing.span(f"token {name}"):
                answer = await self._answer(question)
            outcome = "done"
            return answer
        except TokenFault:
            outcome = "fault"
            raise
        finally:
            self._on_call(name, outcome, time.monotonic() - begun)

    async def _answer(self, question: messages.Question) -> Any:
        child = self._child
        if child is None:
            raise TokenUnavailable(self._why)
        if child.load >= self._max_waiting:
            raise TokenUnavailable("too many calls wait for the token")
        try:
            async with asyncio.timeout(self._deadline):
                return await child.ask(question, self._deadline)
        except TimeoutError:
            raise TokenUnavailable(f"the token did not answer within {self._deadline:g} seconds") from None

    # What the process does unasked.

    def _told(self, state: TokenState, sentence: str) -> None:
        if self._state != "closed" and state != "starting":
            self._state = state
        self._on_event(sentence)

    def _hung(self, child: Child) -> None:
        child.kill("a call of the token did not return, and its process was ended")
        if child is self._child:
            self._lose(
                child,
                "hung",
                "a call of the PKCS#11 module did not return: its process was ended, another is started",
            )

    def _gone(self, child: Child) -> None:
        if child is self._child:
            self._lose(child, "lost", "the token's process ended unexpectedly; another is started")

    def _lose(self, child: Child, state: TokenState, sentence: str) -> None:
        self._child = None
        self._state, self._why = state, sentence
        self._on_event(sentence)
        self._reviving = asyncio.get_running_loop().create_task(self._revive(child))

    async def _revive(self, child: Child) -> None:
        """Start processes until one opens the token, or lives to say why it cannot; it tries again by itself.

        `child`: the one that is dead.
        """
        pause = FIRST_PAUSE
        while True:
            await child.reap(pause)
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
            child = self._made()
            try:
                await self._start(child, self._deadline)
            except TokenProblem as problem:
                self._child = child
                self._told("refused" if isinstance(problem, PinRefused) else "lost", str(problem))
                return
            except (TokenUnavailable, OSError):
                child.kill("the token could not be opened")
                continue
            except BaseException:
                child.kill("the signer is shutting down")
                raise
            self._child = child
            self._told("ready", "the token is connected again")
            return
