"""Root: structure, certificates, rotation, thresholds, keys of every type."""

from __future__ import annotations

import base64
import datetime as dt
from collections.abc import Mapping
from typing import Any

import pytest

from tests.publisher import (
    Key,
    Publisher,
    certificate_authority,
    ecdsa_key,
    ed25519_key,
    expires_in,
    key_id,
    pem_rsa_key,
    root_key,
    rsa_key,
    sha1_certificate,
)
from tests.publisher.keys import CURVES, rsa_private

from .arena import Arena
from .case import BAD_HIERARCHY, BAD_ROOT, BAD_TARGETS, MALFORMED_JSON, OK, VERSION, Case, Play
from .edits import drop, put
from .plays import first, make, series, then

DAY = dt.timedelta(days=1)


def bent(path: str, value: Any) -> Play:
    """A first publish whose root has one member changed."""
    return first(root={"edit": put(path, value)})


def without(path: str) -> Play:
    """A first publish whose root lacks one member."""
    return first(root={"edit": drop(path)})


def certified(**shape: Any) -> Play:
    """A first publish under a certificate of some shape; `cn` None takes the GUN."""

    def prepare(pub: Publisher) -> None:
        given = dict(shape)
        name = given.pop("cn", "{gun}")
        pub.root_keys = [root_key(name.format(gun=pub.gun) if name is not None else None, **given)]

    return first(prepare=prepare)


def by_root_key(make_key: Any) -> Play:
    """A first publish whose root key comes from a function of the publisher."""

    def prepare(pub: Publisher) -> None:
        pub.root_keys = [make_key(pub)]

    return first(prepare=prepare)


def bundled(pub: Publisher, shape: str) -> Key:
    """A root key whose PEM bundle has one of the shapes that step 2 of root validation tells apart."""
    ca, other = certificate_authority(), root_key(pub.gun)
    old_ca = certificate_authority(not_after=-DAY)
    leaf = root_key(pub.gun, issuer=ca)
    pem = leaf.public
    bundles = {
        "with CA": pem + ca.pem,
        "CA first": ca.pem + pem,
        "two leaves": pem + other.public,
        "text before": b"some text\n" + pem,
        "text after": pem + b"some text\n",
        "CRLF": pem.replace(b"\n", b"\r\n"),
        "no last newline": pem.rstrip(b"\n"),
        "with expired CA": pem + old_ca.pem,
        "with two CAs": pem + ca.pem + certificate_authority().pem,
        "key block": pem + pem.replace(b"CERTIFICATE", b"PUBLIC KEY"),
        "broken": pem[:100],
        "empty": b"",
        "DER": base64.b64decode(b"".join(pem.splitlines()[1:-1])),
        "one long line": b"-----BEGIN CERTIFICATE-----\n"
        + b"".join(pem.splitlines()[1:-1])
        + b"\n-----END CERTIFICATE-----\n",
        "headers": pem.replace(b"-----\n", b"-----\nname: value\n\n", 1),
    }
    return root_key(pub.gun, leaf.private, certificate=leaf.certificate, bundle=bundles[shape])


def on_key(private: Any) -> Any:
    """A root key over a given private key."""
    return lambda pub: root_key(pub.gun, private)


def sha1(pub: Publisher) -> Key:
    """A root key under a certificate signed with SHA-1."""
    private = root_key(pub.gun).private
    return root_key(pub.gun, private, certificate=sha1_certificate(private, pub.gun[:64]))


def rotate(
    pub: Publisher, *, old: bool = True, new: bool = True, version: int = 2, **knobs: Any
) -> Mapping[str, bytes]:
    """A root under a new key, signed by the old and the new one as asked."""
    before = pub.root_keys
    pub.root_keys = [root_key(pub.gun)]
    signers = [*(before if old else []), *(pub.root_keys if new else [])]
    return {"root": pub.root(version, signers=signers, **knobs)}


