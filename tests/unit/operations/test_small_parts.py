"""The parts of the use cases that can be looked at by themselves."""

from __future__ import annotations

import asyncio
import hashlib
from base64 import b64encode
from collections.abc import Callable
from typing import Any, cast

import pytest

from notary_server.errors import (
    InvalidParameters,
    InvalidRole,
    MalformedJson,
    MalformedUpload,
    NoFilename,
    SignerRefused,
    Unavailable,
)
from notary_server.operations import changefeed
from notary_server.operations.context import Context, Expiries
from notary_server.operations.publish import Upload, collect
from notary_server.signing.local_signer import LocalSigner
from notary_server.tuf.keys import verifies
from notary_server.tuf.model import SigningOrder
from notary_server.tuf.names import SNAPSHOT, TIMESTAMP, Gun, Sha256Hex

FILE = b'{"signed":{"_type":"Targets","expires":"2030-01-01T00:00:00Z","version":1},"signatures":[]}'


class Recorder:
    """A store that only notes what it is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []

    async def changes(self, *arguments: Any) -> list[Any]:
        """Note the question."""
        self.asked.append(arguments)
        return []


@pytest.mark.parametrize(
    ("records", "change_id", "asked"),
    [
        ("5", "", (0, 5)),
        ("0", "0", (0, 50)),
        ("+7", "+3", (3, 7)),
        ("-3", "9", (9, -3)),
        ("-3", "", (0, -3)),
        ("-3", "-1", (0, -3)),
        ("3", "-1", (0, -3)),
        ("0", "-2147483648", (0, -50)),
        ("2147483647", "2147483647", (2147483647, 50)),
        ("-2147483648", "1", (1, -50)),
        ("1", "2147483648", (2**31, 1)),
        ("1", "9223372036854775807", (2**63 - 1, 1)),
    ],
)
async def test_changefeed_parameters(records: str, change_id: str, asked: tuple[int, int]) -> None:
    """How many records, from where, and in which direction."""
    store = Recorder()
    context = Context(cast(Any, store), cast(Any, None), cast(Any, None), max_changes=50)
    await changefeed.changes(context, Gun("g"), change_id, records)
    assert store.asked == [("g", *asked)]


@pytest.mark.parametrize(
    ("records", "change_id"),
    [("", ""), (" 1", ""), ("1 ", ""), ("1.0", ""), ("0x1", ""), ("١", ""), ("2147483648", ""), ("1", "z"), ("1", "--1"), ("1", "9223372036854775808"), ("9" * 5000, "")],
)  # fmt: skip
async def test_changefeed_parameters_that_are_no_numbers(records: str, change_id: str) -> None:
    """Signed decimals of 32 bits for records, 64 for the ID, and nothing else."""
    context = Context(cast(Any, Recorder()), cast(Any, None), cast(Any, None))
    with pytest.raises(InvalidParameters):
        await changefeed.changes(context, None, change_id, records)


def collected(*parts: tuple[str, Callable[[], bytes]]) -> list[Upload]:
    """What a form of these parts stands for."""
    context = Context(cast(Any, None), cast(Any, None), cast(Any, None))
    return asyncio.run(collect(context, 0, parts))


def test_parts_become_uploads() -> None:
    """One `.json` is taken off; of several parts for one role the last counts, though all are checked."""
    other = FILE + b" "
    uploads = collected(("targets.json", lambda: FILE), ("targets", lambda: other), ("root", lambda: FILE))
    assert {upload.role: upload.data for upload in uploads} == {"targets": other, "root": FILE}
    with pytest.raises(MalformedJson):
        collected(("targets", lambda: b"nope"), ("targets", lambda: FILE))


@pytest.mark.parametrize("name", ["", ".json"])
def test_a_name_that_is_only_an_ending_is_none(name: str) -> None:
    """What is left without `.json` must name something."""
    with pytest.raises(NoFilename):
        collected((name, lambda: FILE))


@pytest.mark.parametrize("name", ["Targets", "root.json.json", "targets/A", "x"])
def test_names_that_are_roles_of_tuf_1_0_alone(name: str) -> None:
    """The content says which dialect it is; one that cannot even be read says nothing."""

    def unreadable() -> bytes:
        raise MalformedUpload("cut off")

    for content in (lambda: FILE, unreadable):
        with pytest.raises(InvalidRole) as refused:
            collected((name, content))
        assert refused.value.detail == name.removesuffix(".json")


@pytest.mark.parametrize("name", ["/targets", "./targets", "targets/", "a b", "_trust/x", "x" * 256])
def test_names_that_are_no_roles(name: str) -> None:
    """The name is refused before the content is even asked for."""

    def content() -> bytes:
        raise AssertionError("the name comes first")

    with pytest.raises(InvalidRole) as refused:
        collected((name, content))
    assert refused.value.detail == name.removesuffix(".json")


def test_the_first_bad_part_decides() -> None:
    """A content is judged before the next name is, though the form is taken apart first."""
    with pytest.raises(MalformedJson):
        collected(("targets", lambda: b"nope"), ("Targets", lambda: FILE))
    with pytest.raises(InvalidRole):
        collected(("targets", lambda: FILE), ("Targets", lambda: b"nope"), ("root", lambda: b"nope"))


def test_remembered_expiries_are_bounded() -> None:
    """The oldest go when there are too many."""
    expiries = Expiries(capacity=2)
    for number in range(3):
        expiries.remember(Sha256Hex(str(number)), number)
    assert [expiries.get(Sha256Hex(str(number))) for number in range(3)] == [None, 1, 2]


async def test_local_keys_are_made_once_until_used() -> None:
    """One key per repository and role until it signs; it never signs for another one, and hides its private half."""
    signer = LocalSigner()
    key = await signer.create_key(Gun("g"), TIMESTAMP, "ecdsa")
    assert await signer.create_key(Gun("g"), TIMESTAMP, "rsa") == key
    assert await signer.create_key(Gun("h"), TIMESTAMP, "rsa") != key
    assert await signer.create_key(Gun("g"), SNAPSHOT, "rsa") != key
    assert await signer.describe_keys([key.key_id]) == {key.key_id: key}
    order = SigningOrder(Gun("g"), TIMESTAMP, 1, b"payload", (key,))
    (signature,) = await signer.sign(order)
    assert verifies(key.key, signature, b"payload")
    assert signature.keyid == hashlib.sha256(
        b'{"keytype":"ed25519","keyval":{"private":null,"public":"%b"}}' % b64encode(key.key.public)
    ).hexdigest()  # fmt: skip
    assert await signer.create_key(Gun("g"), TIMESTAMP, "ecdsa") != key
    with pytest.raises(SignerRefused):
        await signer.sign(SigningOrder(Gun("h"), TIMESTAMP, 1, b"payload", (key,)))
    assert "private" not in repr(vars(signer))


async def test_a_publish_does_not_wait_for_ever_for_its_turn() -> None:
    """One of the same repository, and one of another when so many are worked on, are told to come back; nothing stays taken."""
    context = Context(
        cast(Any, None), cast(Any, None), cast(Any, None), publishing=asyncio.Semaphore(1), publish_wait=0.01
    )
    for _ in range(2):
        async with context.turn(Gun("one")):
            for gun in ("one", "two"):
                with pytest.raises(Unavailable, match=r"other publishes did not end within 0\.01 seconds"):
                    async with context.turn(Gun(gun)):
                        pytest.fail("it is not its turn")
    async with context.turn(Gun("two")):
        pass
