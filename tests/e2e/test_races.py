"""Several people publish to one repository at the same time: nothing is lost, and the loser learns what to do."""

from __future__ import annotations

import re

import pytest

from .conftest import NewPerson
from .notary_cli import PASSPHRASE, Person, finish
from .terminal import Terminal

pytestmark = pytest.mark.e2e

LOST = (
    "An error occurred during validation: targets version {version} was published by someone else while you were "
    "signing; run publish again (with docker: sign again)"
)
"""What stands on the loser's screen."""


def test_the_loser_reads_what_happened_and_what_to_do(owner: Person, person: NewPerson, gun: str) -> None:
    """Somebody publishes while another is typing the pass phrase: that one reads so, publishes again, and all is there."""
    owner.notary("add", "-p", gun, "first", owner.file("f", "first"))
    second = owner.copy("second")
    second.notary("add", gun, "slow", second.file("f", "slow"))
    with Terminal(second, "publish", gun) as terminal:
        terminal.wait_for(
            "Enter passphrase for targets key"
        )  # it has read the repository and is about to sign
        owner.notary("add", "-p", gun, "fast", owner.file("f", "fast"))
        terminal.type(PASSPHRASE)
        terminal.wait_for("Enter passphrase for snapshot key")
        terminal.type(PASSPHRASE)
        status, screen = terminal.end()
    assert status == 1
    assert screen.partition("* fatal: ")[2].strip() == LOST.format(version=4)
    assert set(person("reader").listed(gun)) == {"first", "fast"}
    second.notary("publish", gun)
    assert set(person("reader").listed(gun)) == {"first", "fast", "slow"}


def test_four_people_publish_at_once(owner: Person, person: NewPerson, gun: str) -> None:
    """Four people publish until each got through: every one of them in at most four rounds, and nothing is lost."""
    people = [owner, *(owner.copy(f"person {number}") for number in range(3))]
    for number, one in enumerate(people):
        one.notary("add", gun, f"v{number}", one.file("f", str(number)))
    left, rounds = list(people), 0
    while left:
        rounds += 1
        shown = [
            (one, finish(process)) for one, process in [(one, one.start("publish", gun)) for one in left]
        ]
        losers = [(one, what) for one, what in shown if what.status != 0]
        for _, what in losers:
            assert re.sub(r"version \d+", "version {version}", what.fatal) == LOST
        assert len(losers) < len(left), "nobody got through"
        left = [one for one, _ in losers]
    assert rounds <= len(people)
    assert set(person("reader").listed(gun)) == {"v0", "v1", "v2", "v3"}


def test_four_delegates_publish_at_once(owner: Person, person: NewPerson, gun: str) -> None:
    """Delegates with keys of their own sign different roles: all of them get through at once, nobody has to repeat."""
    owner.notary("key", "rotate", gun, "snapshot", "-r")
    people = [person(f"delegate{number}") for number in range(4)]
    for number, one in enumerate(people):
        one.delegation_key(f"d{number}")
        pem = str(one.folder / f"d{number}.pem")
        owner.notary("delegation", "add", gun, f"targets/d{number}", pem, "--all-paths")
    owner.notary("publish", gun)
    for number, one in enumerate(people):
        one.notary("add", gun, f"v{number}", one.file("f", str(number)), "-r", f"targets/d{number}")
    shown = [finish(process) for process in [one.start("publish", gun) for one in people]]
    assert [what.fatal for what in shown] == ["", "", "", ""]
    assert set(person("reader").listed(gun)) == {"v0", "v1", "v2", "v3"}


def test_two_people_create_one_repository(person: NewPerson, gun: str) -> None:
    """Two people initialise the same name: the second reads that it is taken, and the first one's stays."""
    first, second = person("first"), person("second")
    for one in (first, second):
        one.notary("init", gun)
        one.notary("add", gun, "mine", one.file("f", str(one.folder)))
    with Terminal(second, "publish", gun) as terminal:
        terminal.wait_for("Enter passphrase for targets key")
        first.notary("publish", gun)
        terminal.type(PASSPHRASE)
        terminal.wait_for("Enter passphrase for snapshot key")
        terminal.type(PASSPHRASE)
        status, screen = terminal.end()
    assert status == 1
    assert "The root metadata is invalid: " in screen
    assert "it is not signed with the root keys that are published for this repository already" in screen
    assert set(person("reader").listed(gun)) == {"mine"}
    first.notary("add", "-p", gun, "more", first.file("f", "more"))