def many(pub: Publisher, count: int, threshold: int, signers: int, version: int = 1) -> bytes:
    """A root with `count` certificates, signed by the first `signers`."""
    pub.root_keys = [root_key(pub.gun) for _ in range(count)]
    return pub.root(version, signers=pub.root_keys[:signers], edit=put("roles.root.threshold", threshold))


def thresholds(count: int, threshold: int, signers: int) -> Play:
    """A first publish whose root role has a threshold."""
    return make(lambda pub: {"root": many(pub, count, threshold, signers), "targets": pub.targets()})


def from_threshold(old_signers: int, new_signers: int) -> Play:
    """Rotation from a root of two keys, both needed, to another one."""

    def play(stage: Any) -> Any:
        pub = stage.owner()
        stage.good({"root": many(pub, 2, 2, 2), "targets": pub.targets()})
        before = pub.root_keys
        pub.root_keys = [root_key(pub.gun), root_key(pub.gun)]
        signers = [*before[:old_signers], *pub.root_keys[:new_signers]]
        return stage.publish({"root": pub.root(2, signers=signers, edit=put("roles.root.threshold", 2))})

    return play


def mixed(pub: Publisher, *, threshold: int) -> Mapping[str, bytes]:
    """A certificate and a bare key in the root role."""
    bare = ecdsa_key()
    pub.root_keys = [*pub.root_keys, bare]
    edit = put("roles.root.threshold", threshold)
    return {"root": pub.root(edit=edit), "targets": pub.targets()}


def repeated(pub: Publisher) -> Mapping[str, bytes]:
    """A threshold of two, met by one key that signs twice."""
    only = pub.root_keys[0]
    pub.root_keys = [only, root_key(pub.gun)]
    edit = put("roles.root.threshold", 2)
    return {"root": pub.root(signers=[only, only], edit=edit), "targets": pub.targets()}


def targets_by(key: Key, method: str | None = None) -> Play:
    """A first publish whose targets are signed by a key of some type."""

    def files(pub: Publisher) -> Mapping[str, bytes]:
        pub.targets_keys = [key]
        return {"root": pub.root(), "targets": pub.targets(method=method)}

    return make(files)


def new_targets_key(pub: Publisher, *, version: int = 2) -> Mapping[str, bytes]:
    """A root with a new targets key, and targets signed by it."""
    pub.targets_keys = [ecdsa_key()]
    return {"root": pub.root(version), "targets": pub.targets(version)}


def foreign_cn(pub: Publisher) -> Mapping[str, bytes]:
    """A rotation to a certificate for another repository."""
    before = pub.root_keys
    pub.root_keys = [root_key("another/gun")]
    return {"root": pub.root(2, signers=[*before, *pub.root_keys])}


def extra_role(signed: dict[str, Any]) -> None:
    """A role that Notary does not know."""
    signed["roles"]["mirrors"] = {"keyids": ["nobody"], "threshold": 0}


def extra_key(signed: dict[str, Any]) -> None:
    """A key that no role lists."""
    key = ecdsa_key().object
    signed["keys"][key_id(key)] = key


def unknown_type(signed: dict[str, Any]) -> None:
    """A key of an unknown type, listed for targets besides the good one."""
    key = {"keytype": "quantum", "keyval": {"private": None, "public": "AAAA"}}
    signed["keys"][key_id(key)] = key
    signed["roles"]["targets"]["keyids"].append(key_id(key))


def threshold_of(role: str, value: Any) -> Play:
    """A first publish whose root sets one role's threshold."""
    return bent(f"roles.{role}.threshold", value)


def no_keys(role: str) -> Play:
    """A first publish whose root lists no key for a role."""
    return bent(f"roles.{role}.keyids", [])


