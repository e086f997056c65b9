"""Delegations: names, parents, keys, thresholds, nesting, order, removal."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

import pytest

from tests.publisher import (
    Edit,
    Key,
    Publisher,
    ecdsa_key,
    ed25519_key,
    entry,
    expires_in,
    pem_rsa_key,
    root_key,
    rsa_key,
)
from tests.publisher.certificates import sha1_certificate
from tests.publisher.keys import rsa_private

from .arena import Arena
from .case import BAD_TARGETS, OK, VERSION, Answer, Case, Play
from .edits import drop, put
from .plays import series, then

A, B, AB, ABC = "targets/a", "targets/b", "targets/a/b", "targets/a/b/c"
DAY = dt.timedelta(days=1)


def role(member: str, value: Any, *, number: int = 0) -> Edit:
    """Change one member of a delegated role."""
    return put(("delegations", "roles", number, member), value)


def parent(edit: Edit | None = None, *, version: int = 2, delegates: tuple[str, ...] = (A,)) -> Play:
    """Targets that delegate, bent, without the delegation's file."""
    return then(lambda p: {"targets": p.targets(version, delegates=delegates, edit=edit)})


def child(edit: Edit | None = None, **knobs: Any) -> Play:
    """Targets that delegate and the delegation's file, bent."""
    return then(lambda p: {"targets": p.targets(2, delegates=[A]), A: p.delegation(A, edit=edit, **knobs)})


def both(parent_edit: Edit, **knobs: Any) -> Play:
    """Bent targets and a good delegation."""
    return then(
        lambda p: {"targets": p.targets(2, delegates=[A], edit=parent_edit), A: p.delegation(A, **knobs)}
    )


def named(name: str, answer: Answer) -> Case:
    """Targets that delegate to a role of some name."""
    shown = "".join(char if char.isalnum() else "_" for char in name)[:30]
    return Case(f"name-{shown}", parent(role("name", name)), answer)


def keyed(key: Key, method: str | None = None) -> Play:
    """A delegation signed by a key of some type."""

    def files(pub: Publisher) -> Mapping[str, bytes]:
        pub.delegation_keys[A] = [key]
        return {"targets": pub.targets(2, delegates=[A]), A: pub.delegation(A, method=method)}

    return then(files)


def people(count: int, threshold: int, signers: int) -> Play:
    """A delegation with several keys, some of which sign."""

    def files(pub: Publisher) -> Mapping[str, bytes]:
        keys = pub.delegation_keys[A] = [ecdsa_key() for _ in range(count)]
        targets = pub.targets(2, delegates=[A], edit=role("threshold", threshold))
        return {"targets": targets, A: pub.delegation(A, signers=keys[:signers])}

    return then(files)


def tree(pub: Publisher, *leave_out: str) -> Mapping[str, bytes]:
    """Three levels of delegations."""
    files = {
        "targets": pub.targets(2, delegates=[A, B]),
        A: pub.delegation(A, delegates=[AB]),
        B: pub.delegation(B),
        AB: pub.delegation(AB, delegates=[ABC]),
        ABC: pub.delegation(ABC),
    }
    return {name: data for name, data in files.items() if name not in leave_out}


def two_entries(pub: Publisher) -> Mapping[str, bytes]:
    """Two entries of one name; the second one's key signs."""
    second = ecdsa_key()

    def edit(signed: dict[str, Any]) -> None:
        signed["delegations"]["keys"][second.id] = second.object
        again = signed["delegations"]["roles"][0] | {"keyids": [second.id]}
        signed["delegations"]["roles"].append(again)

    return {"targets": pub.targets(2, delegates=[A], edit=edit), A: pub.delegation(A, signers=[second])}


