"""What is said of a stored TUF 1.0 repository: nothing while it is in good order, and what is wrong when it is not."""

from __future__ import annotations

import time
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, Root

from notary_server.inspection.examine import Finding, Stored
from notary_server.tuf.names import ROOT, Gun, KeyId, RoleName
from notary_server.upkeep.check import check
from notary_server.upkeep.evidence import Evidence
from tests.tuf10.owner import signed
from tests.unit.tuf.world import DAY, summaries
from tests.unit.tuf10.repository import GUN, Repository

_REPOSITORY = Repository()
_REPOSITORY.publish({"root": _REPOSITORY.next("root"), "targets": _REPOSITORY.next("targets")})
"""Published twice, with a delegation and hash bins; never changed."""


def findings(
    changed: Mapping[str, bytes | None] | None = None,
    *,
    asked: bool = True,
    keyless: bool = False,
    late: int = 0,
    numbered: int = 0,
    roots: list[bytes] | None = None,
) -> list[Finding]:
    """What is said of the repository with other bytes for some files, or without them; `late` in days; `numbered`: the version in alice's row."""
    stored = {role: _REPOSITORY.latest(role) for role in _REPOSITORY.files} | dict(changed or {})
    files = {RoleName(role): data for role, data in stored.items() if data is not None}
    versions = _REPOSITORY.files
    latest = summaries(
        {
            role: {(numbered if role == "alice" else 0) or max(versions[role]): data}
            for role, data in files.items()
        }
    )
    whole = Stored(
        gun=Gun(GUN),
        latest=latest,
        files=files,
        current={role: summary.sha256 for role, summary in latest.items()},
        roots=sorted(versions["root"]),
    )
    root_files = [data for _, data in sorted(versions["root"].items())]
    root_files[-1] = files.get(ROOT, root_files[-1])
    held = {} if keyless else {KeyId(key): held for key, (_, held) in _REPOSITORY.signer.items()}
    return check(
        Evidence(whole, roots or root_files, files), held if asked else None, time.time_ns() + late * DAY
    )


def kinds(*arguments: Mapping[str, bytes | None], **more: bool | int) -> set[tuple[str, str]]:
    """Their weights and kinds."""
    return {(one.weight, one.kind) for one in findings(*arguments, **more)}  # type: ignore[arg-type]


def test_nothing_is_said_of_a_repository_in_good_order() -> None:
    """Whether the signer was asked or not. The delegates' files last for 30 days, so two days ago nothing ended soon."""
    assert kinds(late=-2) == kinds(late=-2, asked=False) == set()


@pytest.mark.parametrize("role", ["root", "targets", "snapshot", "timestamp", "alice", "bin-1"])
def test_a_missing_file_is_found(role: str) -> None:
    """A row that is gone."""
    assert "broken" in {weight for weight, _ in kinds({role: None})}


@given(
    role=st.sampled_from(["root", "targets", "snapshot", "timestamp", "alice", "bin-0"]),
    place=st.floats(0, 0.999),
)
def test_any_changed_byte_is_found(role: str, place: float) -> None:
    """Even if the row's digest was changed with it."""
    data = bytearray(_REPOSITORY.latest(role))
    data[int(len(data) * place)] ^= 1
    assert any(weight == "broken" for weight, _ in kinds({role: bytes(data)}))


def test_a_root_that_the_one_before_did_not_sign() -> None:
    """Good in itself, with the same keys for all other roles: only the succession does not hold."""
    first, stranger = _REPOSITORY.files["root"][1], CryptoSigner.generate_ed25519()
    body = Metadata[Root].from_bytes(_REPOSITORY.latest("root")).signed
    for keyid in list(body.roles["root"].keyids):
        body.revoke_key(keyid, "root")
    body.add_key(stranger.public_key, "root")
    body.roles["root"].threshold = 1
    data = signed(body, [stranger])
    said = findings({"root": data}, roots=[first, data], late=-2)
    assert [one.kind for one in said] == ["chain"]
    assert "the root file is not valid" in said[0].text
    kept = _REPOSITORY.files["root"][2]
    assert findings({"root": kept}, roots=[first, kept], late=-2) == []


def test_a_row_with_another_version_than_its_file() -> None:
    """The file is right in itself, and stored under another number."""
    assert kinds(late=-2, numbered=7) == {("broken", "version-column")}


def test_keys_that_the_signer_does_not_hold() -> None:
    """The owner is led to the address of the key that a TUF 1.0 root lists."""
    said = [one for one in findings(keyless=True) if one.kind == "key"]
    assert [one.weight for one in said] == ["broken", "broken"]
    assert f"GET /v2/{GUN}/_trust/tuf/timestamp.key.json" in said[0].text


def test_an_expired_timestamp_and_an_owner_s_file() -> None:
    """The server renews the one with the signer's key; the other is its owner's to sign."""
    assert kinds(late=20) == {("note", "expired"), ("owner", "expiry")}
    assert ("broken", "expired") in kinds(late=20, asked=False)
    assert ("owner", "expiry") in kinds(late=400)
