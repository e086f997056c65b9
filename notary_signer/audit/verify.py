"""Checking the chains that are in files and in the database, with a progress bar on a terminal."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import click

from notary_common.database import Database

from .check import ChainCheck, Finding, Noted
from .files import files_of, is_written
from .record import Head, NotARecord, parse
from .stores import rows_of

MAX_LINE: Final = 1 << 20
"""Bytes; a record has a few thousand at most. Of a longer line only so much is held at a time."""

_EXPECTED: Final = re.compile(r"(?P<writer>.+):(?P<sequence>[0-9]{1,18}):(?P<hash>[0-9a-f]{64})", re.DOTALL)


@dataclass(frozen=True, slots=True)
class ExpectedHead:
    """A record that somebody knows to have been the end of a chain.

    Attributes:
        who: who says so, for the findings.
    """

    writer: str
    head: Head
    who: str

    @classmethod
    def parse(cls, text: str) -> ExpectedHead:
        """What `--expect-head` was given.

        Raises:
            ValueError: it is no WRITER:NUMBER:HASH.
        """
        found = _EXPECTED.fullmatch(text)
        if found is None:
            raise ValueError("write WRITER:NUMBER:HASH, as `audit verify` prints it")
        return cls(found["writer"], Head(int(found["sequence"]), found["hash"]), "--expect-head")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of checking one chain.

    Attributes:
        name: what was checked, for people.
        note: what else is to be known about it; empty if nothing.
    """

    name: str
    writer: str | None
    records: int
    head: Head | None
    findings: Sequence[Finding]
    note: str = ""

    def document(self) -> dict[str, Any]:
        """The same for programs."""
        return {
            "checked": self.name,
            "writer": self.writer,
            "records": self.records,
            "head": None if self.head is None else {"sequence": self.head.sequence, "hash": self.head.hash},
            "whole": not self.findings,
            "findings": [{"place": finding.place, "text": finding.text} for finding in self.findings],
            "note": self.note,
        }


def verified_file(
    path: Path, writer: str | None, heads: Iterable[ExpectedHead], *, begins_at: int
) -> Outcome:
    """Check the chain that is written to `path`, with the full files beside it.

    Args:
        writer: whose chain it must be; None: that of its first record.
        heads: what is known from elsewhere; those of other writers are left alone.
    """
    with ExitStack() as stack:
        files = _opened(path, stack)
        if writer is None and files:
            writer = _first_writer(files[0][1])
        check = ChainCheck(writer, _noted(heads, writer), begins_at=begins_at)
        unfinished = ""
        total = sum(os.fstat(file.fileno()).st_size for _, file in files)
        with _progress(total, path.name) as bar:
            for place, file in files:
                unfinished = _feed(check, place, file, bar.update)
                if unfinished and place != path:
                    check.findings.append(Finding(str(place), unfinished))
    check.finish()
    findings = check.findings
    if not files:
        findings = [Finding(str(path), "there is no such file"), *findings]
    if unfinished and is_written(path):
        return Outcome(
            str(path), check.writer, check.records, check.head, findings, "a record is just being written"
        )
    if unfinished:
        findings = [*findings, Finding(str(path), unfinished)]
    return Outcome(str(path), check.writer, check.records, check.head, findings)


async def verified_rows(
    database: Database, writer: str, count: int, heads: Iterable[ExpectedHead], *, begins_at: int
) -> Outcome:
    """Check the chain of `writer` in the database, which has some `count` rows.

    Raises:
        DatabaseError: it cannot be asked.
    """
    check = ChainCheck(writer, _noted(heads, writer), begins_at=begins_at)
    with _progress(count, writer) as bar:
        async for sequence, line in rows_of(database, writer):
            check.feed(f"row {writer}/{sequence}", line, sequence)
            bar.update(1)
    check.finish()
    return Outcome(f"database, {writer}", writer, check.records, check.head, check.findings)


def _noted(heads: Iterable[ExpectedHead], writer: str | None) -> list[Noted]:
    return [Noted(expected.head, expected.who) for expected in heads if expected.writer == writer]


def _progress(length: int, label: str) -> Any:
    return click.progressbar(length=length, label=label, file=sys.stderr, hidden=not sys.stderr.isatty())


def _opened(path: Path, stack: ExitStack) -> list[tuple[Path, BinaryIO]]:
    """All files of a chain, as they were at one moment though the signer may put one aside meanwhile."""
    while True:
        files = files_of(path)
        try:
            opened: list[tuple[Path, BinaryIO]] = [(file, file.open("rb")) for file in files]
        except FileNotFoundError:
            continue
        for _, file in opened:
            stack.enter_context(file)
        if files_of(path) == files:
            return opened


def _first_writer(file: BinaryIO) -> str | None:
    line = file.readline(MAX_LINE).removesuffix(b"\n")
    file.seek(0)
    try:
        return parse(line)[0].writer
    except NotARecord:
        return None


def _feed(check: ChainCheck, path: Path, file: BinaryIO, done: Callable[[int], object]) -> str:
    """Check the lines of one file; what is wrong with its last one if that has no end."""
    number = 0
    pending = 0
    while line := file.readline(MAX_LINE):
        number += 1
        if not line.endswith(b"\n"):
            if len(line) < MAX_LINE:
                return f"the last line ({number}) is unfinished"
            check.feed(f"{path}:{number}", b"")
            continue
        check.feed(f"{path}:{number}", line[:-1])
        pending += len(line)
        if pending > MAX_LINE:
            done(pending)
            pending = 0
    done(pending)
    return ""
