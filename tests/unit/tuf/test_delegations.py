"""Targets and delegations against root and each other, without a repository around them."""

from __future__ import annotations

import time
from typing import Any

import pytest

from notary_server.tuf.delegations import BadTargetsError, verify_targets, verify_uploaded
from notary_server.tuf.document import Document, by_role
from notary_server.tuf.model import Root
from notary_server.tuf.names import RoleName
from notary_server.tuf.parse import parse_root
from tests.publisher import Publisher
from tests.publisher.files import expires_in
from tests.publisher.keys import ecdsa_key

T, A, AX = RoleName("targets"), RoleName("targets/a"), RoleName("targets/a/x")


@pytest.fixture
def owner() -> Publisher:
    """Somebody with keys of their own for every role."""
    made = Publisher("docker.example/team/app")
    made.server_keys = {role: ecdsa_key().object for role in ("snapshot", "timestamp")}
    return made


def root_of(owner: Publisher, **knobs: Any) -> Root:
    """The owner's root as read."""
    return parse_root(owner.root(**knobs)).body


def chain(owner: Publisher) -> dict[RoleName, bytes]:
    """targets delegates to targets/a, which delegates to targets/a/x."""
    return {
        T: owner.targets(delegates=[A]),
        A: owner.delegation(A, delegates=[AX]),
        AX: owner.delegation(AX),
    }


def verified(
    root: Root, uploaded: dict[RoleName, bytes], stored: dict[RoleName, bytes], now_ns: int
) -> list[RoleName]:
    """The roles of the files that were verified, in that order."""
    return list(verify_uploaded(root, by_role(uploaded), by_role(stored), now_ns))


def test_verifies_a_chain_from_whatever_mixture(owner: Publisher) -> None:
    """Each file may be uploaded or stored; what is returned is what was looked at, parents first."""
    files, root = chain(owner), root_of(owner)
    now = time.time_ns()
    assert verified(root, files, {}, now) == [T, A, AX]
    assert verified(root, {AX: files[AX]}, files, now) == [T, A, AX]
    assert verified(root, {A: files[A]}, files, now) == [T, A]
    assert verified(root, {T: files[T]}, files, now) == [T]
    assert verified(root, {}, files, now) == []


def test_the_uploaded_parent_counts(owner: Publisher) -> None:
    """A stored parent is not looked at when a new one is uploaded."""
    files = chain(owner)
    uploaded = {A: files[A], T: owner.targets(2)}
    with pytest.raises(BadTargetsError, match="does not delegate"):
        verified(root_of(owner), uploaded, files, time.time_ns())


def test_a_missing_ancestor_is_named(owner: Publisher) -> None:
    """The text says what must be published first."""
    files = chain(owner)
    with pytest.raises(BadTargetsError, match="targets/a/x cannot be published before targets/a,"):
        verified(root_of(owner), {AX: files[AX]}, {T: files[T]}, time.time_ns())


def test_a_bad_stored_ancestor_is_told_apart(owner: Publisher) -> None:
    """The text says that the fault lies in what is published."""
    files = chain(owner)
    owner.targets_keys = [ecdsa_key()]
    with pytest.raises(BadTargetsError, match="targets/a cannot be published now: as it is published"):
        verified(root_of(owner), {A: files[A]}, files, time.time_ns())


def test_thresholds_above_one(owner: Publisher) -> None:
    """Both keys of a delegation must sign where two are asked for."""
    keys = owner.delegation_keys[A] = [ecdsa_key(), ecdsa_key()]

    def edit(signed: dict[str, Any]) -> None:
        signed["delegations"]["roles"][0]["threshold"] = 2

    root, targets = root_of(owner), owner.targets(delegates=[A], edit=edit)
    now = time.time_ns()
    verified(root, {T: targets, A: owner.delegation(A)}, {}, now)
    for signers in (keys[:1], [keys[0], keys[0]]):
        with pytest.raises(BadTargetsError):
            verified(root, {T: targets, A: owner.delegation(A, signers=signers)}, {}, now)


def test_only_uploads_must_be_fresh(owner: Publisher) -> None:
    """An expired ancestor carries a fresh delegation; an expired upload is refused."""

    def expired(signed: dict[str, Any]) -> None:
        signed["expires"] = expires_in(-1)

    root, targets = root_of(owner), owner.targets(delegates=[A], edit=expired)
    now = time.time_ns()
    verified(root, {A: owner.delegation(A)}, {T: targets}, now)
    verify_targets(root, Document(T, targets))
    with pytest.raises(BadTargetsError, match="expired"):
        verified(root, {T: targets}, {}, now)
