"""An archive gives back what was put into it, is the same each time, and is refused if one byte of it is another."""

from __future__ import annotations

import io
import itertools
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notary_server.archive import format as form
from notary_server.archive.format import BLOCK, END, BadArchive, Entry, Index
from notary_server.archive.reading import Archive

from .archives import Files, entry, packed, unpacked

_GUNS = st.from_regex(r"[a-z0-9.é~-]{1,20}(/[a-z0-9_-]{1,20}){0,3}", fullmatch=True).filter(
    lambda gun: not {"", ".", ".."} & set(gun.split("/"))
)
_ROLES = st.sampled_from(
    ["root", "targets", "snapshot", "timestamp", "targets/a", "targets/" + "b" * 247, "bin-7f"]
)
_FILES = st.dictionaries(
    st.tuples(_ROLES, st.integers(1, 2**31 - 1)),
    st.one_of(st.binary(max_size=40), st.sampled_from([b"", b"x" * BLOCK, b"x" * (BLOCK + 1)])),
    min_size=1,
    max_size=6,
)
_REPOSITORIES = st.dictionaries(_GUNS, _FILES, max_size=3).map(lambda found: dict(sorted(found.items())))

SMALL: dict[str, Files] = {
    "a/b": {("root", 1): b"root", ("targets", 2): b"two", ("targets", 10): b"ten"},
    "a/c": {("timestamp", 1): b"x" * BLOCK, ("targets/a", 1): b"same", ("targets/b", 1): b"same"},
}
PACKED = packed(SMALL)


@given(_REPOSITORIES)
def test_what_goes_in_comes_out(repositories: dict[str, Files]) -> None:
    """Bytes, names and versions; and the archive is the same however its files were ordered before."""
    archive = packed(repositories)
    assert unpacked(archive) == repositories
    backwards = {gun: dict(reversed(list(files.items()))) for gun, files in repositories.items()}
    assert packed(backwards) == archive


@given(st.integers(0, len(PACKED) - 1), st.integers(1, 255))
def test_any_changed_byte_is_refused(place: int, change: int) -> None:
    """Of names, sizes, lists, files, what fills up blocks, and the end."""
    changed = bytearray(PACKED)
    changed[place] ^= change
    with pytest.raises(BadArchive, match=r"^(\S+\.json|repository [123]|'.*'|the end): "):
        unpacked(bytes(changed))


@given(st.integers(0, len(PACKED) - 1))
def test_a_cut_archive_is_refused(length: int) -> None:
    """Wherever it was cut off, also between two repositories."""
    with pytest.raises(BadArchive, match="cut off"):
        unpacked(PACKED[:length])


@pytest.mark.parametrize("more", [b"\0", b"x", bytes(10240), END, PACKED])
def test_nothing_may_follow(more: bytes) -> None:
    """Not even the zeros that other programs fill up with."""
    with pytest.raises(BadArchive, match="something follows"):
        unpacked(PACKED + more)


@given(st.binary(max_size=3000))
def test_what_is_no_archive(data: bytes) -> None:
    """It is refused in words."""
    with pytest.raises(BadArchive, match=r"notary-archive\.json: "):
        unpacked(data)


def _archive(*members: tuple[str, bytes]) -> bytes:
    """What somebody else puts together from members."""
    parts = [(form.MARKER_NAME, form.MARKER), *members]
    spelled = (form.header(name, len(data)) + data + form.padding(len(data)) for name, data in parts)
    return b"".join(spelled) + END


def _listed(number: int, data: bytes) -> tuple[str, bytes]:
    return form.index_name(number, form.digest(data)), data


INDEX = form.index_bytes(Index("a/b", (entry("root", 1, b"root"),)))
FILE = form.file_name(1, 1, form.digest(b"root"))


