"""What an import says of keys that the signer does not hold."""

from __future__ import annotations

from notary_server.archive.imported import Imported, Taken
from notary_server.archive.keys import Lacking
from notary_server.tuf.names import SNAPSHOT, TIMESTAMP, KeyId, RoleName


def lacking(*roles: RoleName) -> list[Lacking]:
    """So many roles without a key."""
    return [Lacking(role, (KeyId(f"key of {role}"),), f"rotate {role}") for role in roles]


def test_an_owners_snapshot_key_is_no_alarm() -> None:
    """Every repository that `notary init` makes has one."""
    result = Imported(False, [Taken("a", "current")], {"a": lacking(SNAPSHOT)})
    text = result.as_text()
    assert (
        "of 1 repositories the signer does not hold the snapshot key alone: mostly their owners hold it"
        in text
    )
    assert "not be published to" not in text


def test_without_the_timestamp_key_owners_have_to_do_something() -> None:
    """What happens until then, and what to run, for each repository."""
    result = Imported(
        False,
        [Taken("a", "imported"), Taken("b", "imported")],
        {"a": lacking(TIMESTAMP, SNAPSHOT), "b": lacking(SNAPSHOT)},
    )
    text = result.as_text()
    assert "does not hold those of 1 repositories" in text
    assert "a: timestamp key key of timestamp" in text
    assert "rotate snapshot" in text
    assert "b:" not in text
    assert "of 1 repositories the signer does not hold the snapshot key alone" in text
