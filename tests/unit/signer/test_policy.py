"""The signer's policy: what a key may sign."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notary_common.wire import OnlineRole
from notary_signer import policy
from tests.support.payloads import canonical, entry, instant, snapshot_signed, timestamp_signed

NOW = datetime.now(UTC)
SOUND: dict[OnlineRole, Any] = {"timestamp": timestamp_signed, "snapshot": snapshot_signed}


def problem(role: OnlineRole, signed: Any) -> str | None:
    return policy.payload_problem(role, canonical(signed), NOW)


@pytest.mark.parametrize("role", ["timestamp", "snapshot"])
def test_sound_payloads_may_be_signed(role: OnlineRole) -> None:
    """What the trust server makes passes, and its version is read."""
    payload = canonical(SOUND[role](version=7))
    assert policy.payload_problem(role, payload, NOW) is None
    assert policy.payload_version(payload) == 7


def test_a_role_signs_only_its_own_type() -> None:
    """A snapshot key signs no timestamp, a timestamp key no snapshot, nobody a root or targets."""
    assert problem("timestamp", snapshot_signed()) is not None
    assert problem("snapshot", timestamp_signed()) is not None
    for kind in ("Root", "Targets", "timestamp", None, 1, ["Timestamp"]):
        assert problem("timestamp", timestamp_signed(_type=kind)) is not None


@pytest.mark.parametrize("version", [0, -1, 2**31, 2**63, True, None, "1", 1.0, [1]])
def test_versions_outside_the_column_are_refused(version: Any) -> None:
    """A version is an integer from 1 to 2^31 - 1."""
    assert problem("timestamp", timestamp_signed(version=version)) is not None
    assert problem("timestamp", timestamp_signed(version=2**31 - 1)) is None


@pytest.mark.parametrize("expires", [
    instant(-1), instant(61), "2026-13-01T00:00:00Z", "soon", None, 0, "9999-12-31T23:59:59Z", "",
    instant(1).replace("Z", "+00:00"), instant(1).replace(".123456789Z", ".120Z"), instant(1) + "\n",
], ids=lambda _: "expires")  # fmt: skip
def test_expiry_must_be_near_and_well_spelled(expires: Any) -> None:
    """`expires` lies in the future, not beyond the longest lifetime, spelled as Notary does."""
    assert problem("timestamp", timestamp_signed(expires=expires)) is not None


def test_longest_lifetimes() -> None:
    """A snapshot may live three years and more, a timestamp sixty days, neither any longer."""
    assert problem("snapshot", snapshot_signed(expires=instant(3 * 365 + 30))) is None
    assert problem("snapshot", snapshot_signed(expires=instant(4 * 366 + 1))) is not None
    assert problem("timestamp", timestamp_signed(expires=instant(59))) is None
    assert problem("timestamp", timestamp_signed(expires=instant(15).replace(".123456789", ""))) is None


@pytest.mark.parametrize("meta", [
    {}, None, [], "snapshot", 1, {"snapshot": "x"}, {"snapshot": entry(), "root": entry()}, {"root": entry()}, {"snapshot": None}, {"snapshot": {}},
    {"snapshot": {**entry(), "custom": {}}}, {"snapshot": {**entry(), "length": -1}},
    {"snapshot": {**entry(), "length": True}}, {"snapshot": {**entry(), "length": 2**63}},
    {"snapshot": {**entry(), "hashes": {}}}, {"snapshot": {**entry(), "hashes": {"sha256": "AA=="}}},
    {"snapshot": {**entry(), "hashes": {**entry()["hashes"], "sha512": "AA=="}}},
    {"snapshot": {**entry(), "hashes": {**entry()["hashes"], "sha256": entry()["hashes"]["sha256"][:-2] + "B="}}},
    {"snapshot": {**entry(), "hashes": {**entry()["hashes"], "md5": 5}}},
    {"snapshot": {**entry(), "hashes": None}},
])  # fmt: skip
def test_a_timestamp_lists_exactly_one_sound_snapshot(meta: Any) -> None:
    """Every way to bend `meta` of a timestamp is refused."""
    assert problem("timestamp", timestamp_signed(meta=meta)) is not None


@pytest.mark.parametrize(
    "name", ["timestamp", "snapshot", "targets/", "targets/A", "foo", "targets/a/../b", "t" * 300]
)
def test_a_snapshot_lists_only_roles(name: str) -> None:
    """Root, targets and well-formed delegations; both of the first are there."""
    meta = snapshot_signed()["meta"]
    assert problem("snapshot", snapshot_signed(meta={**meta, name: entry()})) is not None
    for missing in ("root", "targets"):
        less = {key: value for key, value in meta.items() if key != missing}
        assert problem("snapshot", snapshot_signed(meta=less)) is not None


def test_old_entries_of_delegations_are_taken_over() -> None:
    """An entry that an earlier client-signed snapshot had may have other hashes, as long as they are base64."""
    meta = snapshot_signed()["meta"]
    for hashes in ({}, {"md5": "AAAA"}, {"sha512": entry()["hashes"]["sha512"]}):
        signed = snapshot_signed(meta={**meta, "targets/old": {"hashes": hashes, "length": 1}})
        assert problem("snapshot", signed) is None
        signed = snapshot_signed(meta={**meta, "root": {"hashes": hashes, "length": 1}})
        assert problem("snapshot", signed) is not None


def test_members_are_exact() -> None:
    """A member too many or too few is refused: nothing is signed that the policy does not understand."""
    assert problem("timestamp", timestamp_signed(extra=1)) is not None
    assert problem("timestamp", {**timestamp_signed(), "Version": 2}) is not None
    for name in timestamp_signed():
        less = {key: value for key, value in timestamp_signed().items() if key != name}
        assert problem("timestamp", less) is not None


@pytest.mark.parametrize("payload", [
    b"", b"{}", b"null", b"[]", b"\xff", b"\xef\xbb\xbf{}", b"[" * 100_000, b'{"a":' * 50_000, b"1" * 5000,
    b'"\\ud800"', b"NaN", b"x" * (policy.MAX_PAYLOAD_BYTES + 1),
])  # fmt: skip
def test_what_is_no_payload_is_refused_without_failing(payload: bytes) -> None:
    """Garbage, deep nesting, huge numbers and long bodies get an answer."""
    assert policy.payload_problem("timestamp", payload, NOW) is not None


def test_only_the_canonical_spelling_is_signed() -> None:
    """White space, another order, escapes and duplicate members are refused, though they mean the same."""
    sound = canonical(timestamp_signed())
    assert policy.payload_problem("timestamp", sound, NOW) is None
    bent = [
        sound + b"\n",
        sound.replace(b'"version":1', b'"version": 1'),
        json.dumps(dict(reversed(timestamp_signed().items())), separators=(",", ":")).encode(),
        sound.replace(b"Timestamp", b"\\u0054imestamp"),
        sound.replace(b'"version":1', b'"version":9,"version":1'),
        sound.replace(b'"version":1', b'"version":1.0'),
        sound.replace(b'"version":1', b'"version":1e0'),
    ]
    for payload in bent:
        assert payload != sound
        assert policy.payload_problem("timestamp", payload, NOW) is not None


@given(st.data())
def test_no_mutation_of_the_type_or_role_passes(data: st.DataObject) -> None:
    """Whatever single byte of a sound payload is changed, the result is refused or still of the role's type."""
    payload = bytearray(canonical(timestamp_signed(expires=instant(14, NOW))))
    place = data.draw(st.integers(0, len(payload) - 1))
    payload[place] = data.draw(st.integers(0, 255))
    if policy.payload_problem("timestamp", bytes(payload), NOW) is None:
        signed = json.loads(bytes(payload))
        assert signed["_type"] == "Timestamp"
        assert set(signed["meta"]) == {"snapshot"}
        assert 1 <= signed["version"] < 2**31
        assert policy.payload_problem("snapshot", bytes(payload), NOW) is not None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(st.sampled_from(["_type", "expires", "meta", "version"]), JSON)