STRUCTURE = [
    *(Case(f"no-{m}", without(m), BAD_ROOT) for m in ("keys", "roles")),
    *(
        Case(f"no-role-{r}", without(f"roles.{r}"), BAD_ROOT)
        for r in ("root", "targets", "snapshot", "timestamp")
    ),
    *(
        Case(f"null-role-{r}", bent(f"roles.{r}", None), BAD_ROOT)
        for r in ("root", "targets", "snapshot", "timestamp")
    ),
    *(
        Case(f"threshold-0-{r}", threshold_of(r, 0), BAD_ROOT)
        for r in ("root", "targets", "snapshot", "timestamp")
    ),
    *(Case(f"threshold-negative-{r}", threshold_of(r, -1), BAD_ROOT) for r in ("root", "timestamp")),
    Case("threshold-string", threshold_of("root", "1"), BAD_ROOT),
    Case("threshold-missing", without("roles.targets.threshold"), BAD_ROOT),
    Case("threshold-null", threshold_of("targets", None), BAD_ROOT),
    Case("threshold-2-targets", threshold_of("targets", 2), BAD_TARGETS),
    Case("threshold-2-snapshot", threshold_of("snapshot", 2), BAD_HIERARCHY),
    Case("threshold-2-timestamp", threshold_of("timestamp", 2), BAD_ROOT),
    Case("no-keys-root", no_keys("root"), BAD_ROOT),
    Case("no-keys-snapshot", no_keys("snapshot"), BAD_HIERARCHY),
    Case("no-keys-timestamp", no_keys("timestamp"), BAD_ROOT),
    Case("keyids-string", bent("roles.root.keyids", "abc"), BAD_ROOT),
    Case("keyids-of-numbers", bent("roles.targets.keyids", [1]), BAD_ROOT),
    Case("keyids-unknown", bent("roles.targets.keyids", ["ab" * 32]), BAD_ROOT),
    Case("keys-list", bent("keys", []), BAD_ROOT),
    Case("keys-string", bent("keys", "x"), BAD_ROOT),
    Case("keys-empty", bent("keys", {}), BAD_ROOT),
    Case("roles-list", bent("roles", []), BAD_ROOT),
    Case("roles-empty", bent("roles", {}), BAD_ROOT),
    Case("role-a-string", bent("roles.root", "x"), BAD_ROOT),
    Case("consistent-snapshot-string", bent("consistent_snapshot", "no"), BAD_ROOT),
    Case("consistent-snapshot-true", bent("consistent_snapshot", True), OK),
    Case("type-lower-case", bent("_type", "root"), BAD_ROOT),
    Case("type-targets", bent("_type", "Targets"), BAD_ROOT),
    Case("type-empty", bent("_type", ""), BAD_ROOT),
    Case("type-null", bent("_type", None), BAD_ROOT),
    Case("version-0", bent("version", 0), BAD_ROOT),
    Case("version-negative", bent("version", -1), BAD_ROOT),
    Case("version-null", bent("version", None), BAD_ROOT),
    Case("version-2-first", first(root={"version": 2}), OK),
    Case("version-3-first", first(root={"version": 3}), BAD_ROOT),
    Case("expired", first(root={"edit": put("expires", expires_in(-1))}), BAD_ROOT),
    Case("expires-zero-time", bent("expires", "0001-01-01T00:00:00Z"), BAD_ROOT),
    Case("expires-null", bent("expires", None), BAD_ROOT),
    Case("expires-in-9999", bent("expires", "9999-12-31T23:59:59Z"), OK),
    Case("extra-role", first(root={"edit": extra_role}), OK, freedom="useless role or key"),
    Case("extra-key", first(root={"edit": extra_key}), OK, freedom="useless role or key"),
    Case("unknown-key-type", first(root={"edit": unknown_type}), OK, freedom="useless role or key"),
    Case("key-a-string", first(root={"edit": put("keys.abc", "x")}), BAD_ROOT),
    Case("keytype-a-number", first(root={"edit": put("keys.abc", {"keytype": 1, "keyval": {}})}), BAD_ROOT),
]

