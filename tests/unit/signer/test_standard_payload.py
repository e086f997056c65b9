"""The signer's policy for TUF 1.0: what a key may sign, and in which dialect."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tuf.api.metadata import Metadata, MetaFile, Snapshot, Timestamp

from notary_common.wire import OnlineRole
from notary_signer import policy
from tests.support.payloads import canonical, snapshot_signed, timestamp_signed

NOW = datetime(2026, 1, 15, 12, tzinfo=UTC)
SOON = NOW + timedelta(days=14)
LISTED = MetaFile(3, 10, {"sha256": "a" * 64})


def timestamp(**changes: Any) -> dict[str, Any]:
    return {**Timestamp(version=7, expires=SOON, snapshot_meta=LISTED).to_dict(), **changes}


def snapshot(**changes: Any) -> dict[str, Any]:
    meta = {"targets.json": LISTED, "targets/releases.json": MetaFile(1), "Bin-0a.json": LISTED}
    return {**Snapshot(version=7, expires=SOON, meta=meta).to_dict(), **changes}


def problem(role: OnlineRole, signed: Any) -> str | None:
    return policy.payload_problem(role, canonical(signed), NOW)


def test_what_python_tuf_makes_may_be_signed() -> None:
    """Its canonical form is the signer's, and version and dialect are read from it."""
    for role, body in (
        ("timestamp", Timestamp(7, None, SOON, LISTED)),
        ("snapshot", Snapshot(7, None, SOON)),
    ):
        payload = Metadata(body).signed_bytes  # type: ignore[type-var]
        assert policy.payload_problem(role, payload, NOW) is None  # type: ignore[arg-type]
        assert (policy.payload_version(payload), policy.payload_dialect(payload)) == (7, "tuf-1.0")
    assert problem("timestamp", timestamp()) is None
    assert problem("snapshot", snapshot()) is None
    for signed in (timestamp_signed(), snapshot_signed()):
        assert policy.payload_dialect(canonical(signed)) == "notary"


def entry(**changes: Any) -> dict[str, Any]:
    return {"meta": {"snapshot.json": {**LISTED.to_dict(), **changes}}}


@pytest.mark.parametrize("changes", [
    {"_type": "Timestamp"}, {"_type": "snapshot"}, {"_type": "root"}, {"spec_version": "2.0.0"}, {"spec_version": 1},
    {"spec_version": "1.0.31\n"}, {"version": 0}, {"version": 2**31}, {"version": True}, {"more": "x"},
    {"expires": "2020-01-01T00:00:00Z"}, {"expires": (NOW + timedelta(days=61)).strftime("%Y-%m-%dT%H:%M:%SZ")},
    {"expires": SOON.strftime("%Y-%m-%dT%H:%M:%S.5Z")}, {"expires": None}, {"meta": {}}, {"meta": None}, {"meta": "x"},
    {"meta": {"snapshot": LISTED.to_dict()}}, {"meta": {"snapshot.json": LISTED.to_dict(), "x.json": LISTED.to_dict()}},
    entry(version=0), entry(version="1"), entry(length=-1), entry(length=2**63), entry(hashes={}), entry(hashes=None),
    entry(hashes={"sha256": "A" * 64}), entry(hashes={"sha256": "a" * 63}), entry(hashes={"md5": "a"}), entry(more="x"),
    entry(hashes={"sha256": "a" * 64, "sha512": "b" * 127}), {"meta": {"snapshot.json": {"length": 1}}},
], ids=str)  # fmt: skip
def test_anything_else_is_refused(changes: dict[str, Any]) -> None:
    """As strictly as in Notary's dialect."""
    assert problem("timestamp", timestamp(**changes)) is not None


@pytest.mark.parametrize(
    "name",
    ["root.json", "timestamp.json", "snapshot.json", "targets", ".json", "a\nb.json", "x" * 256 + ".json"],
)
def test_a_snapshot_lists_targets_files_alone(name: str) -> None:
    """Whatever they are called, but nothing that is found in another way."""
    meta = {"targets.json": LISTED.to_dict(), name: LISTED.to_dict()}
    assert problem("snapshot", snapshot(meta=meta)) is not None
    assert (
        problem("snapshot", snapshot(meta={"releases.json": LISTED.to_dict()}))
        == "a snapshot lists targets.json"
    )


def test_a_key_keeps_to_its_dialect() -> None:
    """The first signature decides."""
    assert policy.dialect_problem(None, "tuf-1.0") is None
    assert policy.dialect_problem("tuf-1.0", "tuf-1.0") is None
    assert policy.dialect_problem("notary", "tuf-1.0") is not None
    assert policy.dialect_problem("tuf-1.0", "notary") is not None
