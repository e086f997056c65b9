"""What is said of what was seen, for every outcome."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notary_server.doctor import checks
from notary_server.doctor.checks import Check, Status

NOW = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("left", "status"),
    [
        (timedelta(seconds=-1), "failed"),
        (timedelta(), "warning"),
        (checks.SOON - timedelta(seconds=1), "warning"),
        (checks.SOON, "ok"),
    ],
)
def test_certificates_are_judged_by_the_time_that_is_left(left: timedelta, status: Status) -> None:
    """An ended one is refused by everybody."""
    check = checks.ends("x", NOW + left, NOW)
    assert check.status == status
    assert bool(check.remedy) == (status != "ok")


@given(st.integers(0, 0o777))
def test_secrets_are_for_their_owner_and_a_group_that_reads(mode: int) -> None:
    """As the kubelet makes them: 440 or 640. Nobody else may read them, and nobody else may write."""
    harmless = mode & 0o007 == 0 and mode & 0o020 == 0
    assert (checks.secret("x", "key.pem", mode) is None) == harmless


@pytest.mark.parametrize(
    ("seconds", "status", "words"),
    [
        (0.0, "ok", ""),
        (-5.0, "ok", ""),
        (5.1, "failed", "5 seconds ahead of"),
        (-90.0, "failed", "90 seconds behind"),
    ],
)
def test_clocks_that_differ_are_told_with_their_direction(seconds: float, status: Status, words: str) -> None:
    """Five seconds are no trouble."""
    check = checks.clock(seconds)
    assert check.status == status
    assert words in check.text


@pytest.mark.parametrize(
    ("pool", "allowed", "status"), [(10, 100, "ok"), (50, 100, "ok"), (51, 100, "warning")]
)
def test_a_pool_must_fit_twice(pool: int, allowed: int, status: Status) -> None:
    """During a reload the old and the new process are there."""
    assert checks.connections(pool, allowed).status == status


@pytest.mark.parametrize(("allowed", "status"), [(1024, "warning"), (4095, "warning"), (4096, "ok")])
def test_few_open_files_are_few_connections(allowed: int, status: Status) -> None:
    """Many systems give 1,024 unless told otherwise."""
    assert checks.open_files(allowed).status == status


@pytest.mark.parametrize(
    ("statuses", "outcome", "total"),
    [
        (["ok", "ok"], "ok", "2 checks: all is well"),
        (["ok", "warning"], "warning", "2 checks: 1 warning"),
        (["warning", "failed", "skipped"], "failed", "3 checks: 1 failed, 1 warning, 1 skipped"),
    ],
)
def test_the_worst_counts(statuses: list[Status], outcome: Status, total: str) -> None:
    """What was skipped was skipped for something that failed."""
    found = [Check("x", status, "") for status in statuses]
    assert checks.worst(found) == outcome
    assert checks.total(found) == total


def test_a_line_has_what_to_do_below_it() -> None:
    """Nothing that came from outside steers the terminal."""
    told = checks.line(Check("database", "failed", "gone\x1b[2J", "start it"))
    assert told.splitlines() == [
        "failed   database                       gone\N{REPLACEMENT CHARACTER}[2J",
        "                                        -> start it",
    ]
    assert checks.line(Check("database", "ok", "there")) == "ok       database                       there"