def test_put_together_by_hand() -> None:
    """The members that the next tests change are right to begin with."""
    assert unpacked(_archive(_listed(1, INDEX), (FILE, b"root"))) == {"a/b": {("root", 1): b"root"}}


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ([("../../etc/passwd", b"x")], "etc/passwd': the list of files of repository 1 should come here"),
        ([("/etc/passwd", b"x")], "'/etc/passwd': the list"),
        ([_listed(2, INDEX), (FILE, b"root")], "should come here"),
        ([_listed(1, INDEX), ("../../etc/passwd", b"root")], f"{FILE}: the member at its place is another"),
        ([_listed(1, INDEX), (FILE, b"toor")], f"{FILE}: its bytes are not those that are listed"),
        ([_listed(1, INDEX), (FILE, b"root!")], f"{FILE}: the member at its place is another"),
        ([_listed(1, INDEX), (FILE, b"root"), (FILE, b"root")], "should come here"),
        (
            [
                _listed(1, INDEX),
                (FILE, b"root"),
                _listed(2, INDEX),
                (form.file_name(2, 1, form.digest(b"root")), b"root"),
            ],
            "there twice",
        ),
        ([_listed(1, INDEX)], f"{FILE}: the member at its place is another"),
        ([(form.index_name(1, form.digest(b"x")), INDEX)], "its bytes are not those that its name says"),
        ([_listed(1, INDEX + b" ")], "not spelled as"),
        ([_listed(1, INDEX.replace(b'"gun": "a/b"', b'"gun": "../b"'))], "segment"),
        ([_listed(1, INDEX.replace(b'"gun": "a/b"', b'"gun": "a/\\u001b[2J"'))], "control character"),
        ([_listed(1, INDEX.replace(b'"root"', b'"../root"'))], "a role that cannot be"),
        ([_listed(1, INDEX.replace(b'"version": 1', b'"version": 0'))], "a version that cannot be"),
        ([_listed(1, INDEX.replace(b'"version": 1', b'"version": 2147483648'))], "a version that cannot be"),
        ([_listed(1, INDEX.replace(b'"length": 4', b'"length": -4'))], "a length that cannot be"),
        ([_listed(1, INDEX.replace(b'"length": 4', b'"length": 1099511627776'))], "a length that cannot be"),
        ([_listed(1, INDEX.replace(b'"length": 4', b'"length": 4, "link": "x"'))], "no list of files"),
        ([_listed(1, INDEX.replace(b'"version": 1', b'"version": 1.0'))], "no list of files"),
        ([_listed(1, b"[" * 100_000)], "no list of files"),
        ([_listed(1, b"\xff")], "no list of files"),
        ([_listed(1, b"")], "no list of files"),
    ],
)
def test_what_a_writer_would_not_write(members: list[tuple[str, bytes]], said: str) -> None:
    """Names that lead elsewhere, other members, duplicates, wrong digests, hostile lists: each is refused by name."""
    with pytest.raises(BadArchive) as refused:
        unpacked(_archive(*members))
    assert said in str(refused.value)
    assert str(refused.value).isprintable()


@pytest.mark.parametrize("kind", [b"1", b"2", b"3", b"5", b"x", b"g", b"L", b"S", b"\0"])
def test_only_plain_members(kind: bytes) -> None:
    """No links, devices, folders, longer names, or holes."""
    member = bytearray(form.header(FILE, 4))
    member[156:157] = kind
    member[148:156] = b"%06o\0 " % (256 + sum(member[:148]) + sum(member[156:]))
    good = _archive(_listed(1, INDEX), (FILE, b"root"))
    with pytest.raises(BadArchive, match="its header is not as it is written"):
        unpacked(good.replace(form.header(FILE, 4), bytes(member)))


def test_a_size_that_is_only_said() -> None:
    """Nothing is read, or made room for, before a size is within its bounds."""
    huge = form.header(form.index_name(1, "0" * 64), 8 << 30 - 1)
    with pytest.raises(BadArchive, match="67108864 bytes at most"):
        unpacked(_archive()[: 2 * BLOCK] + huge + END)
    with pytest.raises(BadArchive, match=r"limits\.max_file_bytes is 3"):
        unpacked(PACKED, max_file_bytes=3)


def test_bounds_of_a_list() -> None:
    """As many files as may be; one more is none that an archive can hold."""
    files = tuple(Entry("timestamp", version, "0" * 64, 1) for version in range(1, form.MAX_FILES + 2))
    assert len(form.index_bytes(Index("a", files[:-1]))) < form.MAX_INDEX_BYTES
    with pytest.raises(BadArchive, match="more than 100000 files"):
        form.index_bytes(Index("a", files))
    with pytest.raises(BadArchive, match="no files"):
        form.index_bytes(Index("a", ()))
    longest = tuple(
        Entry("targets/" + "x" * 247, v, "0" * 64, 1) for v in range(2**31 - 1 - form.MAX_FILES, 2**31 - 1)
    )
    form.index_bytes(Index("é" * 255, longest))


def test_repositories_in_order() -> None:
    """The other way round they are refused: one state has one archive."""
    with pytest.raises(BadArchive, match="out of order"):
        unpacked(packed(dict(reversed(SMALL.items()))))


def test_another_archive_between_two_looks() -> None:
    """Who exchanges the file after it was read is found out."""
    file = io.BytesIO(PACKED)
    archive = Archive(file, form.MAX_FILE_BYTES)
    place = archive.places(lambda _: None)[0]
    file.seek(0)
    file.write(packed({"a/b": {("root", 1): b"toor", ("targets", 2): b"two", ("targets", 10): b"ten"}}))
    with pytest.raises(BadArchive, match="changed meanwhile"):
        archive.members(place)


def test_other_programs_read_it() -> None:
    """It is a tar file, whose names are digests of what they name."""
    with tarfile.open(fileobj=io.BytesIO(PACKED)) as tar:
        names = tar.getnames()
        for name, member in itertools.islice(zip(names, tar, strict=True), 1, None):
            data = tar.extractfile(member)
            assert data is not None
            assert form.digest(data.read()) in name
    assert len(names) == 1 + 2 + 6