def misfiled(pub: Publisher, *, used: bool) -> Mapping[str, bytes]:
    """A key under a wrong ID; the delegation is signed under that ID, or by another key."""
    good, wrong = pub.keys_of(A)[0], "12" * 32

    def edit(signed: dict[str, Any]) -> None:
        signed["delegations"]["keys"][wrong] = ecdsa_key().object
        signed["delegations"]["roles"][0]["keyids"].append(wrong)

    bend = lambda made: [*made, made[0] | {"keyid": wrong}] if used else made  # noqa: E731
    targets = pub.targets(2, delegates=[A], edit=edit)
    return {"targets": targets, A: pub.delegation(A, signers=[good], signatures=bend)}


def sha1_key() -> Key:
    """A delegation key under a certificate signed with SHA-1."""
    private = root_key("x").private
    return root_key("x", private, certificate=sha1_certificate(private, "x"))


def outside(pub: Publisher) -> Mapping[str, bytes]:
    """A target outside of the delegation's paths."""
    targets = pub.targets(2, delegates=[A], edit=role("paths", ["only/here"]))
    return {"targets": targets, A: pub.delegation(A, targets={"elsewhere": entry(b"x")})}


def removed(pub: Publisher) -> Mapping[str, bytes]:
    """The delegation is gone from targets, and a file for it comes."""
    return {"targets": pub.targets(3), A: pub.delegation(A, 2)}


def start(pub: Publisher) -> Mapping[str, bytes]:
    """Targets with a delegation, and its file."""
    return {"targets": pub.targets(2, delegates=[A]), A: pub.delegation(A)}


def back_again(pub: Publisher, version: int) -> Mapping[str, bytes]:
    """The delegation, named again, with a file."""
    return {"targets": pub.targets(4, delegates=[A]), A: pub.delegation(A, version)}


def rotated(pub: Publisher, *, old: bool) -> Mapping[str, bytes]:
    """A new key for the delegation, and a file signed by the old or the new one."""
    before = pub.delegation_keys[A]
    pub.delegation_keys[A] = [ecdsa_key()]
    return {
        "targets": pub.targets(3, delegates=[A]),
        A: pub.delegation(A, 2, signers=before if old else None),
    }


def nobody(edit: Edit) -> Play:
    """A delegation whose own `delegations` are bent."""
    return then(
        lambda p: {"targets": p.targets(2, delegates=[A]), A: p.delegation(A, delegates=[AB], edit=edit)}
    )


NAMES = [
    named("targets/b-2_c", OK),
    named("targets/a/b", BAD_TARGETS),
    named("targets", BAD_TARGETS),
    named("root", BAD_TARGETS),
    named("releases", BAD_TARGETS),
    named("", BAD_TARGETS),
    named("targets/", BAD_TARGETS),
    named("targets//", BAD_TARGETS),
    named("targets/A", BAD_TARGETS),
    named("targets/a.b", BAD_TARGETS),
    named("targets/a b", BAD_TARGETS),
    named("targets/.", BAD_TARGETS),
    named("targets/..", BAD_TARGETS),
    named("targets/ü", BAD_TARGETS),
    named("targets/" + "a" * 247, OK),
    named("targets/" + "a" * 248, BAD_TARGETS),
    Case("name-a-number", parent(role("name", 1)), BAD_TARGETS),
    Case("name-missing", parent(drop(("delegations", "roles", 0, "name"))), BAD_TARGETS),
]

