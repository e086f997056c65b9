"""The token's process, seen from the signer: started, asked, watched, ended."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, cast, get_args

import msgspec

from notary_signer.errors import TokenFault, TokenUnavailable

from . import messages
from .problems import PinRefused, TokenProblem
from .state import TokenState

IN_THE_PIPE: Final = 4
"""Questions that the process has: the one that it works on, and a few more, so that it never waits for the signer.
More could not be taken back when their callers gave up."""

UP_DEADLINE: Final = 60.0
"""Seconds for Python to start, which takes a fifth of one on a machine that has nothing else to do."""

_replies: Final = msgspec.msgpack.Decoder(messages.Reply)
_values: Final = {
    question: msgspec.msgpack.Decoder(question.answer)
    for question in (messages.Start, *get_args(messages.Question))
}


@dataclass(slots=True)
class _Asked:
    question: messages.Start | messages.Question
    answer: asyncio.Future[Any]
    limit: float


class Child(asyncio.Protocol):
    """One process that owns the module. Asked on the event loop alone."""

    def __init__(
        self,
        on_told: Callable[[TokenState, str], None],
        on_hung: Callable[[Child], None],
        on_gone: Callable[[Child], None],
    ) -> None:
        """Nothing is started yet.

        Args:
            on_told: what the process says unasked.
            on_hung: a question was not answered within its limit; `kill` is all that is left to do.
            on_gone: the process ended by itself.
        """
        self._on_told = on_told
        self._on_hung = on_hung
        self._on_gone = on_gone
        self._loop = asyncio.get_running_loop()
        self._frames = messages.Frames()
        self._asked: deque[_Asked] = deque()
        self._waiting: deque[_Asked] = deque()
        self._begun = 0.0
        self._up = False
        self._watch: asyncio.TimerHandle | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._transport: asyncio.Transport | None = None
        self.handles = 0

    async def start(self) -> None:
        """Start the process.

        Raises:
            OSError: the system has no room for it.
        """
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        try:
            with theirs:
                command = [sys.executable, "-P", "-m", "notary_signer.token.host", str(theirs.fileno())]
                self._process = subprocess.Popen(  # noqa: S603, ASYNC220 - our own module; takes a millisecond
                    command,
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                )
        except OSError:
            ours.close()
            raise
        await self._loop.create_unix_connection(lambda: self, sock=ours)

    @property
    def pid(self) -> int | None:
        """Of the process, if it was started."""
        return None if self._process is None else self._process.pid

    @property
    def load(self) -> int:
        """Questions that are not answered yet."""
        return len(self._asked) + len(self._waiting)

    @property
    def busy_for(self) -> float:
        """Seconds that the process has been working on one question."""
        return self._loop.time() - self._begun if self._asked else 0.0

    def ask(self, question: messages.Start | messages.Question, limit: float) -> asyncio.Future[Any]:
        """What the process will answer; a question whose answer is cancelled before it is sent never is.

        Args:
            question: one of `messages`.
            limit: seconds that the process may work on it before it counts as hung.
        """
        asked = _Asked(question, self._loop.create_future(), limit)
        self._waiting.append(asked)
        self._send()
        return asked.answer

    def _send(self) -> None:
        if self._transport is None:
            return
        while self._waiting and len(self._asked) < IN_THE_PIPE:
            asked = self._waiting.popleft()
            if asked.answer.done():
                continue
            if not self._asked:
                self._begun = self._loop.time()
            self._asked.append(asked)
            self._transport.write(messages.frame(asked.question))
        self._watch_over()

    def _watch_over(self) -> None:
        """Have a timer ring no later than the running question must be answered.

        One that rings earlier is left: it is cheaper to set it anew when it rings than at each answer.
        """
        if not self._asked:
            return
        due = self._due()
        if self._watch is not None:
            if self._watch.when() <= due:
                return
            self._watch.cancel()
        self._watch = self._loop.call_at(due, self._look)

    def _due(self) -> float:
        return self._begun + (self._asked[0].limit if self._up else UP_DEADLINE)

    def _look(self) -> None:
        self._watch = None
        if self._asked and self._loop.time() >= self._due():
            self._on_hung(self)
        else:
            self._watch_over()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is ours."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one, but does not inherit
        self._send()

    def data_received(self, data: bytes) -> None:
        """Answers, in the order of the questions, and what the process says unasked."""
        try:
            replies = [_replies.decode(message) for message in self._frames.take(data)]
            for reply in replies:
                self._take(reply)
        except (ValueError, msgspec.MsgspecError, IndexError):
            self.kill("the token's process does not speak as agreed")
            self._on_gone(self)

    def _take(self, reply: messages.Reply) -> None:
        if isinstance(reply, messages.Told):
            self._on_told(reply.state, reply.message)
            return
        if isinstance(reply, messages.Up):
            self._up = True
            self._begun = self._loop.time()
            self._watch_over()
            return
        asked = self._asked.popleft()
        self._begun = self._loop.time()
        if isinstance(reply, messages.Done):
            self.handles = reply.handles
        if not asked.answer.done():
            if isinstance(reply, messages.Done):
                asked.answer.set_result(_values[type(asked.question)].decode(reply.value))
            else:
                asked.answer.set_exception(_failure(reply))
        elif isinstance(reply, messages.Done) and isinstance(asked.question, messages.Generate):
            # Nobody waits for this key any more: a resident one would stay in the token for ever.
            key = _values[messages.Generate].decode(reply.value)
            self.ask(messages.Discard(key), asked.limit).add_done_callback(_looked_at)
        self._send()

    def connection_lost(self, _error: Exception | None) -> None:
        """The process is gone."""
        if self._transport is not None:
            self.kill("the token's process ended")
            self._on_gone(self)

    def kill(self, reason: str) -> None:
        """End the process whatever it does; all who wait for it are told `reason`."""
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.kill()
        for asked in (*self._asked, *self._waiting):
            if not asked.answer.done():
                asked.answer.set_exception(TokenUnavailable(reason))
                asked.answer.exception()  # who has given up is not told by the loop either
        self._asked.clear()
        self._waiting.clear()

    async def drained(self) -> None:
        """Return when nobody waits for an answer."""
        pending = [asked.answer for asked in (*self._asked, *self._waiting) if not asked.answer.done()]
        if pending:
            await asyncio.wait(pending)

    async def reap(self, patience: float) -> bool:
        """Whether the process has ended; waits that many seconds."""
        if self._process is None:
            return True
        try:
            await asyncio.to_thread(self._process.wait, patience)
        except subprocess.TimeoutExpired:
            return False
        return True

    async def finish(self, patience: float) -> bool:
        """Close the socket, so that the process gives the token back and ends; whether it did within `patience`."""
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.close()
        ended = await self.reap(patience)
        self.kill("the signer is shutting down")
        return ended


def _failure(reply: messages.Failed) -> Exception:
    if reply.kind == "problem":
        return PinRefused(reply.message) if reply.state == "refused" else TokenProblem(reply.message)
    return TokenFault(reply.message) if reply.kind == "fault" else TokenUnavailable(reply.message)


def _looked_at(answer: asyncio.Future[Any]) -> None:
    if not answer.cancelled():
        answer.exception()
