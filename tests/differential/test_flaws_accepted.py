"""Flaws 1 to 17: what the old server accepts and nobody can read afterwards, and what it lets keys do."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from tests.publisher import Edit, Publisher, Reply, Spell, ecdsa_key, entry, key_id, root_key

from .arena import Arena
from .case import (
    BAD_ROOT,
    BAD_SNAPSHOT,
    BAD_TARGETS,
    BAD_VALIDATION,
    OK,
    Case,
    Play,
    Stage,
)
from .edits import drop, put, swap
from .plays import first, make, then

A = "targets/a"


def bare_keys(signed: dict[str, Any]) -> None:
    """Key objects without `private`."""
    for key in signed["keys"].values():
        del key["keyval"]["private"]


def reordered(data: bytes) -> bytes:
    """`signatures` in front of `signed`."""
    signed, _, made = data[1:-1].partition(b',"signatures":')
    return b'{"signatures":' + made + b"," + signed + b"}"


def upper_method(made: list[dict[str, str]]) -> list[dict[str, str]]:
    """The method in upper case."""
    return [one | {"method": one["method"].upper()} for one in made]


SPELLINGS: dict[str, dict[str, Any]] = {
    "space": {"spell": swap(b'{"signed"', b'{ "signed"')},
    "newline-at-end": {"spell": lambda data: data + b"\n"},
    "other-order": {"spell": reordered},
    "escaped": {"spell": swap(b'"_type"', b'"\\u005ftype"')},
    "unknown-member-signed": {"edit": put("note", "x")},
    "unknown-member-outside": {"spell": swap(b'{"signed"', b'{"note":1,"signed"')},
    "upper-case-method": {"signatures": upper_method},
    "half-a-second": {"edit": put("expires", "2036-01-02T03:04:05.500Z")},
    "zone": {"edit": put("expires", "2036-01-02T03:04:05+00:00")},
    "repeated-signature": {"signatures": lambda made: made * 2},
}
TARGETS_ONLY: dict[str, dict[str, Any]] = {
    "no-delegations": {"edit": drop("delegations")},
    "null-delegations": {"edit": put("delegations", None)},
    "empty-paths": {"delegates": [A], "edit": put(("delegations", "roles", 0, "paths"), [])},
    "entry-with-more": {"edit": put("targets", {"v1": entry(b"x", note="more")})},
}
ROOT_ONLY: dict[str, dict[str, Any]] = {
    "keys-without-private": {"edit": bare_keys},
    "no-consistent-snapshot": {"edit": drop("consistent_snapshot")},
}
HIDDEN = "404"


def own_snapshot(**knobs: Any) -> Play:
    """A first publish under a client-signed snapshot of some spelling."""

    def files(pub: Publisher) -> Mapping[str, bytes]:
        made = {"root": pub.root(), "targets": pub.targets()}
        return {**made, "snapshot": pub.snapshot(made, **knobs)}

    return make(files, keys=lambda: {"snapshot": ecdsa_key()})


def takeover(stage: Stage) -> Reply:
    """After an oddly spelled root, a stranger's root."""
    pub = stage.owner()
    stage.good({"root": pub.root(spell=lambda data: data + b"\n"), "targets": pub.targets()})
    stranger = Publisher(stage.gun).learn(stage.client)
    stage.name_keys(stranger)
    return stage.publish({"root": stranger.root(2), "targets": stranger.targets(2)})


def number_signed_as(sent: int, signed_as: int) -> Play:
    """Targets with a number in `custom`, signed over another one."""

    def sign_over(message: bytes) -> bytes:
        return swap(str(sent).encode(), str(signed_as).encode())(message)

    edit = put(("targets", "v1", "custom"), {"n": sent})
    return first(targets={"edit": edit, "sign_over": sign_over})