PARENTS = [
    Case("announced-only", parent(), OK),
    Case("threshold-0", parent(role("threshold", 0)), BAD_TARGETS),
    Case("threshold-negative", parent(role("threshold", -1)), BAD_TARGETS),
    Case("threshold-missing", parent(drop(("delegations", "roles", 0, "threshold"))), BAD_TARGETS),
    Case("threshold-string", parent(role("threshold", "1")), BAD_TARGETS),
    Case("threshold-unreachable-announced", parent(role("threshold", 9)), OK),
    Case("threshold-unreachable", both(role("threshold", 9)), BAD_TARGETS),
    Case("keyids-unknown", parent(role("keyids", ["ab" * 32])), BAD_TARGETS),
    Case("keyids-string", parent(role("keyids", "x")), BAD_TARGETS),
    Case("keyids-of-numbers", parent(role("keyids", [1])), BAD_TARGETS),
    Case("paths-string", parent(role("paths", "x")), BAD_TARGETS),
    Case("paths-of-numbers", parent(role("paths", [1])), BAD_TARGETS),
    Case("keys-of-strings", parent(put("delegations.keys", {"a": "x"})), BAD_TARGETS),
    Case(
        "keys-with-number-type",
        parent(put(("delegations", "keys", "a"), {"keytype": 1, "keyval": {"public": "AAAA"}})),
        BAD_TARGETS,
    ),
    Case(
        "key-public-not-base64",
        parent(
            put(
                ("delegations", "keys", "a"), {"keytype": "ecdsa", "keyval": {"private": None, "public": "%"}}
            )
        ),
        BAD_TARGETS,
    ),
    Case(
        "unsigned-by-targets-key",
        then(lambda p: {"targets": p.targets(2, delegates=[A], signers=p.keys_of(A))}),
        BAD_TARGETS,
    ),
    Case("two-entries-first-counts", then(two_entries), BAD_TARGETS),
    Case("key-misfiled-unused", then(lambda p: misfiled(p, used=False)), OK, freedom="wrongly filed key"),
    Case("key-misfiled-used", then(lambda p: misfiled(p, used=True)), BAD_TARGETS),
    Case(
        "unused-key",
        parent(put(("delegations", "keys", "ab" * 32), ecdsa_key().object)),
        OK,
        freedom="wrongly filed key",
    ),
    Case("many-delegations", parent(delegates=tuple(f"targets/r{n}" for n in range(60))), OK),
]

CHILDREN = [
    Case("good", child(), OK),
    Case("version-9", child(version=9), OK),
    Case("version-0", child(put("version", 0)), BAD_TARGETS),
    Case("expired", child(put("expires", expires_in(-1))), BAD_TARGETS),
    Case("type-of-its-name", child(put("_type", A)), BAD_TARGETS),
    Case("type-root", child(put("_type", "Root")), BAD_TARGETS),
    Case("targets-a-list", child(put("targets", [])), BAD_TARGETS),
    Case("unsigned", child(signatures=lambda made: []), BAD_TARGETS),
    Case("by-a-stranger", child(signers=[ecdsa_key()]), BAD_TARGETS),
    Case(
        "by-the-targets-key",
        then(lambda p: {"targets": p.targets(2, delegates=[A]), A: p.delegation(A, signers=p.targets_keys)}),
        BAD_TARGETS,
    ),
    Case("not-delegated", then(lambda p: {A: p.delegation(A)}), BAD_TARGETS),
    Case(
        "not-delegated-with-targets",
        then(lambda p: {"targets": p.targets(2, delegates=[B]), A: p.delegation(A)}),
        BAD_TARGETS,
    ),
    Case("outside-of-its-paths", then(outside), OK),
    Case("without-paths", both(role("paths", [])), OK, flaw=1, old_problems="404"),
    Case("two-of-two", people(2, 2, 2), OK),
    Case("one-of-two", people(2, 2, 1), BAD_TARGETS),
    Case("any-of-two", people(2, 1, 1), OK),
    Case("key-ed25519", keyed(ed25519_key()), OK),
    Case("key-p384", keyed(ecdsa_key("P-384")), OK),
    Case("key-rsa", keyed(rsa_key(number=2)), OK),
    Case("key-rsa-pkcs1", keyed(rsa_key(number=2), "rsapkcs1v15"), OK),
    Case("key-rsa-1024", keyed(rsa_key(1024, 5)), BAD_TARGETS),
    Case("key-rsa-pem", keyed(pem_rsa_key(), "pycrypto-pkcs#1 pss"), OK),
    Case("key-certificate", keyed(root_key("somebody")), OK),
    Case("key-certificate-expired", keyed(root_key("x", not_before=-9 * DAY, not_after=-DAY)), OK),
    Case("key-certificate-sha1", keyed(sha1_key()), BAD_TARGETS),
    Case("key-certificate-rsa-1024", keyed(root_key("x", rsa_private(1024, 6))), BAD_TARGETS),
    Case("key-certificate-rsa", keyed(root_key("x", rsa_private(2048, 3))), OK),
    Case("child-delegates-to-sibling", nobody(role("name", B)), BAD_TARGETS),
    Case("child-delegates-to-itself", nobody(role("name", A)), BAD_TARGETS),
    Case("child-delegates-to-grandchild", nobody(role("name", ABC)), BAD_TARGETS),
    Case("child-delegates", nobody(role("threshold", 1)), OK),
]

