"""PURE: is a chain whole? What was removed, altered, inserted, moved, repeated or cut off, and where."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from .record import START, Entry, Head, NotARecord, parse

MAX_FINDINGS: Final = 1000
"""Beyond so many the chain is as good as gone, and nobody reads on."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: where (a file and line, or a row), and what."""

    place: str
    text: str

    def __str__(self) -> str:
        return f"{self.place}: {self.text}"


@dataclass(frozen=True, slots=True)
class Noted:
    """A record that is known from elsewhere, and who noted it."""

    head: Head
    who: str


class ChainCheck:
    """Looks at the lines of one writer's chain in their order.

    Attributes:
        records: how many good records were seen.
        head: the end of the chain as far as it was seen; None before the first record.
        findings: all that is wrong so far.
    """

    def __init__(self, writer: str | None, noted: Iterable[Noted], *, begins_at: int = 1) -> None:
        """Check the chain of `writer`, or of whoever wrote the first record.

        Args:
            noted: records that are known from elsewhere.
            begins_at: the first sequence number that must be there; earlier records were put away.
        """
        self.writer = writer
        self.records = 0
        self.head: Head | None = None
        self.findings: list[Finding] = []
        self._noted: defaultdict[int, list[Noted]] = defaultdict(list)
        for one in noted:
            self._noted[one.head.sequence].append(one)
        self._begins_at = begins_at
        self._place = "the chain"
        self._unreadable = 0

    def feed(self, place: str, line: bytes, number: int | None = None) -> None:
        """Look at the next line; `number`: that of the record which should stand there, if that is known."""
        self._place = place
        try:
            entry, head = parse(line)
        except NotARecord as problem:
            self._find(place, f"the line {problem}")
            self._unreadable += 1
            return
        if self.writer is None:
            self.writer = entry.writer
        if entry.writer != self.writer:
            self._find(
                place,
                f"record {entry.sequence} belongs to the chain of {entry.writer!r}, not of {self.writer!r}",
            )
            return
        if number not in (None, entry.sequence):
            self._find(place, f"record {entry.sequence} stands here")
        self._follow(place, entry, head)

    def _follow(self, place: str, entry: Entry, head: Head) -> None:
        last = self.head
        if last is None and entry.sequence < self._begins_at:
            return
        if last is None and entry.sequence == self._begins_at and self._begins_at > 1:
            # What the first record follows was put away, and only a noted head could tell.
            last = Head(entry.sequence - 1, entry.previous)
        elif last is None:
            last = START if self._begins_at == 1 else Head(self._begins_at - 1, "")
        if entry.sequence <= last.sequence:
            self._find(place, f"record {entry.sequence} stands here again, or out of its order")
            return
        missing = entry.sequence - last.sequence - 1
        if missing > self._unreadable:
            self._find(place, f"{_records(last.sequence + 1, entry.sequence - 1)} missing before this one")
        elif missing == 0 and entry.previous != last.hash:
            self._find(
                place,
                f"record {entry.sequence} does not follow record {last.sequence}: "
                "one of the two was altered or put in",
            )
        for noted in self._noted.pop(entry.sequence, ()):
            if noted.head != head:
                self._find(place, f"record {entry.sequence} is not the one that {noted.who} noted")
        self.records += 1
        self.head = head
        self._unreadable = 0

    def finish(self) -> None:
        """Say what is missing at the end: records that are known from elsewhere and never came."""
        last = 0 if self.head is None else self.head.sequence
        for sequence, who in sorted(
            (one.head.sequence, one.who) for some in self._noted.values() for one in some
        ):
            if sequence > last:
                self._find(
                    self._place,
                    f"the chain ends with record {last}, but {who} noted record {sequence}: its end was cut off",
                )
            elif sequence >= self._begins_at:
                self._find(self._place, f"record {sequence}, which {who} noted, is not there")

    def _find(self, place: str, text: str) -> None:
        if len(self.findings) < MAX_FINDINGS:
            self.findings.append(Finding(place, text))


def _records(first: int, last: int) -> str:
    return f"record {first} is" if first == last else f"records {first} to {last} are"
