"""Snapshot: signed by the client or by the server, and what happens when the two change places."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.publisher import Edit, Publisher, Reply, ecdsa_key, ed25519_key, entry, expires_in, rsa_key

from .arena import Arena
from .case import (
    BAD_HIERARCHY,
    BAD_ROOT,
    BAD_SNAPSHOT,
    BAD_VALIDATION,
    OK,
    VERSION,
    Answer,
    Case,
    Play,
    Stage,
)
from .edits import change, drop, put
from .plays import make, series, then

A = "targets/a"


def own(edit: Edit | None = None, **knobs: Any) -> Play:
    """A first publish under a client-signed snapshot, bent."""

    def files(pub: Publisher) -> Mapping[str, bytes]:
        made = {"root": pub.root(), "targets": pub.targets()}
        return {**made, "snapshot": pub.snapshot(made, edit=edit, **knobs)}

    return make(files, keys=lambda: {"snapshot": ecdsa_key()})


def listed(path: tuple[str | int, ...], value: Any) -> Play:
    """A first publish whose snapshot's `meta` has one member changed."""
    return own(put(("meta", *path), value))


def by(key: Any, method: str | None = None, threshold: int = 1) -> Play:
    """A first publish whose snapshot is signed by a key of some type."""

    def files(pub: Publisher) -> Mapping[str, bytes]:
        pub.snapshot_keys = [key]
        made = {"root": pub.root(edit=put("roles.snapshot.threshold", threshold)), "targets": pub.targets()}
        return {**made, "snapshot": pub.snapshot(made, method=method)}

    return make(files, keys=lambda: {"snapshot": ecdsa_key()})


def update(version: int = 2, *, targets: int = 2, **knobs: Any) -> Play:
    """An update of targets under a client-signed snapshot."""

    def play(stage: Stage) -> Reply:
        pub = stage.owner(snapshot=ecdsa_key())
        made = pub.first()
        stage.good(made)
        new = {"root": made["root"], "targets": pub.targets(targets)}
        return stage.publish({"targets": new["targets"], "snapshot": pub.snapshot(new, version, **knobs)})

    return play


def snapshot_only(version: int, **knobs: Any) -> Play:
    """A new snapshot over the same files."""

    def play(stage: Stage) -> Reply:
        pub = stage.owner(snapshot=ecdsa_key())
        made = pub.first()
        stage.good(made)
        files = {role: made[role] for role in ("root", "targets")}
        return stage.publish({"snapshot": pub.snapshot(files, version, **knobs)})

    return play


def to_server(stage: Stage) -> Publisher:
    """A repository with a client-signed snapshot, whose root is about to name the server's key."""
    pub = stage.established(snapshot=ecdsa_key())
    stage.notes["key"] = stage.read("snapshot.key").status
    pub.server_keys["snapshot"] = stage.read("snapshot.key").json
    pub.snapshot_keys = []
    stage.name_keys(pub)
    return pub


def handed_to_server(*, targets: bool) -> Play:
    """The snapshot key goes from the client to the server."""

    def play(stage: Stage) -> Reply:
        pub = to_server(stage)
        return stage.publish({"root": pub.root(2), **({"targets": pub.targets(2)} if targets else {})})

    return play


def handed_to_client(*, snapshot: bool) -> Play:
    """The snapshot key goes from the server to the client."""

    def play(stage: Stage) -> Reply:
        pub = stage.owner()
        made = pub.first()
        stage.good(made)
        pub.server_keys.pop("snapshot")
        pub.snapshot_keys = [ecdsa_key()]
        stage.name_keys(pub)
        files = {"root": pub.root(2)}
        if snapshot:
            files["snapshot"] = pub.snapshot({"root": files["root"], "targets": made["targets"]}, 2)
        return stage.publish(files)

    return play


def with_delegation(entry_of: Any, answer_files: tuple[str, ...] = ("root", "targets", A)) -> Play:
    """A first publish with a delegation, whose snapshot lists `answer_files`."""

    def files(pub: Publisher) -> Mapping[str, bytes]:
        made = {"root": pub.root(), "targets": pub.targets(delegates=[A]), A: pub.delegation(A)}
        listing = {role: made[role] for role in answer_files}
        return {**made, "snapshot": pub.snapshot(listing, edit=entry_of)}

    return make(files, keys=lambda: {"snapshot": ecdsa_key()})


def by_server_owner(pub: Publisher) -> Mapping[str, bytes]:
    """A client's snapshot, though root names the server's key."""
    made = {"root": pub.root(), "targets": pub.targets()}
    return {**made, "snapshot": pub.snapshot(made, signers=[ecdsa_key()])}


def entry_case(name: str, path: tuple[str | int, ...], value: Any, answer: Answer = BAD_SNAPSHOT) -> Case:
    """A first publish whose snapshot has an odd entry."""
    return Case(f"entry-{name}", listed(path, value), answer)


def hash_case(name: str, role: str, hashes: Any, answer: Answer = BAD_SNAPSHOT) -> Case:
    """A first publish whose snapshot has odd hashes for a role."""
    return Case(f"hashes-{name}-{role}", listed((role, "hashes"), hashes), answer)


def without_sha512(signed: dict[str, Any]) -> None:
    """Only SHA-256 everywhere."""
    for one in signed["meta"].values():
        del one["hashes"]["sha512"]


WRONG = entry(b"something else")

