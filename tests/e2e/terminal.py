"""A person at a terminal: a client that asks for pass phrases, answered when it asks and not before."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import time
from types import TracebackType

from .notary_cli import Person

_SECONDS = 30.0
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|\r")


class Terminal:
    """One `notary` command on a pseudo-terminal. Pass phrases are not in its environment."""

    def __init__(self, person: Person, *arguments: str) -> None:
        environ = {name: value for name, value in person.environ.items() if not name.endswith("_PASSPHRASE")}
        self._screen = ""
        self._read_to = 0
        self._terminal, there = pty.openpty()
        try:
            self._process = subprocess.Popen(
                person.command(*arguments), cwd=person.folder, env=environ, stdin=there, stdout=there, stderr=there,
                start_new_session=True,
            )  # fmt: skip
        finally:
            os.close(there)

    def __enter__(self) -> Terminal:
        """The command runs already."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it, whatever it is doing."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        os.close(self._terminal)

    def wait_for(self, text: str) -> None:
        """Read until `text` stands on the screen, behind what was waited for before."""
        deadline = time.monotonic() + _SECONDS
        while text not in self._screen[self._read_to :]:
            assert self._read(deadline), f"{text!r} did not appear:\n{self._screen}"
        self._read_to = self._screen.index(text, self._read_to) + len(text)

    def type(self, line: str) -> None:
        """Type a line."""
        os.write(self._terminal, line.encode() + b"\n")

    def end(self) -> tuple[int, str]:
        """Wait until the command ends; its status and all that stood on the screen."""
        deadline = time.monotonic() + _SECONDS
        while self._read(deadline):
            pass
        return self._process.wait(_SECONDS), self._screen

    def _read(self, deadline: float) -> bool:
        readable, _, _ = select.select([self._terminal], [], [], max(0.0, deadline - time.monotonic()))
        if not readable:
            return False
        try:
            data = os.read(self._terminal, 65536)
        except OSError:  # Linux: the other end is closed
            return False
        self._screen = self._screen + _ESCAPES.sub("", data.decode(errors="replace"))
        return bool(data)
