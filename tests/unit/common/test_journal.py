"""The file of lines that only grows: whole lines from many processes, turned over, moved away, a full disk."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
from pathlib import Path

import pytest

from notary_common.journal import Journal, sync


def lines(*paths: Path) -> list[str]:
    """All lines of these files."""
    return [line for path in paths for line in path.read_text().splitlines()]


def test_lines_are_appended_to_what_is_there(tmp_path: Path) -> None:
    """A restart goes on with the file; its group may read it, others may not."""
    path = tmp_path / "audit.log"
    os.umask(os.umask(0o022))
    for number in range(3):
        journal = Journal(path, 1000, 1)
        journal.append(b"%d" % number)
        journal.close()
    assert lines(path) == ["0", "1", "2"]
    assert path.stat().st_mode & 0o137 == 0


def test_a_large_file_is_turned_over_and_the_oldest_goes(tmp_path: Path) -> None:
    """Never more files than are kept, and the lines in them are the latest, in order."""
    path = tmp_path / "audit.log"
    journal = Journal(path, 50, 2)
    for number in range(30):
        journal.append(b"line %04d" % number)
    files = [path.with_name("audit.log.2"), path.with_name("audit.log.1"), path]
    assert sorted(tmp_path.iterdir()) == sorted(files)
    kept = lines(*files)
    assert kept == [f"line {number:04}" for number in range(30 - len(kept), 30)]
    assert all(file.stat().st_size < 60 for file in files)


def test_a_file_that_is_moved_away_is_made_anew(tmp_path: Path) -> None:
    """As logrotate does it, with no signal."""
    path = tmp_path / "audit.log"
    journal = Journal(path, 1000, 1)
    journal.append(b"before")
    path.rename(tmp_path / "taken")
    journal.append(b"after")
    assert (lines(tmp_path / "taken"), lines(path)) == (["before"], ["after"])


def _write(path: Path, name: str, count: int) -> None:
    journal = Journal(path, 20_000, 1000)
    for number in range(count):
        journal.append(json.dumps({"name": name, "number": number, "filling": "x" * (number % 90)}).encode())
    journal.close()


def test_processes_write_and_turn_over_together(tmp_path: Path) -> None:
    """No line is lost, torn or doubled, whoever turns the file over."""
    path = tmp_path / "audit.log"
    writers = [
        multiprocessing.get_context("spawn").Process(target=_write, args=(path, str(name), 2000))
        for name in range(3)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    files = list(tmp_path.iterdir())
    assert len(files) > 5
    found = [json.loads(line) for line in lines(*files)]
    assert sorted((entry["name"], entry["number"]) for entry in found) == [
        (str(name), number) for name in range(3) for number in range(2000)
    ]


def test_a_line_that_does_not_fit_is_reported_and_does_not_spoil_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a full disk has cut off stands on a line of its own."""
    path = tmp_path / "audit.log"
    journal = Journal(path, 1000, 1)
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, data: write(file, data[:3]))
    with pytest.raises(OSError, match="space") as full:
        journal.append(b"a line")
    assert full.value.errno == errno.ENOSPC
    monkeypatch.undo()
    journal.append(b"another")
    assert lines(path) == ["a l", "another"]


def test_only_what_is_new_is_put_on_the_disk(tmp_path: Path) -> None:
    """Nothing written since the last time, nothing to do."""
    journal = Journal(tmp_path / "audit.log", 1000, 1)
    assert journal.duplicate() is None
    journal.append(b"a line")
    descriptor = journal.duplicate()
    assert descriptor is not None
    sync(descriptor)
    assert journal.duplicate() is None
    journal.close()
