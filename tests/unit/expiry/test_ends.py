"""When the files of a repository end: of both dialects, of what is current only, whatever the bytes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notary_server.expiry.ends import KINDS, LATEST, ends
from notary_server.inspection.examine import Stored
from notary_server.tuf.model import FileSummary
from notary_server.tuf.names import Gun, RoleName, Sha256Hex
from tests.unit.tuf10.repository import GUN as STANDARD_GUN
from tests.unit.tuf10.repository import Repository

from ..tuf.world import DAY, GUN, World

_DATE = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)


def stored(files: Mapping[str, bytes], *, gun: str = GUN, current: frozenset[str] | None = None) -> Stored:
    """What a database holds that has these latest files; `current`: those that are listed, usually all."""
    digests = {role: Sha256Hex(hashlib.sha256(data).hexdigest()) for role, data in files.items()}
    return Stored(
        gun=Gun(gun),
        latest={RoleName(role): FileSummary(1, digests[role], len(data)) for role, data in files.items()},
        files={RoleName(role): data for role, data in files.items()},
        current={RoleName(role): digests[role] for role in files if current is None or role in current},
        roots=[1],
    )


def file(expires: str) -> bytes:
    """As much of a file as counts here."""
    return json.dumps({"signed": {"expires": expires, "version": 1}, "signatures": []}).encode()


def at(days: int) -> str:
    """A date so many days after `_DATE`."""
    return f"{_DATE + timedelta(days=days):%Y-%m-%dT%H:%M:%SZ}"


def test_a_published_repository_has_an_end_of_every_kind() -> None:
    """The dates are those of the files; the certificate's is that which clients go by."""
    world = World()
    world.first()
    world.publish(
        {
            "targets": world.owner.targets(2, delegates=["targets/a"]),
            "targets/a": world.owner.delegation("targets/a"),
        }
    )
    files = {role: world.latest(role) for role in world.files}
    found = {end.kind: end for end in ends(stored(files))}
    assert set(found) == set(KINDS)
    assert found["delegation"].role == "targets/a"
    for kind, end in found.items():
        if kind != "root_certificate":
            written = json.loads(files[end.role])["signed"]["expires"].split(".")[0].rstrip("Z")
            moment = datetime.fromisoformat(written[:19]).replace(tzinfo=UTC)
            assert abs(end.ends_ns - moment.timestamp() * 1e9) < 14 * 3600 * 10**9, (
                kind
            )  # whatever its offset
    assert found["root_certificate"].ends_ns > world.now_ns + DAY


def test_standard_repositories_have_no_root_certificate() -> None:
    """TUF 1.0's keys are plain. Its snapshot does not list root, which is current all the same."""
    repository = Repository()
    repository.publish({"root": repository.next("root"), "targets": repository.next("targets")})
    files = {role: repository.latest(role) for role in repository.files}
    found = {end.kind for end in ends(stored(files, gun=STANDARD_GUN, current=frozenset(files) - {"root"}))}
    assert {"root", "targets", "snapshot", "timestamp"} <= found
    assert "root_certificate" not in found


def test_the_delegation_that_ends_first_counts_and_only_if_it_is_listed() -> None:
    """What no snapshot lists any more troubles nobody."""
    files = {
        "targets": file(at(9)),
        "targets/a": file(at(5)),
        "targets/b": file(at(3)),
        "targets/c": file(at(1)),
    }
    found = ends(stored(files, current=frozenset({"targets", "targets/a", "targets/b"})))
    assert [(end.kind, end.role) for end in found] == [("targets", "targets"), ("delegation", "targets/b")]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b'{"signed":{}}',
        file("soon"),
        file("2030-02-30T00:00:00Z"),
        b'{"signed":{"expires":7}}',
    ],
)
def test_what_cannot_be_read_is_left_out(data: bytes) -> None:
    """The rest of the repository is told all the same."""
    assert [end.kind for end in ends(stored({"root": data, "targets": file(at(1))}))] == ["targets"]


def test_a_root_that_its_certificates_do_not_verify_has_a_date_of_its_own() -> None:
    """`repo verify` tells that it is broken."""
    assert [end.kind for end in ends(stored({"root": file(at(1))}))] == ["root"]


@given(st.integers(0, 9999), st.integers(1, 12), st.integers(1, 28))
def test_every_year_fits_into_the_table(year: int, month: int, day: int) -> None:
    """Go writes years that 64 bits of nanoseconds do not hold."""
    (end,) = ends(stored({"targets": file(f"{year:04}-{month:02}-{day:02}T00:00:00Z")}))
    assert -LATEST <= end.ends_ns <= LATEST
    if 1971 <= year <= 2261:
        assert end.ends_ns == int(datetime(year, month, day, tzinfo=UTC).timestamp()) * 10**9


@given(st.binary(max_size=200))
def test_no_bytes_are_an_error(data: bytes) -> None:
    """Whatever is stored, a scan goes on."""
    ends(stored({"root": data, "targets/a": data}))