def snapshot_update(
    meta: Callable[[Publisher, Mapping[str, bytes]], Mapping[str, bytes]], edit: Edit | None = None
) -> Play:
    """After two publishes under client-signed snapshots, a snapshot alone over the files that `meta` chooses."""

    def play(stage: Stage) -> Reply:
        pub = stage.owner(snapshot=ecdsa_key())
        made = pub.first()
        stage.good(made)
        newer = {"root": made["root"], "targets": pub.targets(2)}
        stage.good({"targets": newer["targets"], "snapshot": pub.snapshot(newer, 2)})
        files = meta(pub, {**newer, "former": made["targets"]})
        return stage.publish({"snapshot": pub.snapshot(files, 3, edit=edit)})

    return play


def invented(pub: Publisher, files: Mapping[str, bytes]) -> Mapping[str, bytes]:
    """Targets that were never uploaded."""
    return {"root": files["root"], "targets": pub.targets(3)}


def rolled_back(pub: Publisher, files: Mapping[str, bytes]) -> Mapping[str, bytes]:
    """Targets of the version before."""
    return {"root": files["root"], "targets": files["former"]}


def with_strange_delegation(pub: Publisher, files: Mapping[str, bytes]) -> Mapping[str, bytes]:
    """A delegation that was never uploaded."""
    return {"root": files["root"], "targets": files["targets"], A: pub.delegation(A)}


def never_any_targets(pub: Publisher) -> Mapping[str, bytes]:
    """A first publish of root and snapshot alone."""
    root = pub.root()
    return {"root": root, "snapshot": pub.snapshot({"root": root, "targets": pub.targets()})}


def new_targets_key(pub: Publisher) -> Mapping[str, bytes]:
    """A root with another targets key, alone."""
    pub.targets_keys = [ecdsa_key()]
    return {"root": pub.root(2)}


def misfiled(role: str) -> Play:
    """A root that files a server's key under a wrong ID."""

    def play(stage: Stage) -> Reply:
        pub = stage.owner()
        right, wrong = key_id(pub.server_keys[role]), "ab" * 32

        def edit(signed: dict[str, Any]) -> None:
            signed["keys"][wrong] = signed["keys"].pop(right)
            signed["roles"][role]["keyids"] = [wrong]

        return stage.publish({"root": pub.root(edit=edit), "targets": pub.targets()})

    return play


def foreign_key(role: str) -> Play:
    """A root that lists the key that the server made for another repository."""

    def play(stage: Stage) -> Reply:
        other = Publisher(f"{stage.gun}-other").learn(stage.client)
        assert stage.client.publish(other.gun, other.first()).status == 200
        pub = stage.owner()
        pub.server_keys[role] = other.server_keys[role]
        stage.name_keys(pub)
        return stage.publish({"root": pub.root(), "targets": pub.targets()})

    return play


def two_certificates(pub: Publisher) -> Mapping[str, bytes]:
    """Two certificates over one private key, and a threshold of two."""
    one = root_key(pub.gun)
    pub.root_keys = [one, root_key(pub.gun, one.private)]
    return {"root": pub.root(edit=put("roles.root.threshold", 2)), "targets": pub.targets()}


def private_half(signed: dict[str, Any]) -> None:
    """A key with its private half."""
    for key in signed["keys"].values():
        key["keyval"]["private"] = base64.b64encode(b"a private key, as it were").decode()


def one_foreign(role: str) -> Play:
    """A role that lists the server's key and another one, threshold 1."""

    def play(stage: Stage) -> Reply:
        pub = stage.owner()
        other = ecdsa_key()

        def edit(signed: dict[str, Any]) -> None:
            signed["keys"][other.id] = other.object
            signed["roles"][role]["keyids"].append(other.id)

        return stage.publish({"root": pub.root(edit=edit), "targets": pub.targets()})

    return play


def late(filler: bytes) -> Spell:
    """Garbage far behind the end."""
    return lambda data: data + filler * 9000 + b"garbage"


