"""RFC 3339 times as Go reads them, to the nanosecond (docs/reference/protocol.md, 3)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from notary_server.tuf import instant

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@given(
    st.datetimes(),
    st.integers(0, 999_999_999),
    st.none() | st.integers(-1439, 1439),
)
@example(datetime(1, 1, 1), 0, None)  # noqa: DTZ001
@example(datetime(2000, 2, 29), 1, -90)  # noqa: DTZ001
def test_every_moment(moment: datetime, fraction: int, offset: int | None) -> None:
    """Every date, nanosecond and zone is read exactly."""
    moment = moment.replace(microsecond=0)
    zone = (
        "Z" if offset is None else f"{'-' if offset < 0 else '+'}{abs(offset) // 60:02}:{abs(offset) % 60:02}"
    )
    local = f"{moment.year:04}-{moment:%m-%dT%H:%M:%S}"
    since = moment.replace(tzinfo=UTC) - EPOCH - timedelta(minutes=offset or 0)
    expected = since // timedelta(seconds=1) * instant.SECOND + fraction
    assert instant.parse(f"{local}.{fraction:09}{zone}") == expected


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("1970-01-01T00:00:01Z", 1_000_000_000),
        ("1970-01-01T00:00:00.5Z", 500_000_000),
        ("1970-01-01T00:00:00,5Z", 500_000_000),
        ("1970-01-01T0:00:00.0000000019Z", 1),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1970-01-01T00:00:00-00:30", 1_800_000_000_000),
        ("1970-01-01T24:59:00+24:59", None),
        ("0000-12-31T23:59:59Z", instant.ZERO - instant.SECOND),
        ("0000-02-29T00:00:00Z", instant.ZERO - 307 * 86_400 * instant.SECOND),
    ],
)
def test_spellings(text: str, nanoseconds: int | None) -> None:
    """A comma, a short hour, long fractions and the year 0 are read as Go reads them."""
    if nanoseconds is None:
        with pytest.raises(ValueError, match="does not exist"):
            instant.parse(text)
    else:
        assert instant.parse(text) == nanoseconds


@pytest.mark.parametrize(
    "text",
    ["", "2030-01-01", "2030-01-01T00:00:00", "2030-01-01 00:00:00Z", "2030-01-01t00:00:00Z", "2030-01-01T00:00:00z",
     "2030-1-01T00:00:00Z", "2030-01-01T00:0:00Z", "2030-01-01T00:00:00.Z", "2030-01-01T00:00:00+0000",
     "2030-01-01T00:00:00+1:00", "12030-01-01T00:00:00Z", " 2030-01-01T00:00:00Z", "2030-01-01T00:00:00Z\n",
     "2030-13-01T00:00:00Z", "2030-02-30T00:00:00Z", "1900-02-29T00:00:00Z", "2030-01-01T24:00:00Z",
     "2030-01-01T00:60:00Z", "2030-01-01T00:00:60Z", "٢٠٣٠-01-01T00:00:00Z"],
)  # fmt: skip
def test_what_is_no_time(text: str) -> None:
    """Other layouts, and dates or times of day that do not exist, are refused."""
    with pytest.raises(ValueError, match=r"RFC 3339|exist|must be in|out of range"):
        instant.parse(text)


def test_aware_datetimes_agree() -> None:
    """The standard library, given the same moment in another zone, agrees."""
    moment = datetime(2026, 7, 1, 12, 30, tzinfo=timezone(timedelta(hours=5, minutes=45)))
    assert instant.parse(moment.isoformat()) == int(moment.timestamp()) * instant.SECOND
