"""Targets: structure, entries, signatures, thresholds, and what stands beside them in an upload."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.publisher import Publisher, ecdsa_key, entry, expires_in, pem_rsa_key, rsa_key

from .arena import Arena
from .case import BAD_ROOT, BAD_TARGETS, BAD_VALIDATION, MALFORMED_JSON, OK, VERSION, Answer, Case, Play
from .edits import drop, put
from .plays import first, make, series, then

ENTRY = entry(b"content")


def bent(path: str | tuple[str | int, ...], value: Any) -> Play:
    """A first publish whose targets have one member changed."""
    return first(targets={"edit": put(path, value)})


def target(name: str, value: Any, answer: Answer, freedom: str | None = None) -> Case:
    """A first publish with one entry of some shape."""
    return Case(f"entry-{name}", bent(("targets", "v1"), value), answer, freedom=freedom)


def hashed(hashes: Any) -> dict[str, Any]:
    """An entry with other hashes."""
    return ENTRY | {"hashes": hashes}


def keyed(pub: Publisher, count: int, threshold: int, signers: int) -> Mapping[str, bytes]:
    """A first publish with several targets keys, some of which sign."""
    pub.targets_keys = [ecdsa_key() for _ in range(count)]
    root = pub.root(edit=put("roles.targets.threshold", threshold))
    return {"root": root, "targets": pub.targets(signers=pub.targets_keys[:signers])}


def signed_by(method: str | None = None, **knobs: Any) -> Play:
    """An update of targets, signed in some other way."""
    return then(lambda pub: {"targets": pub.targets(2, method=method, **knobs)})


def rsa_signed(key: Any, method: str) -> Play:
    """A first publish whose targets key is RSA, signed by some method."""

    def files(pub: Publisher) -> Mapping[str, bytes]:
        pub.targets_keys = [key]
        return {"root": pub.root(), "targets": pub.targets(method=method)}

    return make(files)


def sig(by: Any) -> Play:
    """An update of targets whose only signature is replaced."""
    return signed_by(signatures=lambda made: [by(made[0])])


def twice_the_same(pub: Publisher) -> Mapping[str, bytes]:
    """Two keys wanted, one signs twice."""
    pub.targets_keys = [ecdsa_key(), ecdsa_key()]
    root = pub.root(edit=put("roles.targets.threshold", 2))
    return {"root": root, "targets": pub.targets(signers=[pub.targets_keys[0]] * 2)}


def by_root_key(pub: Publisher) -> Mapping[str, bytes]:
    """Targets signed by the root key, which is not theirs."""
    return {"targets": pub.targets(2, signers=pub.root_keys)}


def old_key(pub: Publisher) -> Mapping[str, bytes]:
    """After a rotation of the targets key, targets signed by the former one."""
    before = pub.targets_keys
    pub.targets_keys = [ecdsa_key()]
    return {"root": pub.root(2), "targets": pub.targets(2, signers=before)}


def shared_key(pub: Publisher) -> Mapping[str, bytes]:
    """One key for targets and snapshot."""
    pub.snapshot_keys = pub.targets_keys
    files = {"root": pub.root(), "targets": pub.targets()}
    return {**files, "snapshot": pub.snapshot(files)}


def removed(pub: Publisher) -> Mapping[str, bytes]:
    """Targets with nothing in them."""
    return {"targets": pub.targets(2, targets={})}


STRUCTURE = [
    *(
        Case(f"no-{m}", first(targets={"edit": drop(m)}), BAD_TARGETS)
        for m in ("version", "_type", "expires")
    ),
    Case("targets-a-list", bent("targets", []), BAD_TARGETS),
    Case("targets-a-string", bent("targets", "x"), BAD_TARGETS),
    Case("targets-a-number", bent("targets", 1), BAD_TARGETS),
    Case("targets-of-strings", bent("targets", {"v1": "x"}), BAD_TARGETS),
    Case("targets-of-lists", bent("targets", {"v1": []}), BAD_TARGETS),
    Case("delegations-a-list", bent("delegations", []), BAD_TARGETS),
    Case("delegations-a-string", bent("delegations", "x"), BAD_TARGETS),
    Case("delegations-keys-a-list", bent("delegations.keys", []), BAD_TARGETS),
    Case("delegations-roles-an-object", bent("delegations.roles", {}), BAD_TARGETS),
    Case("delegations-roles-of-strings", bent("delegations.roles", ["x"]), BAD_TARGETS),
    Case("type-root", bent("_type", "Root"), BAD_TARGETS),
    Case("type-lower", bent("_type", "targets"), BAD_TARGETS),
    Case("type-snapshot", bent("_type", "Snapshot"), BAD_TARGETS),
    Case("type-delegation", bent("_type", "targets/a"), BAD_TARGETS),
    Case("expired-a-second-ago", bent("expires", expires_in(-1 / 86400)), BAD_TARGETS),
    Case("expires-soon", bent("expires", expires_in(0.04)), OK),
    Case("version-5-first", first(targets={"version": 5}), OK),
    Case("version-2-to-31", first(targets={"version": 2**31 - 1}), OK),
    Case("no-targets-at-all", first(targets={"targets": {}}), OK),
    Case("500-targets", first(targets={"targets": {f"v{n}": ENTRY for n in range(500)}}), OK),
    Case("long-target-name", first(targets={"targets": {"a" * 5000: ENTRY}}), OK),
    target("length-string", ENTRY | {"length": "5"}, BAD_TARGETS),
    target("length-bool", ENTRY | {"length": True}, BAD_TARGETS),
    target("length-huge", ENTRY | {"length": 2**63}, BAD_TARGETS),
    target("length-0", ENTRY | {"length": 0}, OK),
    target("hashes-list", hashed([]), BAD_TARGETS),
    target("hashes-string", hashed("x"), BAD_TARGETS),
    target("hash-number", hashed({"sha256": 1}), BAD_TARGETS),
    target("hash-not-base64", hashed({"sha256": "%%"}), BAD_TARGETS),
    target("hash-short", hashed({"sha256": "AAAA"}), OK, "unusable hash"),
    target("hash-unknown", hashed({"md5": "AAAA"}), OK, "unusable hash"),
    target("hash-sha512-only", hashed({"sha512": ENTRY["hashes"]["sha512"]}), OK),
    target("hash-sha256-only", hashed({"sha256": ENTRY["hashes"]["sha256"]}), OK),
    target("hashes-empty", hashed({}), OK, "unusable hash"),
    target("custom-object", ENTRY | {"custom": {"b": [1, 2, {"c": None}], "a": "x"}}, OK),
    target("custom-string", ENTRY | {"custom": "x"}, OK),
    target("custom-list", ENTRY | {"custom": []}, OK),
]

SIGNING = [
    Case("unsigned", signed_by(signatures=lambda made: []), BAD_TARGETS),
    Case("by-a-stranger", signed_by(signers=[ecdsa_key()]), BAD_TARGETS),
    Case("by-the-root-key", then(by_root_key), BAD_TARGETS),
    Case("over-something-else", signed_by(sign_over=lambda message: message + b"x"), BAD_TARGETS),
    Case("method-upper-case-refused-type", sig(lambda one: one | {"method": "RSAPSS"}), BAD_TARGETS),
    Case("method-eddsa", sig(lambda one: one | {"method": "eddsa"}), BAD_TARGETS),
    Case("method-empty", sig(lambda one: one | {"method": ""}), BAD_TARGETS),
    Case("method-null", sig(lambda one: one | {"method": ""}), BAD_TARGETS),
    Case("method-of-padding-only", sig(lambda one: one | {"method": "ecdsa "}), BAD_TARGETS),
    Case("signature-cut", sig(lambda one: one | {"sig": one["sig"][:84] + "AA=="}), BAD_TARGETS),
    Case("signature-flipped", sig(lambda one: one | {"sig": "AAAA" + one["sig"][4:]}), BAD_TARGETS),
    Case("keyid-upper-case", sig(lambda one: one | {"keyid": one["keyid"].upper()}), BAD_TARGETS),
    Case("keyid-of-another", sig(lambda one: one | {"keyid": "00" * 32}), BAD_TARGETS),
    Case("rsa-1024", rsa_signed(rsa_key(1024, 5), "rsapss"), BAD_TARGETS),
    Case("rsa-with-ecdsa-method", rsa_signed(rsa_key(number=2), "ecdsa"), BAD_TARGETS),
    Case("rsa-pem-with-pss-method", rsa_signed(pem_rsa_key(1), "rsapss"), BAD_TARGETS),
    Case("rsa-der-with-pycrypto-method", rsa_signed(rsa_key(number=2), "pycrypto-pkcs#1 pss"), BAD_TARGETS),
    Case("two-of-three", make(lambda p: keyed(p, 3, 2, 2)), OK),
    Case("one-of-three-wanted-two", make(lambda p: keyed(p, 3, 2, 1)), BAD_TARGETS),
    Case("three-of-two", make(lambda p: keyed(p, 2, 3, 2)), BAD_TARGETS),
    Case("one-signs-twice", make(twice_the_same), BAD_TARGETS),
    Case("former-key", then(old_key), BAD_TARGETS),
    Case("one-key-for-two-roles", make(shared_key), OK, freedom="one key, two roles"),
]

UPLOADS = [
    Case("targets-alone-on-nothing", make(lambda p: {"targets": p.targets()}), BAD_VALIDATION),
    Case("update", then(lambda p: {"targets": p.targets(2)}), OK),
    Case("update-with-gap", then(lambda p: {"targets": p.targets(17)}), OK),
    Case("update-to-nothing", then(removed), OK),
    Case("same-version", then(lambda p: {"targets": p.targets(1)}), VERSION),
    Case("back", series(lambda p: {"targets": p.targets(5)}, lambda p: {"targets": p.targets(4)}), VERSION),
    Case("three-updates", series(*(lambda p, n=n: {"targets": p.targets(n)} for n in (2, 3, 4))), OK),
    Case("update-and-root", then(lambda p: {"root": p.root(2), "targets": p.targets(2)}), OK),
    Case("update-good-root-bad", then(lambda p: {"root": p.root(5), "targets": p.targets(2)}), BAD_ROOT),
    Case(
        "root-good-update-bad",
        then(lambda p: {"root": p.root(2), "targets": p.targets(2, signers=[ecdsa_key()])}),
        BAD_TARGETS,
    ),
    Case("root-good-update-not-newer", then(lambda p: {"root": p.root(2), "targets": p.targets(1)}), VERSION),
    Case("not-json", then(lambda p: {"targets": b"x"}), MALFORMED_JSON),
]

CASES = [*STRUCTURE, *SIGNING, *UPLOADS]


@pytest.mark.differential
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_targets(case: Case, arena: Arena) -> None:
    """Both servers judge targets alike."""
    arena.judge(case)
