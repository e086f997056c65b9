"""A new file is there when it is whole, and not before; what keeps it from being written is told in words."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from notary_server.archive.writing import CannotWrite, Writer, new_file

from .archives import entry


@pytest.fixture
def full_disk() -> Iterator[None]:
    """No file may have more than four kilobytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def _write(path: Path, data: bytes) -> None:
    listed = entry("root", 1, data)
    with new_file(path) as file:
        writer = Writer(file)
        writer.add(writer.begin("a/b", [listed]), 1, data, listed.sha256)
        writer.end()


def test_it_has_its_name_at_the_end(tmp_path: Path) -> None:
    """And then nothing else is left."""
    with new_file(tmp_path / "a.tar") as file:
        file.write(b"whole")
        assert not (tmp_path / "a.tar").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["a.tar"]
    assert (tmp_path / "a.tar").read_bytes() == b"whole"


def test_nothing_is_left_of_what_was_broken_off(tmp_path: Path) -> None:
    """Whatever broke it off."""
    with pytest.raises(KeyboardInterrupt), new_file(tmp_path / "a.tar"):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_another_was_faster(tmp_path: Path) -> None:
    """Its file stays."""
    with pytest.raises(CannotWrite, match="File exists"), new_file(tmp_path / "a.tar"):
        (tmp_path / "a.tar").write_bytes(b"other")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"other"]


@pytest.mark.usefixtures("full_disk")
@pytest.mark.parametrize("size", [5000, 1 << 20])
def test_a_full_disk(tmp_path: Path, size: int) -> None:
    """Whether it is met at once, or when what was kept back is written."""
    with pytest.raises(CannotWrite, match="cannot be written: File too large"):
        _write(tmp_path / "a.tar", bytes(size))
    assert list(tmp_path.iterdir()) == []
