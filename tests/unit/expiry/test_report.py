"""Whom to call about what ends, and what is told for people and for programs."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notary_server.expiry.ends import KINDS, End, Kind
from notary_server.expiry.report import OwnersProblem, as_text, chosen, contact, read_owners
from notary_server.tuf.names import RoleName

from ..tuf.world import DAY

NOW = 1_800_000_000 * 10**9


def end(kind: Kind, days: int) -> End:
    """Something that ends in so many days."""
    return End(kind, RoleName("targets/a" if kind == "delegation" else "root"), NOW + days * DAY)


@pytest.mark.parametrize(
    ("gun", "whom"),
    [
        ("reg.example/team/app", "team"),
        ("reg.example/team", "team"),
        ("reg.example/teamwork", "all"),
        ("reg.example", "all"),
        ("reg.example.org/team", ""),
        ("other", ""),
    ],
)
def test_the_longest_prefix_of_whole_segments_counts(gun: str, whom: str) -> None:
    """`team` is not about `teamwork`."""
    assert contact(gun, {"reg.example": "all", "reg.example/team/": "team"}) == whom


def test_owners_are_read_from_lines_of_two_fields(tmp_path: Path) -> None:
    """A contact may hold commas if it is quoted."""
    path = tmp_path / "owners.csv"
    path.write_text('# PREFIX,CONTACT\n\nreg.example, all@example.org\nreg.example/team,"Team, #chat"\n')
    assert read_owners(path) == {"reg.example": "all@example.org", "reg.example/team": "Team, #chat"}


@pytest.mark.parametrize("text", ["reg.example\n", "a,b\nreg.example,\n", "a,b,c\n"])
def test_another_form_is_refused_with_its_line(tmp_path: Path, text: str) -> None:
    """A contact that was lost is found when it is needed, and not before."""
    path = tmp_path / "owners.csv"
    path.write_text(text)
    with pytest.raises(OwnersProblem, match=f"line {len(text.splitlines())}: write PREFIX,CONTACT"):
        read_owners(path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """As every file that an operator names."""
    with pytest.raises(OwnersProblem, match=r"missing\.csv cannot be read"):
        read_owners(tmp_path / "missing.csv")


@given(st.sampled_from(KINDS), st.integers(-900, 900), st.integers(0, 900))
def test_what_is_over_or_ends_within_is_chosen(kind: Kind, days: int, within: int) -> None:
    """Timestamps only once they are over: until then the server renews them."""
    found = chosen("reg.example/app", [end(kind, days)], {"reg.example": "all"}, NOW, within * DAY)
    assert bool(found) == (days < (0 if kind == "timestamp" else within))
    assert all(entry.contact == "all" for entry in found)


def test_people_read_dates_names_contacts_and_what_to_do() -> None:
    """Nothing in a name can steer their terminal."""
    entries = chosen(
        "reg.example/\x1b[2J", [end("root_certificate", 3), end("delegation", -2)], {}, NOW, 9 * DAY
    )
    text = as_text(entries, NOW, "9 days")
    assert "\x1b" not in text
    assert "2027-01-18  3     root certificate" in text
    assert "2027-01-13  -2    targets/a" in text
    assert "root certificate (1): The owner rotates the root key" in text
    assert as_text([], NOW, "9 days") == "nothing ends within 9 days"


def test_programs_get_the_same() -> None:
    """The advice is of the kind; who to call is null if nobody is known."""
    (entry,) = chosen("reg.example/app", [end("root", 3)], {}, NOW, 9 * DAY)
    assert entry.as_json(NOW) == {
        "gun": "reg.example/app",
        "kind": "root",
        "role": "root",
        "ends": "2027-01-18",
        "days": 3,
        "contact": None,
        "advice": "The owner signs a new root, by rotating any key: notary key rotate GUN timestamp -r",
    }


def test_owners_of_standard_repositories_are_told_something_else() -> None:
    """Notary's commands do nothing for them."""
    found = [end("root", 3), end("timestamp", -1)]
    standard = chosen("a", found, {}, NOW, 9 * DAY, standard=True)
    told = {entry.end.kind: entry.advice for entry in standard}
    assert told["root"] == "The owner publishes the file anew with a later date"
    assert told["timestamp"].startswith("It is over and the server could not renew it")
    text = as_text([*standard, *chosen("b", found[:1], {}, NOW, 9 * DAY)], NOW, "9 days")
    assert "root (1): The owner publishes the file anew" in text
    assert "root (1): The owner signs a new root" in text