CERTIFICATES = [
    Case("cn-foreign", certified(cn="another/gun"), BAD_ROOT),
    Case("cn-missing", certified(cn=None), BAD_ROOT),
    Case("cn-blank", certified(cn=" "), BAD_ROOT),
    Case("cn-case", certified(cn="GOOD/ex/*"), BAD_ROOT),
    Case("cn-wildcard", certified(cn="good/ex/*"), OK),
    Case("cn-wildcard-two-stars", certified(cn="good/ex/**"), OK),
    Case("cn-only-a-star", certified(cn="*"), OK),
    Case("cn-wildcard-elsewhere", certified(cn="other/*"), BAD_ROOT),
    Case("cn-star-in-front", certified(cn="*/ex"), BAD_ROOT),
    Case("cn-prefix-without-star", certified(cn="good/"), BAD_ROOT),
    Case("cn-gun-and-star", certified(cn="{gun}*"), OK),
    Case("cn-longer", certified(cn="{gun}x"), BAD_ROOT),
    Case("expired-certificate", certified(not_before=-10 * DAY, not_after=-DAY), BAD_ROOT),
    Case("certificate-from-in-half-a-day", certified(not_before=DAY / 2), OK),
    Case("certificate-from-in-two-days", certified(not_before=2 * DAY), BAD_ROOT),
    Case("certificate-is-ca", certified(ca=True), BAD_ROOT),
    Case("certificate-says-no-ca", certified(ca=False), OK),
    Case("certificate-sha1", by_root_key(sha1), BAD_ROOT),
    *(Case(f"root-{curve}", by_root_key(on_key(ecdsa_key(curve).private)), OK) for curve in CURVES),
    Case("root-rsa-2048", by_root_key(on_key(rsa_private(2048, 1))), OK),
    Case("root-rsa-1024", by_root_key(on_key(rsa_private(1024, 1))), BAD_ROOT),
    Case("root-ed25519-certificate", by_root_key(on_key(ed25519_key().private)), BAD_ROOT),
    Case("keytype-rsa-on-ecdsa", certified(keytype="rsa-x509"), BAD_ROOT),
    Case("keytype-plain-on-certificate", certified(keytype="ecdsa"), BAD_ROOT),
    Case("bare-root-key", by_root_key(lambda pub: ecdsa_key()), BAD_ROOT),
    *(
        Case(
            f"bundle-{shape.replace(' ', '-')}",
            by_root_key(lambda pub, shape=shape: bundled(pub, shape)),
            answer,
        )
        for shape, answer in {
            "with CA": OK,
            "with two CAs": OK,
            "CA first": BAD_ROOT,
            "two leaves": BAD_ROOT,
            "text before": BAD_ROOT,
            "text after": BAD_ROOT,
            "CRLF": BAD_ROOT,
            "no last newline": BAD_ROOT,
            "with expired CA": BAD_ROOT,
            "key block": BAD_ROOT,
            "broken": BAD_ROOT,
            "empty": BAD_ROOT,
            "DER": BAD_ROOT,
            "one long line": BAD_ROOT,
            "headers": BAD_ROOT,
        }.items()
    ),
]

SIGNING = [
    Case("unsigned", first(root={"signatures": lambda made: []}), BAD_ROOT),
    Case(
        "signed-by-a-stranger",
        make(lambda p: {"root": p.root(signers=[ecdsa_key()]), "targets": p.targets()}),
        BAD_ROOT,
    ),
    Case("signature-over-something-else", first(root={"sign_over": lambda m: m + b" "}), BAD_ROOT),
    Case("wrong-method", first(root={"signatures": lambda made: [made[0] | {"method": "eddsa"}]}), BAD_ROOT),
    Case(
        "unknown-method", first(root={"signatures": lambda made: [made[0] | {"method": "magic"}]}), BAD_ROOT
    ),
    Case("empty-signature", first(root={"signatures": lambda made: [made[0] | {"sig": ""}]}), BAD_ROOT),
    Case("short-signature", first(root={"signatures": lambda made: [made[0] | {"sig": "AAAA"}]}), BAD_ROOT),
    Case(
        "signature-not-base64",
        first(root={"signatures": lambda made: [made[0] | {"sig": "%%"}]}),
        MALFORMED_JSON,
    ),
    Case(
        "extra-signature",
        make(lambda p: {"root": p.root(signers=[*p.root_keys, ecdsa_key()]), "targets": p.targets()}),
        OK,
    ),
    Case("one-of-two", thresholds(2, 1, 1), OK),
    Case("two-of-two", thresholds(2, 2, 2), OK),
    Case("one-of-two-wanted-two", thresholds(2, 2, 1), BAD_ROOT),
    Case("two-of-three", thresholds(3, 2, 2), OK),
    Case("three-wanted-of-two", thresholds(2, 3, 2), BAD_ROOT),
    Case("one-key-signs-twice", make(repeated), BAD_ROOT),
    Case("mixed-with-bare-key", make(lambda p: mixed(p, threshold=1)), OK),
    Case("bare-key-needed", make(lambda p: mixed(p, threshold=2)), BAD_ROOT),
]

