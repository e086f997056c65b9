"""Large files are read in a process of their own: to the same result, and whatever becomes of that process."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from notary_server.errors import MalformedJson, Unavailable
from notary_server.operations import reading
from notary_server.operations.reading import INLINE_BYTES, FileReader
from notary_server.tuf.document import Document
from notary_server.tuf.names import TARGETS
from notary_server.tuf.parse import Limits
from tests.publisher.canonical import canonical
from tests.unit.tuf.documents import bent, entry, spell, targets

BOUND = 60.0
"""Seconds after which a test that waits has failed."""


@pytest.fixture
async def reader() -> AsyncIterator[FileReader]:
    """A reader that is closed at the end."""
    made = FileReader()
    yield made
    await made.close()


def large(**changes: object) -> bytes:
    """A targets file that is not read on the spot."""
    listed = {f"tag-{number:04}": entry() | {"custom": None} for number in range(600)}
    data = spell(bent(targets(), "signed.targets", listed | changes))
    assert len(data) > INLINE_BYTES
    return data


def plain() -> bytes:
    """The same, as clients spell it."""
    document = targets()
    listed = {f"tag-{number:04}": entry() for number in range(600)}
    for one in listed.values():
        del one["custom"]
    document["signed"]["targets"] = listed
    return b'{"signed":%b,"signatures":%b}' % (
        canonical(document["signed"]),
        canonical(document["signatures"]),
    )


def pid_of(reader: FileReader) -> int:
    """The process that reads."""
    assert reader._process is not None
    return reader._process.pid


def is_gone(pid: int) -> bool:
    """Whether a process has ended, be it that nobody has asked for its status yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


def environment(pid: int) -> set[bytes]:
    """The names in its environment."""
    lines = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return {line.partition(b"=")[0] for line in lines if line}


def open_files(pid: int) -> set[str]:
    """The numbers of its open files."""
    return {path.name for path in Path(f"/proc/{pid}/fd").iterdir()}


def wait_until_gone(pid: int) -> None:
    """Wait until it has ended."""
    deadline = time.monotonic() + BOUND
    while not is_gone(pid):
        assert time.monotonic() < deadline, "it is still there"
        time.sleep(0.02)


@pytest.mark.parametrize("data", [plain(), large(), large().replace(b'"tag-0001"', b'"tag\\u002d0001"')])
async def test_finds_what_is_found_on_the_spot(reader: FileReader, data: bytes) -> None:
    """Members, message, signatures, bytes and hashes, however the file is spelled."""
    document, expected = await reader.read(TARGETS, data), Document(TARGETS, data)
    document.check()
    assert document.targets() == expected.targets()
    assert document.meta == expected.meta
    assert reader._process is not None


async def test_small_files_start_no_process(reader: FileReader) -> None:
    """What is read at once is read here."""
    assert (await reader.read(TARGETS, spell(targets()))).targets().body.version == 3
    assert reader._process is None


async def test_bad_files_are_refused_in_the_same_words(reader: FileReader) -> None:
    """What is wrong with a file, and the bounds it is held to, cross over."""
    for data, limits in [
        (large()[:-1], Limits()),
        (large(), Limits(max_depth=3)),
        (large(version={"length": "x"}), Limits()),
        (large().replace(b'"version":3', b'"version":0'), Limits()),
    ]:
        document, expected = await reader.read(TARGETS, data, limits), Document(TARGETS, data, limits=limits)
        assert document._findings == expected._findings
    with pytest.raises(MalformedJson, match="more than 3 levels"):
        (await reader.read(TARGETS, large(), Limits(max_depth=3))).check()


async def test_many_at_once_get_their_own(reader: FileReader) -> None:
    """Each question gets its answer, one process for all."""
    files = [large().replace(b'"version":3', b'"version":%d' % number) for number in range(1, 9)]
    documents = await asyncio.gather(*(reader.read(TARGETS, data) for data in files))
    assert [document.targets().body.version for document in documents] == list(range(1, 9))


async def test_a_killed_process_is_replaced(reader: FileReader) -> None:
    """Whoever kills it between two files is not even noticed."""
    await reader.read(TARGETS, large())
    first = pid_of(reader)
    os.kill(first, signal.SIGKILL)
    assert (await reader.read(TARGETS, large())).targets().body.version == 3
    assert pid_of(reader) != first


async def test_a_process_killed_while_it_reads_is_replaced(reader: FileReader) -> None:
    """The file is read again."""
    await reader.read(TARGETS, large())
    os.kill(pid_of(reader), signal.SIGSTOP)
    waiting = asyncio.create_task(reader.read(TARGETS, large()))
    await asyncio.sleep(0.05)
    os.kill(pid_of(reader), signal.SIGKILL)
    assert (await waiting).targets().body.version == 3


async def test_a_file_that_no_process_survives_is_answered(
    reader: FileReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server itself never tries it; the next file finds a process again."""
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", "/bin/false")
        with pytest.raises(Unavailable):
            await reader.read(TARGETS, large())
        patch.setattr(sys, "executable", "/nowhere")
        with pytest.raises(Unavailable):
            await reader.read(TARGETS, large())
    assert (await reader.read(TARGETS, large())).targets().body.version == 3


async def test_a_process_that_hangs_is_replaced(reader: FileReader, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for ever."""
    await reader.read(TARGETS, large())
    hung = pid_of(reader)
    os.kill(hung, signal.SIGSTOP)
    monkeypatch.setattr(reading, "READ_SECONDS", 3.0)
    assert (await reader.read(TARGETS, large())).targets().body.version == 3
    await asyncio.to_thread(wait_until_gone, hung)


async def test_an_answer_that_nobody_waits_for_reaches_nobody(reader: FileReader) -> None:
    """After a request is given up the next one gets its own answer."""
    await reader.read(TARGETS, large())
    leaving = asyncio.create_task(reader.read(TARGETS, large()))
    await asyncio.sleep(0)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    other = large().replace(b'"version":3', b'"version":9')
    assert (await reader.read(TARGETS, other)).targets().body.version == 9


async def test_keeps_to_itself(reader: FileReader) -> None:
    """No environment, no open files and no process group of the server's; it ends when the reader is closed."""
    await reader.read(TARGETS, large())
    pid = pid_of(reader)
    assert environment(pid) <= {b"PYTHONPATH", b"LC_CTYPE"}
    assert os.getpgid(pid) != os.getpgid(0)
    assert open_files(pid) == {"0", "1", "2"}
    await reader.close()
    assert is_gone(pid)


PROGRAM = """
import asyncio, sys, time
from notary_server.operations.reading import FileReader
from notary_server.tuf.names import TARGETS

async def main():
    reader = FileReader()
    await reader.read(TARGETS, b"[" + b" " * 100_000)
    print(reader._process.pid, flush=True)
    time.sleep(600)

asyncio.run(main())
"""


def test_ends_with_a_server_that_is_killed() -> None:
    """Nothing stays behind, however the server ends."""
    with subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        pid = int(server.stdout.readline())
        assert not is_gone(pid)
        server.kill()
    wait_until_gone(pid)
