"""Files made ready for deciding. Large ones are read in a process of their own, so that nobody waits for them."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio import StreamReader, StreamWriter
from asyncio.subprocess import DEVNULL, PIPE, Process
from typing import Final, cast

import structlog

from notary_server.errors import Unavailable
from notary_server.tuf.document import Document, Findings
from notary_server.tuf.names import RoleName
from notary_server.tuf.parse import DEFAULT_LIMITS, Limits

from .reading_process import ANSWER, read_answer, spell_question

INLINE_BYTES: Final = 64 * 1024
"""A file up to this size is read within one or two milliseconds, so that is done on the spot."""
ATTEMPTS: Final = 2
"""How often a file is tried: a process that was killed says nothing about it, two say that it had better be left."""
READ_SECONDS: Final = 60.0
"""For one file: the largest that a configuration allows takes a small part of it."""

_log = structlog.stdlib.get_logger("notary")


class FileReader:
    """Reads files, large ones one after the other in one process, which is started when the first of them comes.

    That process has no sockets and no environment of the server's, is in no process group that signals are sent to,
    and ends with the server, however that ends. `close` MUST be awaited at the end.
    """

    def __init__(self) -> None:
        self._process: Process | None = None
        self._turn = asyncio.Lock()

    async def read(self, role: RoleName, data: bytes, limits: Limits = DEFAULT_LIMITS) -> Document:
        """The file, with everything known about it that takes long to find out.

        Raises:
            Unavailable: the process cannot be started, or ends before it has read the file.
        """
        if len(data) <= INLINE_BYTES:
            return Document(role, data, limits=limits)
        async with self._turn:
            return Document(role, data, await self._examine(role, data, limits))

    async def close(self) -> None:
        """End the process, if there is one; another call of `read` would start another."""
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            process.kill()
            await process.wait()

    async def _examine(self, role: RoleName, data: bytes, limits: Limits) -> Findings:
        for _ in range(ATTEMPTS):
            try:
                async with asyncio.timeout(READ_SECONDS):
                    return await self._ask(role, data, limits)
            except (OSError, EOFError, TimeoutError) as error:
                await self.close()
                _log.error("the process that reads large files failed", role=role, reason=repr(error))
            except BaseException:
                # Whoever asks next must not get this answer.
                await self.close()
                raise
        raise Unavailable("The server cannot read large files at the moment.")

    async def _ask(self, role: RoleName, data: bytes, limits: Limits) -> Findings:
        if self._process is None:
            self._process = await _start()
        questions = cast(StreamWriter, self._process.stdin)
        answers = cast(StreamReader, self._process.stdout)
        questions.write(spell_question(role, len(data), limits))
        questions.write(data)
        await questions.drain()
        (size,) = ANSWER.unpack(await answers.readexactly(ANSWER.size))
        return read_answer(await answers.readexactly(size), data)


async def _start() -> Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        "-m",
        "notary_server.operations.reading_process",
        stdin=PIPE,
        stdout=PIPE,
        stderr=DEVNULL,
        env={"PYTHONPATH": os.pathsep.join(sys.path)},
        start_new_session=True,
    )
