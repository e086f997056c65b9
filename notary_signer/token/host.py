"""The token's process: `python -m notary_signer.token.host DESCRIPTOR`, started by the signer alone.

It owns the PKCS#11 module, so that a call which never returns can be ended from outside (docs/adr/0016). Its main
thread is the one that owns the module. It ends when the signer closes the socket, or ends.
"""

from __future__ import annotations

import ctypes
import signal
import socket
import sys
from contextlib import suppress
from typing import Any, Final

import msgspec

from notary_signer.errors import SignerError, TokenUnavailable
from notary_signer.process import harden

from . import messages
from .keeper import Keeper
from .problems import PinRefused, TokenProblem
from .state import TokenState

_PR_SET_PDEATHSIG: Final = 1
_READ_BYTES: Final = 1 << 18

_questions: Final = msgspec.msgpack.Decoder(messages.Question)
_first: Final = msgspec.msgpack.Decoder(messages.Start)


def main(descriptor: int) -> None:
    """Answer questions until the socket closes."""
    _die_with_parent()
    # Ctrl-C goes to the whole group of the terminal; when to end is the signer's to say.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with socket.socket(fileno=descriptor) as line:
        host = _Host(line)
        # A signer that is gone needs no answer.
        with suppress(BrokenPipeError, ConnectionResetError):
            host.serve()
        host.close()


def _die_with_parent() -> None:
    # A process that hangs inside the module would not see the socket close.
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)


class _Host:
    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._keeper: Keeper | None = None

    def serve(self) -> None:
        frames = messages.Frames()
        self._line.sendall(messages.frame(messages.Up()))
        while data := self._line.recv(_READ_BYTES):
            for message in frames.take(data):
                self._line.sendall(messages.frame(self._answer(message)))

    def close(self) -> None:
        if self._keeper is not None:
            self._keeper.close()

    def _answer(self, message: bytes) -> messages.Reply:
        try:
            if self._keeper is None:
                return self._done(self._start(_first.decode(message)))
            return self._done(self._keeper.attempt(_questions.decode(message).run))
        except PinRefused as problem:
            return messages.Failed("problem", str(problem), "refused")
        except TokenProblem as problem:
            return messages.Failed("problem", str(problem), "lost")
        except TokenUnavailable as error:
            return messages.Failed("unavailable", error.message)
        except SignerError as error:
            return messages.Failed("fault", error.message)

    def _start(self, start: messages.Start) -> object:
        for problem in harden():
            self._tell("starting", f"the token's process: {problem}")
        self._keeper = Keeper(start.settings, self._tell)
        return self._keeper.start(start.proven)

    def _done(self, value: Any) -> messages.Done:
        handles = 0 if self._keeper is None else self._keeper.handles
        return messages.Done(msgspec.Raw(msgspec.msgpack.encode(value)), handles)

    def _tell(self, state: TokenState, sentence: str) -> None:
        self._line.sendall(messages.frame(messages.Told(state, sentence)))


if __name__ == "__main__":
    main(int(sys.argv[1]))
