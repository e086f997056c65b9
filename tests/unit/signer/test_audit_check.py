"""Records of the audit log, and what the check of a chain finds."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notary_signer.audit.check import ChainCheck, Noted
from notary_signer.audit.record import MAX_TEXT, START, Head, NotARecord, link, parse, resume
from notary_signer.ports import AuditEvent

from .chains import MOMENT, WRITER, chain, event

LENGTH = 8
WHOLE = [record.line for record in chain(LENGTH)]
END = chain(LENGTH)[-1].head


def findings(lines: list[bytes], *noted: Head, begins_at: int = 1) -> list[str]:
    check = ChainCheck(WRITER, [Noted(head, "a friend") for head in noted], begins_at=begins_at)
    for number, line in enumerate(lines, 1):
        check.feed(f"f:{number}", line)
    check.finish()
    return [str(finding) for finding in check.findings]


def test_a_line_says_all_and_its_hash_can_be_made_with_any_tool() -> None:
    """Every member of the event is there, and the hash is the SHA-256 of the line without it."""
    (record,) = chain(1)
    members = json.loads(record.line)
    assert members["previous"] == "0" * 64
    assert members["time"] == "2030-01-02T03:04:05.678901Z"
    assert members["gun"] == "docker.io/library/ümlaut"
    assert members["version"] == 1
    digest = members["hash"]
    body = record.line.replace(f',"hash":"{digest}"'.encode(), b"")
    assert hashlib.sha256(body).hexdigest() == digest == record.head.hash
    assert record.line.isascii()
    assert b"\n" not in record.line


@given(st.builds(
    AuditEvent, actor=st.text(), action=st.text(), outcome=st.sampled_from(["begun", "done", "refused", "failed"]),
    gun=st.text(st.characters()), reason=st.text(), version=st.none() | st.integers(0, 2**31),
))  # fmt: skip
def test_every_event_is_a_line_that_parses(anything: AuditEvent) -> None:
    """Whatever a request names, surrogates and ends of line included, the record can be read back and is bounded."""
    record = link(WRITER, Head(6, "c" * 64), anything, MOMENT)
    entry, head = parse(record.line)
    assert head == record.head == Head(7, record.head.hash)
    assert (entry.writer, entry.previous, entry.version) == (WRITER, "c" * 64, anything.version)
    assert b"\n" not in record.line


def test_long_texts_are_cut() -> None:
    """A repository's name of a megabyte does not become a record of a megabyte."""
    entry, _ = parse(link(WRITER, START, replace(event(), gun="g" * 1_000_000), MOMENT).line)
    assert len(entry.gun) <= MAX_TEXT + 3


def test_a_whole_chain_has_no_findings() -> None:
    """Also with its end and a record in the middle noted elsewhere."""
    assert findings(WHOLE) == []
    assert findings(WHOLE, END, chain(3)[-1].head) == []
    assert findings([]) == []


@given(st.integers(0, LENGTH - 2))
def test_a_removed_record_is_missed(place: int) -> None:
    """The finding names the record and the line before which it should stand."""
    found = findings(WHOLE[:place] + WHOLE[place + 1 :])
    assert found == [f"f:{place + 1}: record {place + 1} is missing before this one"]


@given(st.integers(0, LENGTH - 1), st.data())
def test_an_altered_record_is_found(place: int, data: st.DataObject) -> None:
    """Any changed byte of any line is found, at that line."""
    line = bytearray(WHOLE[place])
    where = data.draw(st.integers(0, len(line) - 1))
    line[where] ^= data.draw(st.integers(1, 255))
    found = findings([*WHOLE[:place], bytes(line), *WHOLE[place + 1 :]])
    assert len(found) == 1
    assert found[0].startswith(f"f:{place + 1}: the line ")