SERVED = [
    *(
        Case(f"1-root-{n}", first(root=knobs), OK, flaw=1, old_problems=HIDDEN)
        for n, knobs in (SPELLINGS | ROOT_ONLY).items()
        if n != "repeated-signature"
    ),
    *(
        Case(f"1-targets-{n}", first(targets=knobs), OK, flaw=1, old_problems=HIDDEN)
        for n, knobs in (SPELLINGS | TARGETS_ONLY).items()
        if n != "repeated-signature"
    ),
    *(
        Case(f"2-snapshot-{n}", own_snapshot(**knobs), OK, flaw=2, old_problems=HIDDEN)
        for n, knobs in SPELLINGS.items()
        if n != "repeated-signature"
    ),
]
ACCEPTED = [
    Case("3-takeover", takeover, BAD_ROOT, flaw=3, old=OK),
    Case("4-garbage-behind-spaces", first(targets={"spell": late(b" ")}), BAD_TARGETS, flaw=4, old=OK),
    Case("4-garbage-behind-newlines", first(root={"spell": late(b"\n")}), BAD_ROOT, flaw=4, old=OK),
    Case(
        "5-version-in-capitals",
        first(targets={"edit": put("VERSION", 9)}),
        BAD_TARGETS,
        flaw=5,
        old=OK,
    ),
    Case(
        "5-signed-in-capitals",
        first(targets={"spell": swap(b'"signed"', b'"SIGNED"')}),
        BAD_TARGETS,
        flaw=5,
        old=OK,
    ),
    Case("6-number-signed-as-another", number_signed_as(2**53 + 1, 2**53), BAD_TARGETS, flaw=6, old=OK),
    Case(
        "6-large-number-signed-honestly",
        first(targets={"edit": put(("targets", "v1", "custom"), {"n": 2**53 + 1})}),
        BAD_TARGETS,
    ),
    Case(
        "7-no-targets-ever",
        make(never_any_targets, keys=lambda: {"snapshot": ecdsa_key()}),
        BAD_SNAPSHOT,
        flaw=7,
        old=OK,
    ),
    Case("7-targets-never-uploaded", snapshot_update(invented), BAD_SNAPSHOT, flaw=7, old=OK),
    Case(
        "7-delegation-never-uploaded", snapshot_update(with_strange_delegation), BAD_SNAPSHOT, flaw=7, old=OK
    ),
    Case("8-rolled-back", snapshot_update(rolled_back), BAD_SNAPSHOT, flaw=8, old=OK),
    Case(
        "9-wrong-length-targets",
        own_snapshot(edit=put("meta.targets.length", 5)),
        BAD_SNAPSHOT,
        flaw=9,
        old=OK,
    ),
    Case(
        "9-wrong-length-root", own_snapshot(edit=put("meta.root.length", 10**6)), BAD_SNAPSHOT, flaw=9, old=OK
    ),
    Case("10-targets-key-replaced", then(new_targets_key), BAD_ROOT, flaw=10, old=OK),
    *(
        Case(f"11-{r}-key-misfiled", misfiled(r), BAD_ROOT, flaw=11, old=OK)
        for r in ("timestamp", "snapshot")
    ),
    Case(
        "12-negative-length",
        first(targets={"edit": put("targets", {"v1": entry(b"x", length=-1)})}),
        BAD_TARGETS,
        flaw=12,
        old=OK,
    ),
    *(
        Case(f"13-foreign-{r}-key", foreign_key(r), BAD_ROOT, flaw=13, old=OK)
        for r in ("timestamp", "snapshot")
    ),
    Case("14-two-certificates", make(two_certificates), BAD_ROOT, flaw=14, old=OK),
    Case("15-private-half", first(root={"edit": private_half}), BAD_ROOT, flaw=15, old=OK),
    *(
        Case(f"17-one-foreign-key-{r}", one_foreign(r), OK, flaw=17, old=BAD_VALIDATION)
        for r in ("timestamp", "snapshot")
    ),
]


@pytest.mark.differential
@pytest.mark.parametrize("case", SERVED, ids=lambda case: case.name)
def test_odd_spellings_are_served(case: Case, arena: Arena) -> None:
    """The old server answers 404 after accepting them; ours serves them byte for byte."""
    arena.judge(case)


@pytest.mark.differential
@pytest.mark.parametrize("case", ACCEPTED, ids=lambda case: case.name)
def test_unsound_uploads(case: Case, arena: Arena) -> None:
    """The old server accepts what it should refuse, or refuses what it could sign."""
    arena.judge(case)