ENTRIES = [
    Case("no-meta", own(drop("meta")), BAD_SNAPSHOT),
    Case("meta-null", own(put("meta", None)), BAD_SNAPSHOT),
    Case("meta-a-list", own(put("meta", [])), BAD_SNAPSHOT),
    Case("meta-a-string", own(put("meta", "x")), BAD_SNAPSHOT),
    Case("meta-empty", own(put("meta", {})), BAD_SNAPSHOT),
    *(Case(f"no-{r}", own(drop(("meta", r))), BAD_SNAPSHOT) for r in ("root", "targets")),
    *(entry_case(f"null-{r}", (r,), None) for r in ("root", "targets")),
    *(entry_case(f"string-{r}", (r,), "x") for r in ("root", "targets")),
    *(entry_case(f"empty-{r}", (r,), {}) for r in ("root", "targets")),
    *(entry_case(f"wrong-{r}", (r,), WRONG) for r in ("root", "targets")),
    *(hash_case("none", r, {}) for r in ("root", "targets")),
    *(hash_case("null", r, None) for r in ("root", "targets")),
    *(hash_case("list", r, []) for r in ("root", "targets")),
    *(hash_case("sha512-only", r, {"sha512": WRONG["hashes"]["sha512"]}) for r in ("root", "targets")),
    *(hash_case("short", r, {"sha256": "AAAA"}) for r in ("root", "targets")),
    *(hash_case("not-base64", r, {"sha256": "%"}) for r in ("root", "targets")),
    Case(
        "short-sha512",
        own(change(("meta", "root", "hashes"), lambda h: h | {"sha512": "AAAA"})),
        BAD_SNAPSHOT,
    ),
    Case(
        "wrong-sha512",
        own(change(("meta", "root", "hashes"), lambda h: h | {"sha512": WRONG["hashes"]["sha512"]})),
        BAD_SNAPSHOT,
    ),
    Case("without-sha512", own(without_sha512), OK),
    Case(
        "further-hash",
        own(change(("meta", "root", "hashes"), lambda h: h | {"sha1": "AAAA"})),
        OK,
        unclean=True,
    ),
    entry_case("length-string", ("root", "length"), "5"),
    Case("delegation-listed", with_delegation(None), OK),
    Case("delegation-not-listed", with_delegation(None, ("root", "targets")), BAD_SNAPSHOT),
    Case("delegation-wrong", with_delegation(put(("meta", A), WRONG)), BAD_SNAPSHOT),
    Case(
        "names-with-json", own(change("meta", lambda m: {f"{k}.json": v for k, v in m.items()})), BAD_SNAPSHOT
    ),
]

SIGNING = [
    Case("own", own(), OK),
    Case("own-version-7", own(version=7), OK),
    Case("version-0", own(put("version", 0)), BAD_SNAPSHOT),
    Case("expired", own(put("expires", expires_in(-1))), BAD_SNAPSHOT),
    Case("type-lower", own(put("_type", "snapshot")), BAD_SNAPSHOT),
    Case("type-timestamp", own(put("_type", "Timestamp")), BAD_SNAPSHOT),
    Case("unsigned", own(signatures=lambda made: []), BAD_SNAPSHOT),
    Case("by-a-stranger", own(signers=[ecdsa_key()]), BAD_SNAPSHOT),
    Case("over-something-else", own(sign_over=lambda message: message[:-1]), BAD_SNAPSHOT),
    Case("wrong-method", own(signatures=lambda made: [made[0] | {"method": "rsapss"}]), BAD_SNAPSHOT),
    Case("key-ed25519", by(ed25519_key()), OK),
    Case("key-rsa", by(rsa_key(number=4)), OK),
    Case("key-rsa-pkcs1", by(rsa_key(number=4), "rsapkcs1v15"), OK),
    Case("key-p384", by(ecdsa_key("P-384")), OK),
    Case("threshold-2", by(ecdsa_key(), threshold=2), BAD_SNAPSHOT),
    Case("of-the-client-for-the-server's-key", make(by_server_owner), BAD_SNAPSHOT),
]

UPDATES = [
    Case("update", update(), OK),
    Case("update-with-gap", update(9), OK),
    Case("same-version", update(1), VERSION),
    Case("targets-same-version", update(2, targets=1), VERSION),
    Case("new-snapshot-expired", update(edit=put("expires", expires_in(-1))), BAD_SNAPSHOT),
    Case("snapshot-alone", snapshot_only(2), OK),
    Case("snapshot-alone-same-version", snapshot_only(1), VERSION),
    Case("snapshot-alone-unsigned", snapshot_only(2, signatures=lambda made: []), BAD_SNAPSHOT),
    Case("snapshot-alone-wrong-root", snapshot_only(2, edit=put(("meta", "root"), WRONG)), BAD_SNAPSHOT),
    Case(
        "server-update", series(lambda p: {"targets": p.targets(2)}, lambda p: {"targets": p.targets(3)}), OK
    ),
    Case("server-root-only", then(lambda p: {"root": p.root(2)}), OK),
    Case("handed-to-server", handed_to_server(targets=False), OK),
    Case("handed-to-server-with-targets", handed_to_server(targets=True), OK),
    Case("handed-to-client", handed_to_client(snapshot=True), OK),
    Case("root-first-no-targets", make(lambda p: {"root": p.root()}), BAD_VALIDATION),
    Case(
        "snapshot-first-alone",
        make(lambda p: {"root": p.root(), "snapshot": p.snapshot({"root": p.root()}, signers=[ecdsa_key()])}),
        BAD_SNAPSHOT,
    ),
    Case(
        "server-threshold-2",
        then(lambda p: {"root": p.root(2, edit=put("roles.snapshot.threshold", 2))}),
        BAD_HIERARCHY,
    ),
    Case(
        "timestamp-threshold-2",
        then(lambda p: {"root": p.root(2, edit=put("roles.timestamp.threshold", 2))}),
        BAD_ROOT,
    ),
]

CASES = [*ENTRIES, *SIGNING, *UPDATES]


@pytest.mark.differential
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_snapshot(case: Case, arena: Arena) -> None:
    """Both servers judge and make snapshots alike."""
    arena.judge(case)
