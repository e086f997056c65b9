"""The audit log in files: what a crash, a full disk, a second process and other people's hands leave."""

from __future__ import annotations

import json
import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from notary_signer.audit.chain import StoreFailed
from notary_signer.audit.files import AuditFile, files_of
from notary_signer.audit.record import START, Head, link
from notary_signer.audit.verify import ExpectedHead, verified_file
from notary_signer.cli import main
from notary_signer.errors import StartRefused
from notary_signer.ports import AuditEvent

from .chains import MOMENT, WRITER, chain


@contextmanager
def opened(path: Path, *, max_bytes: int = 1 << 30, writer: str = WRITER) -> Iterator[AuditFile]:
    file = AuditFile(path, writer, max_bytes=max_bytes)
    try:
        yield file
    finally:
        file.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


def found(path: Path, *heads: Head, begins_at: int = 1) -> list[str]:
    noted = [ExpectedHead(WRITER, head, "a friend") for head in heads]
    return [finding.text for finding in verified_file(path, None, noted, begins_at=begins_at).findings]


def test_a_chain_goes_on_after_a_restart(path: Path) -> None:
    """The next process finds the end; the file is its owner's alone."""
    records = chain(6)
    with opened(path) as file:
        assert file.head == START
        file.write(records[:2])
        file.write(records[2:4])
    with opened(path) as file:
        assert file.head == records[3].head
        assert file.torn is None
        file.write(records[4:])
    assert path.stat().st_mode & 0o777 == 0o600
    assert found(path, records[-1].head) == []


def test_two_processes_never_write_one_chain(path: Path) -> None:
    """The second is refused with what to do, also by the name of the chain."""
    with opened(path) as file:
        file.write(chain(1))
        with pytest.raises(StartRefused, match="another process writes"):
            AuditFile(path, WRITER, max_bytes=1 << 30)
    with pytest.raises(StartRefused, match=r"set audit\.writer"):
        AuditFile(path, "other", max_bytes=1 << 30)
    with opened(path):
        pass  # A refused one holds no lock.


@pytest.mark.parametrize("cut", [1, 7, 200])
def test_a_torn_line_is_set_aside(path: Path, cut: int) -> None:
    """What a crash left is kept beside the file, named in what the chain says next, and no finding afterwards."""
    records = chain(4)
    with opened(path) as file:
        file.write(records[:3])
    with path.open("ab") as torn:
        torn.write(records[3].line[:cut])
    assert found(path) == ["the last line (4) is unfinished"]
    with opened(path) as file:
        assert file.head == records[2].head
        assert file.torn is not None
        aside, _ = file.torn
        assert aside.read_bytes() == records[3].line[:cut]
        file.write(records[3:])
    assert found(path) == []


def test_full_files_are_put_aside_and_the_chain_goes_over_them(path: Path) -> None:
    """Each is named after its first record; the end is found in the last full one too; a removed one is missed."""
    records = chain(30)
    size = len(records[0].line)
    with opened(path, max_bytes=5 * size) as file:
        for start in range(0, 30, 2):
            file.write(records[start : start + 2])
    files = files_of(path)
    assert len(files) > 5
    assert files[0].name == "audit.jsonl.000000000001"
    assert all(file.stat().st_size <= 5 * size + 100 for file in files)
    assert found(path, records[-1].head, records[10].head) == []
    path.rename(path.with_name("away"))
    with opened(path) as file:
        assert (
            file.head.sequence
            == int(path.with_name("away").read_bytes().split(b'"sequence":')[1].split(b",")[0]) - 1
        )
    path.with_name("away").rename(path)
    files[2].unlink()
    (missing,) = found(path)
    assert "missing before this one" in missing
    for file_ in files[:4]:
        file_.unlink(missing_ok=True)
    first = int(files[4].suffix[1:])
    assert found(path, begins_at=first) == []


def test_a_full_disk_leaves_no_half_record(path: Path) -> None:
    """A write that got only so far (RLIMIT_FSIZE) fails; afterwards the chain goes on where it was."""
    records = chain(4)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with opened(path) as file:
            file.write(records[:2])
            size = path.stat().st_size
            resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, hard))
            with pytest.raises(StoreFailed, match="File too large"):
                file.write(records[2:])
            assert path.stat().st_size == size + 100
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            file.recover()
            assert path.stat().st_size == size
            file.write(records[2:])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert found(path, records[-1].head) == []