@given(st.integers(0, LENGTH - 2))
def test_a_forged_record_breaks_the_chain(place: int) -> None:
    """A record written anew with a good hash of its own does not fit the one that follows it."""
    before = chain(place)[-1].head if place else START
    forged = link(WRITER, before, replace(event(place + 1), gun="other"), MOMENT).line
    (found,) = findings([*WHOLE[:place], forged, *WHOLE[place + 1 :]])
    assert found.startswith(f"f:{place + 2}: record {place + 2} does not follow record {place + 1}")


@given(st.integers(0, LENGTH - 1))
def test_a_repeated_or_inserted_record_is_found(place: int) -> None:
    """A line that stands twice, and one of another writer."""
    (found,) = findings([*WHOLE[: place + 1], *WHOLE[place:]])
    assert found == f"f:{place + 2}: record {place + 1} stands here again, or out of its order"
    stranger = chain(1, writer="other")[0].line
    (found,) = findings([*WHOLE[:place], stranger, *WHOLE[place:]])
    assert "belongs to the chain of 'other'" in found


@given(st.permutations(range(LENGTH)))
def test_any_other_order_is_found(order: list[int]) -> None:
    """Only the right order has no findings."""
    assert (findings([WHOLE[number] for number in order]) == []) == (order == sorted(order))


@given(st.integers(0, LENGTH - 1))
def test_a_cut_off_end_is_found_by_a_note_of_it(kept: int) -> None:
    """Without a note the shorter chain is whole; with it, it is not."""
    assert findings(WHOLE[:kept]) == []
    (found,) = findings(WHOLE[:kept], END)
    assert f"ends with record {kept}" in found
    assert "a friend noted record 8" in found


def test_a_chain_written_anew_is_found_by_a_note() -> None:
    """All hashes fit, but the noted record is another one."""
    forged = [record.line for record in chain(LENGTH, after=link(WRITER, START, event(99), MOMENT).head)]
    forged = [link(WRITER, START, event(99), MOMENT).line, *forged]
    assert findings(forged) == []
    assert findings(forged, END) == ["f:8: record 8 is not the one that a friend noted"]


def test_earlier_records_may_have_been_put_away() -> None:
    """With the number of the first one that must be there; not without."""
    assert findings(WHOLE[3:], END, begins_at=4) == []
    assert findings(WHOLE, END, chain(2)[-1].head, begins_at=4) == []
    assert findings(WHOLE[3:]) == ["f:1: records 1 to 3 are missing before this one"]
    assert findings(WHOLE[4:], begins_at=4) == ["f:1: record 4 is missing before this one"]
    assert len(findings([], END, begins_at=4)) == 1


def test_a_lost_end_stays_visible_for_good() -> None:
    """The chain goes on with numbers after the noted ones and says so first; nothing lost is written anew."""
    lost = chain(LENGTH)[4].head
    assert resume(END, END) == (END, None)
    assert resume(END, lost) == (END, None)
    assert resume(END, None) == (END, None)
    head, said = resume(lost, END)
    assert head == END
    assert said is not None
    assert str(lost) in said.reason
    assert str(END) in said.reason
    line = link(WRITER, head, said, MOMENT).line
    assert findings([*WHOLE[:5], line], END) == [
        "f:6: records 6 to 8 are missing before this one",
        "f:6: record 8, which a friend noted, is not there",
    ]
    other = Head(END.sequence, "f" * 64)
    head, said = resume(END, other)
    assert head == END
    assert said is not None


@pytest.mark.parametrize("line", [b"", b"{}", b"\xff" * 400, b'{"a":1}', WHOLE[0][:-1], WHOLE[0] + b" "])
def test_what_is_no_record(line: bytes) -> None:
    """A line of another kind is none, whatever it holds."""
    with pytest.raises(NotARecord):
        parse(line)


def test_a_good_hash_does_not_make_a_record() -> None:
    """Members that no record has are refused even where the hash is right."""
    body = b'{"format":1,"more":2}'
    digest = hashlib.sha256(body).hexdigest().encode()
    with pytest.raises(NotARecord):
        parse(body[:-1] + b',"hash":"' + digest + b'"}')