TREES = [
    Case("tree", then(tree), OK),
    Case("tree-backwards", then(lambda p: dict(reversed(list(tree(p).items())))), OK),
    Case("tree-without-leaf", then(lambda p: tree(p, ABC)), OK),
    Case("tree-without-branch", then(lambda p: tree(p, B)), OK),
    Case("later-leaf", series(lambda p: tree(p, ABC), lambda p: {ABC: p.delegation(ABC)}), OK),
    Case(
        "later-leaf-by-a-stranger",
        series(lambda p: tree(p, ABC), lambda p: {ABC: p.delegation(ABC, signers=[ecdsa_key()])}),
        BAD_TARGETS,
    ),
    Case(
        "leaf-that-nobody-names",
        series(tree, lambda p: {"targets/a/x": p.delegation("targets/a/x")}),
        BAD_TARGETS,
    ),
    Case("update-of-a-branch", series(tree, lambda p: {AB: p.delegation(AB, 2, delegates=[ABC])}), OK),
    Case(
        "update-of-all",
        series(
            tree,
            lambda p: {
                "targets": p.targets(3, delegates=[A, B]),
                A: p.delegation(A, 2, delegates=[AB]),
                ABC: p.delegation(ABC, 2),
            },
        ),
        OK,
    ),
    Case("delegation-alone", series(start, lambda p: {A: p.delegation(A, 2)}), OK),
    Case("delegation-same-version", series(start, lambda p: {A: p.delegation(A, 1)}), VERSION),
    Case(
        "delegation-version-back",
        series(start, lambda p: {A: p.delegation(A, 9)}, lambda p: {A: p.delegation(A, 8)}),
        VERSION,
    ),
    Case(
        "delegation-twice",
        series(start, lambda p: {A: p.delegation(A, 2)}, lambda p: {A: p.delegation(A, 3)}),
        OK,
    ),
    Case("removed", series(start, lambda p: {"targets": p.targets(3)}), OK),
    Case("removed-with-file", series(start, removed), BAD_TARGETS),
    Case(
        "removed-and-back-same-version",
        series(start, lambda p: {"targets": p.targets(3)}, lambda p: back_again(p, 1)),
        VERSION,
    ),
    Case(
        "removed-and-back", series(start, lambda p: {"targets": p.targets(3)}, lambda p: back_again(p, 2)), OK
    ),
    Case("key-rotated", series(start, lambda p: rotated(p, old=False)), OK),
    Case("key-rotated-old-signs", series(start, lambda p: rotated(p, old=True)), BAD_TARGETS),
    Case(
        "key-revoked-file-stays",
        series(start, lambda p: {"targets": p.targets(3, delegates=[A], edit=role("keyids", []))}),
        OK,
        unclean=True,
    ),
]

CASES = [*NAMES, *PARENTS, *CHILDREN, *TREES]


@pytest.mark.differential
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_delegations(case: Case, arena: Arena) -> None:
    """Both servers judge delegations alike."""
    arena.judge(case)