def test_a_file_that_others_touch_is_not_written(path: Path) -> None:
    """Moved away: a new one is begun and the chain goes on in it. Changed: nothing more is written, nothing is cut."""
    records = chain(4)
    with opened(path) as file:
        file.write(records[:2])
        path.rename(path.with_name("audit.jsonl.000000000001"))
        with pytest.raises(StoreFailed, match="moved or removed"):
            file.write(records[2:3])
        file.recover()
        file.write(records[2:3])
        assert found(path, records[2].head) == []
        with path.open("ab") as other:
            other.write(b"something\n")
        kept = path.read_bytes()
        with pytest.raises(StoreFailed, match="changed by somebody else"):
            file.write(records[3:])
        with pytest.raises(StoreFailed, match="changed by somebody else"):
            file.recover()
        assert path.read_bytes() == kept
    with pytest.raises(StartRefused, match="is not a record"):
        AuditFile(path, WRITER, max_bytes=1 << 30)


def test_another_file_in_its_place_is_not_written(path: Path) -> None:
    """Whoever puts a file there while the signer runs does not get it continued."""
    with opened(path) as file:
        file.write(chain(1))
        path.rename(path.with_name("away"))
        path.write_bytes(b"other\n")
        with pytest.raises(StoreFailed):
            file.write(chain(2)[1:])
        with pytest.raises(StoreFailed, match="another file in the place"):
            file.recover()
        assert path.read_bytes() == b"other\n"


def test_an_unsound_end_is_not_gone_on_with(path: Path) -> None:
    """An altered or a missing record near the end refuses the start with what to do."""
    records = [record.line for record in chain(5)]
    altered = records[3].replace(b"request-4", b"request-x")
    for lines in ([*records[:3], altered, records[4]], [*records[:3], records[4], records[3]]):
        path.write_bytes(b"".join(line + b"\n" for line in lines))
        path.chmod(0o600)
        with pytest.raises(StartRefused, match="audit verify"):
            AuditFile(path, WRITER, max_bytes=1 << 30)


def test_files_that_cannot_be_trusted_or_opened(path: Path, tmp_path: Path) -> None:
    """A file that others may write, something that is no file, and a missing directory are refused."""
    path.touch()
    path.chmod(0o666)
    with pytest.raises(StartRefused, match="chmod 600"):
        AuditFile(path, WRITER, max_bytes=1 << 30)
    (tmp_path / "directory").mkdir()
    with pytest.raises(StartRefused):
        AuditFile(tmp_path / "directory", WRITER, max_bytes=1 << 30)
    with pytest.raises(StartRefused, match="make it"):
        AuditFile(tmp_path / "no" / "audit.jsonl", WRITER, max_bytes=1 << 30)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(StartRefused, match="not a regular file"):
        AuditFile(tmp_path / "pipe", WRITER, max_bytes=1 << 30)


def test_the_command_says_what_and_where(path: Path) -> None:
    """Status 0 with the end to note; status 1 with file, line and record; JSON for programs; bad options in a sentence."""
    records = chain(5)
    with opened(path) as file:
        file.write(records)
    good = CliRunner().invoke(main, ["audit", "verify", "--file", str(path)])
    assert good.exit_code == 0
    end = f"{WRITER}:5:{records[-1].head.hash}"
    assert end in good.output
    assert (
        CliRunner().invoke(main, ["audit", "verify", "--file", str(path), "--expect-head", end]).exit_code
        == 0
    )
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:2] + lines[3:4]))
    bad = CliRunner().invoke(main, ["audit", "verify", "--file", str(path), "--expect-head", end, "--json"])
    assert bad.exit_code == 1
    (document,) = json.loads(bad.output)
    assert document["whole"] is False
    assert [finding["place"] for finding in document["findings"]] == [f"{path}:3", f"{path}:3"]
    assert "record 3 is missing" in document["findings"][0]["text"]
    assert "its end was cut off" in document["findings"][1]["text"]
    for words in ([], ["--file", str(path), "--expect-head", "nonsense"]):
        refused = CliRunner().invoke(main, ["audit", "verify", *words])
        assert refused.exit_code == 1
        assert "Traceback" not in refused.output
    gone = CliRunner().invoke(main, ["audit", "verify", "--file", str(path.with_name("gone"))])
    assert gone.exit_code == 1
    assert "there is no such file" in gone.output


def test_a_record_longer_than_any_is_no_record(path: Path) -> None:
    """A line of megabytes is not held in memory and is one finding or a few, not a crash."""
    good = chain(2)
    path.write_bytes(good[0].line + b"\n" + b"x" * (3 << 20) + b"\n" + good[1].line + b"\n")
    texts = found(path)
    assert 1 <= len(texts) <= 5
    assert all("is not a record" in text for text in texts)


def test_records_of_another_chain_in_its_place(path: Path) -> None:
    """A file whose first record is another writer's is that writer's chain, unless the caller knows better."""
    event = AuditEvent("cn:x", "sign", "done")
    path.write_bytes(link("other", START, event, MOMENT).line + b"\n")
    assert verified_file(path, None, [], begins_at=1).writer == "other"
    outcome = verified_file(path, WRITER, [], begins_at=1)
    assert [finding.text for finding in outcome.findings] == [
        f"record 1 belongs to the chain of 'other', not of {WRITER!r}"
    ]