ROTATION = [
    Case("rotate-root", then(rotate), OK),
    Case("rotate-root-without-old", then(lambda p: rotate(p, old=False)), BAD_ROOT),
    Case("rotate-root-without-new", then(lambda p: rotate(p, new=False)), BAD_ROOT),
    Case("rotate-root-skipping-a-version", then(lambda p: rotate(p, version=3)), BAD_ROOT),
    Case("rotate-root-same-version", then(lambda p: rotate(p, version=1)), VERSION),
    Case("rotate-root-and-targets", then(lambda p: {**rotate(p), "targets": p.targets(2)}), OK),
    Case("rotate-twice", series(rotate, lambda p: rotate(p, version=3)), OK),
    Case(
        "old-root-key-after-rotation",
        series(rotate, lambda p: {"root": p.root(3, signers=[root_key(p.gun)])}),
        BAD_ROOT,
    ),
    Case("root-again-same-keys", then(lambda p: {"root": p.root(2)}), OK),
    Case("root-version-1-again", then(lambda p: {"root": p.root(1)}), VERSION),
    Case("root-version-back", series(lambda p: {"root": p.root(2)}, lambda p: {"root": p.root(1)}), BAD_ROOT),
    Case("root-version-skipped", then(lambda p: {"root": p.root(3)}), BAD_ROOT),
    Case(
        "root-expired-second",
        then(lambda p: {"root": p.root(2, edit=put("expires", expires_in(-1)))}),
        BAD_ROOT,
    ),
    Case("rotate-targets-key", then(new_targets_key), OK),
    Case("two-to-two", from_threshold(2, 2), OK),
    Case("two-to-two-one-old", from_threshold(1, 2), BAD_ROOT),
    Case("two-to-two-one-new", from_threshold(2, 1), BAD_ROOT),
    Case("new-root-foreign-cn", then(foreign_cn), BAD_ROOT),
]

TARGETS_KEYS = [
    *(Case(f"targets-{curve}", targets_by(ecdsa_key(curve)), OK) for curve in CURVES),
    Case("targets-ed25519", targets_by(ed25519_key()), OK),
    Case("targets-rsa-pss", targets_by(rsa_key(number=2)), OK),
    Case("targets-rsa-pkcs1", targets_by(rsa_key(number=2), "rsapkcs1v15"), OK),
    Case("targets-rsa-3072", targets_by(rsa_key(3072)), OK),
    Case("targets-rsa-pem", targets_by(pem_rsa_key(), "pycrypto-pkcs#1 pss"), OK),
    Case("targets-x509", targets_by(root_key("whatever")), OK),
    Case("targets-x509-expired", targets_by(root_key("x", not_before=-9 * DAY, not_after=-DAY)), OK),
    Case("targets-x509-rsa", targets_by(root_key("x", rsa_private(2048, 3))), OK),
]


CASES = [*STRUCTURE, *CERTIFICATES, *SIGNING, *ROTATION, *TARGETS_KEYS]


@pytest.mark.differential
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_root(case: Case, arena: Arena) -> None:
    """Both servers judge the root alike."""
    arena.judge(case)
