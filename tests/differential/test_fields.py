"""Every field of every role with values of every type, on both servers: some three thousand uploads each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.publisher import Publisher, Reply, Verifier, ecdsa_key, key_id

from .arena import Arena
from .case import Side
from .fields import AB, A, Path, holed, places, second_version, signed_of, signed_with

VALUES = [
    b"null",
    b"true",
    b"false",
    b"0",
    b"-0",
    b"1",
    b"2",
    b"-1",
    b"1.5",
    b"1e3",
    b"1e999",
    b"9007199254740993",
    b"9223372036854775808",
    b'""',
    b'"x"',
    b'"abc"',
    b'"AAAA"',
    b'"\\u0000"',
    b'"2040-01-01T00:00:00Z"',
    b"[]",
    b"[null]",
    b'["x"]',
    b'["x",1,null,{}]',
    b"{}",
    b'{"":null}',
]


@dataclass(frozen=True)
class Verdict:
    """What one server said, and whether a strict client can read the repository afterwards."""

    reply: Reply
    readable: bool

    @property
    def seen(self) -> tuple[object, ...]:
        """What has to be alike on both servers."""
        return (*self.told, self.readable)

    @property
    def told(self) -> tuple[int, str | None, str | None]:
        """Status, code, name."""
        return (
            self.reply.status,
            self.reply.code,
            self.reply.name if self.reply.code == "INVALID_UPDATE" else None,
        )


def verdicts(arena: Arena, side: Side, role: str) -> Iterator[tuple[Path, bytes, Verdict]]:
    """Send every field with every value; the repository begins anew whenever an upload was accepted."""
    stage = arena.stage(side, "plain", f"fields-{role.replace('/', '-')}")
    client = stage.client
    pub = Publisher(stage.gun, snapshot=ecdsa_key() if role == "snapshot" else None).learn(client)
    first = {"root": pub.root(), "targets": pub.targets(delegates=[A]), A: pub.delegation(A, delegates=[AB])}
    if pub.snapshot_keys:
        first["snapshot"] = pub.snapshot(first)
    second = second_version(pub)
    signed, keys = signed_of(pub, second, role)
    names = {key_id(key): f"{of} key" for of, found in pub.role_objects().items() for key in found}
    names |= {key.id: f"{of} key" for of in (A, AB) for key in pub.keys_of(of)}
    assert client.publish(pub.gun, first).status == 200
    for path in places(signed):
        document = holed(signed, path)
        for raw in VALUES:
            data = signed_with(document, keys, raw)
            reply = client.publish(pub.gun, {**second, role: data} if role == "snapshot" else {role: data})
            readable = True
            if reply.status == 200:
                readable = not Verifier(client, pub.gun).problems()
                assert client.delete(pub.gun).status == 200
                assert client.publish(pub.gun, first).status == 200
            yield tuple(names.get(str(step), step) for step in path), raw, Verdict(reply, readable)


def flaw(path: Path, old: Verdict, ours: Verdict) -> int | None:
    """The number of the old server's flaw that explains why the two differ; None if nothing does."""
    refused = ours.told[0] == 400
    if old.reply.status == 0 and refused:
        return 20
    if "private" in path and refused and old.reply.status == 200:
        return 15
    if old.reply.status == 200 and not old.readable and not refused:
        return 1 if ours.readable else None
    if path[-1] == "length" and refused:
        return 12
    if old.reply.status == 200 and not old.readable and refused:
        return 2 if path[0] == "meta" else 10
    if old.told[2] == "ErrValidation" and "snapshot key" in path:
        return 34 if ours.told[2] == "ErrBadHierarchy" else None
    if old.told[2] == "ErrValidation" and "timestamp key" in path:
        return 35 if ours.told[2] == "ErrBadRoot" else None
    return None


@pytest.mark.differential
@pytest.mark.timeout(900)
@pytest.mark.parametrize("role", ["root", "targets", A, "snapshot"])
def test_fields(arena: Arena, role: str) -> None:
    """The two agree on every field and value, but for the known flaws."""
    old = {(path, raw): verdict for path, raw, verdict in verdicts(arena, "old", role)}
    ours = {(path, raw): verdict for path, raw, verdict in verdicts(arena, "ours", role)}
    assert old.keys() == ours.keys()
    assert len(old) > 400
    differ = [
        f"{path} = {raw!r}: old {old[path, raw]}, ours {ours[path, raw]}"
        for path, raw in old
        if old[path, raw].seen != ours[path, raw].seen and flaw(path, old[path, raw], ours[path, raw]) is None
    ]
    assert differ == []