def test_any_other_value_of_a_member_is_answered(member: str, value: Any) -> None:
    """The policy never fails, and only a version can be replaced by a random value."""
    payload = json.dumps(
        {**timestamp_signed(), member: value}, sort_keys=True, separators=(",", ":")
    ).encode()
    if policy.payload_problem("timestamp", payload, datetime.now(UTC)) is None:
        assert member == "version"


def test_a_key_signs_for_its_own_repository_and_role() -> None:
    """Another GUN or role is refused."""
    assert policy.key_problem("a/b", "snapshot", "a/b", "snapshot") is None
    assert policy.key_problem("a/b", "snapshot", "a/b", "timestamp") is not None
    assert policy.key_problem("a/b", "snapshot", "a/c", "snapshot") is not None


@pytest.mark.parametrize("gun", ["", "x" * 256, "a\0b", "\ud800", "a\tb", "a\u200db", "a\u202eb", "a\u2028b"])
def test_guns_that_no_column_holds_or_nobody_can_read_are_refused(gun: str) -> None:
    """No key is made for a name that cannot be stored, or looks like another one."""
    assert policy.gun_problem(gun) is not None
    assert policy.gun_problem("docker.io/library/ümlaut") is None
    assert policy.gun_problem("a\\b//*") is None


def test_expired_at_the_very_moment() -> None:
    """A payload that expires now is expired."""
    signed = timestamp_signed(expires=NOW.replace(microsecond=0).strftime("%Y-%m-%dT%H:%M:%SZ"))
    assert problem("timestamp", signed) == "the payload has expired"
    assert policy.payload_problem("timestamp", canonical(signed), NOW - timedelta(hours=1)) is None


@given(st.integers(1, policy.MAX_VERSION), st.integers(1, policy.MAX_VERSION))
def test_a_key_never_signs_below_its_highest_version(highest: int, version: int) -> None:
    """Equal and higher pass, lower is refused with both numbers; a key that has signed nothing is free."""
    problem = policy.version_problem(highest, version)
    assert (problem is None) == (version >= highest)
    assert problem is None or (str(highest) in problem and str(version) in problem)
    assert policy.version_problem(None, version) is None


def test_lifetimes_can_be_shortened() -> None:
    """A configured lifetime counts instead of the default, for its role alone."""
    short: dict[OnlineRole, timedelta] = {"timestamp": timedelta(days=2), "snapshot": timedelta(days=30)}
    for days, allowed in ((1, True), (3, False)):
        payload = canonical(timestamp_signed(expires=instant(days)))
        assert (policy.payload_problem("timestamp", payload, NOW, short) is None) == allowed
        assert policy.payload_problem("timestamp", payload, NOW) is None
    payload = canonical(snapshot_signed(expires=instant(3)))
    assert policy.payload_problem("snapshot", payload, NOW, short) is None
