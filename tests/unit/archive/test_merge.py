"""What is missing is added; what has parted, goes back or hangs on nothing is refused."""

from __future__ import annotations

import pytest

from notary_server.archive.format import Entry
from notary_server.archive.merge import Refused, Row, check_direction, check_roots, missing
from notary_server.tuf.names import RoleName

from .archives import entry


def rows(*entries: Entry, deleted: bool = False) -> list[Row]:
    """As a database has them."""
    return [Row(number, one, deleted) for number, one in enumerate(entries)]


def file(role: str, version: int, salt: str = "") -> Entry:
    """A file like no other."""
    return entry(role, version, f"{role} {version} {salt}".encode())


def test_only_what_is_missing() -> None:
    """Everything, something, nothing."""
    files = [file("targets", version) for version in (1, 2, 3)]
    assert missing(files, []) == files
    assert missing(files, rows(files[0], file("root", 1))) == files[1:]
    assert missing(files, rows(*files)) == []


def test_another_file_of_the_same_version() -> None:
    """It is named with both digests."""
    ours, theirs = file("targets/a", 2), file("targets/a", 2, "other")
    with pytest.raises(Refused, match="another targets/a of version 2") as refused:
        missing([theirs], rows(ours))
    assert ours.sha256 in str(refused.value)
    assert theirs.sha256 in str(refused.value)


def test_a_row_that_is_marked_as_deleted() -> None:
    """It takes the place in the index, and nobody is served it."""
    with pytest.raises(Refused, match="marked as deleted"):
        missing([file("root", 1)], rows(file("root", 1), deleted=True))


@pytest.mark.parametrize(
    ("stored", "added"),
    [
        (set(), {5, 9}),
        ({1}, {2, 3}),
        ({3}, {1, 2, 4}),
        ({1, 2, 5}, {3}),
        ({1, 5}, {4}),
        ({2, 9}, set()),
    ],
)
def test_roots_that_follow(stored: set[int], added: set[int]) -> None:
    """Each new one is linked to a stored one, upwards or downwards; a new repository may have gaps."""
    check_roots(stored, added)


@pytest.mark.parametrize(("stored", "added"), [({1}, {3}), ({1, 2}, {3, 5}), ({5}, {3}), ({1, 9}, {5})])
def test_roots_across_a_gap(stored: set[int], added: set[int]) -> None:
    """They may be anybody's."""
    with pytest.raises(Refused, match="does not follow"):
        check_roots(stored, added)


def _at(timestamp: int, targets: int, *more: Entry) -> set[Entry]:
    return {file("timestamp", timestamp), file("snapshot", timestamp), file("targets", targets), *more}


def _current(*files: Entry) -> dict[RoleName, str]:
    """The digests of the highest of each role."""
    return {RoleName(one.role): one.sha256 for one in sorted(files, key=lambda one: one.version)}


def test_forward() -> None:
    """A newer archive with newer files, or with the same, on top of what is stored; or onto nothing."""
    stored, newer = _at(3, 2), _at(5, 4)
    check_direction(stored, newer, _current(*newer))
    check_direction(set(), newer, _current(*newer))
    check_direction(stored, {file("timestamp", 4), file("snapshot", 4)}, _current(*_at(4, 2)))


def test_older_files_below_what_is_stored() -> None:
    """Pruned versions come back; what clients get stays."""
    stored, older = _at(5, 4), _at(3, 2)
    check_direction(stored, older, _current(*stored))
    check_direction(stored, set(), _current(*stored))


def test_a_row_that_was_lost_is_mended() -> None:
    """The stored timestamp leads to it."""
    check_direction(_at(5, 3), {file("targets", 4)}, _current(*_at(5, 4)))


@pytest.mark.parametrize(
    "stored",
    [_at(3, 5), _at(3, 2, file("targets/a", 1))],
    ids=["targets would go back", "a delegation would be lost"],
)
def test_a_newer_timestamp_that_leads_back(stored: set[Entry]) -> None:
    """Clients that have seen what is stored would be told of an attack."""
    newer = _at(7, 4)
    with pytest.raises(Refused, match=r"is stored, and the newest timestamp, which is of the archive"):
        check_direction(stored, newer, _current(*newer))


@pytest.mark.parametrize("added", [_at(3, 5), _at(3, 2, file("targets/a", 1))])
def test_an_older_timestamp_with_newer_files(added: set[Entry]) -> None:
    """The stored repository has gone another way."""
    stored = _at(7, 4)
    with pytest.raises(Refused, match="is in the archive, and the newest timestamp"):
        check_direction(stored, added, _current(*stored))
