"""The signer's use cases over a real token and real registries."""

from __future__ import annotations

import asyncio

import pytest

from notary_common.wire import Algorithm
from notary_signer import encoding
from notary_signer.errors import (
    BadRequest,
    KeyRefused,
    KeyUnknown,
    RegistryUnavailable,
    TokenFault,
    TokenUnavailable,
)
from notary_signer.operations import SignerService
from notary_signer.ports import Dialect, Noting
from notary_signer.registry.sql_registry import SqlRegistry
from notary_signer.token.hardware import HardwareToken
from tests.support.payloads import canonical, instant, snapshot_signed, timestamp_signed

GUN = "docker.io/library/alpine"
PAYLOAD = canonical(timestamp_signed())


@pytest.mark.parametrize("algorithm", ["ecdsa", "rsa", "ed25519"])
async def test_the_same_key_until_it_has_signed(service: SignerService, algorithm: Algorithm) -> None:
    """Creating gives one pending key again and again; after its first signature a new one."""
    first, new = await service.create_key(GUN, "timestamp", algorithm)
    assert new
    assert first.state == "pending"
    assert await service.create_key(GUN, "timestamp", algorithm) == (first, False)
    signed = await service.sign(first.key_id, GUN, "timestamp", PAYLOAD)
    assert signed.response.method == encoding.METHODS[algorithm]
    assert encoding.verifies(algorithm, first.public, signed.response.signature, PAYLOAD)
    assert (await service.key(first.key_id)).state == "active"
    second, new = await service.create_key(GUN, "timestamp", algorithm)
    assert new
    assert second.key_id != first.key_id
    held = await service.describe([first.key_id, second.key_id, "0" * 64])
    assert {key.key_id: key.state for key in held} == {first.key_id: "active", second.key_id: "pending"}


async def test_a_key_signs_for_nobody_else(service: SignerService) -> None:
    """Another GUN, another role and another role's payload are refused, and leave the key unused."""
    key, _ = await service.create_key(GUN, "timestamp", "ecdsa")
    snapshot = canonical(snapshot_signed())
    for gun, role, payload in (
        ("docker.io/library/other", "timestamp", PAYLOAD),
        (GUN, "snapshot", snapshot),
        (GUN, "timestamp", snapshot),
        (GUN, "timestamp", b"anything"),
    ):
        with pytest.raises(KeyRefused):
            await service.sign(key.key_id, gun, role, payload)  # type: ignore[arg-type]
    assert (await service.key(key.key_id)).state == "pending"


async def test_a_retired_key_signs_no_more(service: SignerService) -> None:
    """Retiring is for good, may be repeated, and needs the key's own GUN."""
    key, _ = await service.create_key(GUN, "timestamp", "ecdsa")
    with pytest.raises(KeyRefused):
        await service.retire(key.key_id, "docker.io/library/other")
    for _ in range(2):
        assert (await service.retire(key.key_id, GUN)).state == "retired"
    with pytest.raises(KeyRefused, match="retired"):
        await service.sign(key.key_id, GUN, "timestamp", PAYLOAD)
    assert await service.describe([key.key_id]) == []
    again, new = await service.create_key(GUN, "timestamp", "ecdsa")
    assert new
    assert again.key_id != key.key_id


async def test_unknown_keys_and_unfit_requests(service: SignerService) -> None:
    """Unknown is its own answer; a bad GUN and too many keys are the caller's fault."""
    with pytest.raises(KeyUnknown):
        await service.key("0" * 64)
    with pytest.raises(KeyUnknown):
        await service.sign("0" * 64, GUN, "timestamp", PAYLOAD)
    with pytest.raises(KeyUnknown):
        await service.retire("0" * 64, GUN)
    with pytest.raises(BadRequest):
        await service.create_key("a\0b", "timestamp", "ecdsa")
    with pytest.raises(BadRequest):
        await service.describe(["0" * 64] * 65)


@pytest.mark.parametrize("algorithm", ["ecdsa", "ed25519"])
async def test_racing_creations_get_one_key(
    service: SignerService, token: HardwareToken, algorithm: Algorithm
) -> None:
    """Twenty callers at once are given one key, one of them as new, and the losers' keys leave the token."""
    answers = await asyncio.gather(*(service.create_key(GUN, "timestamp", algorithm) for _ in range(20)))
    assert len({key.key_id for key, _ in answers}) == 1
    assert sum(new for _, new in answers) == 1
    assert token.handles <= 1


async def test_a_signature_that_does_not_verify_is_never_given_out(
    service: SignerService, token: HardwareToken, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token that signs wrongly is a fault. That the version was noted does no harm."""
    key, _ = await service.create_key(GUN, "timestamp", "ecdsa")

    async def wrong(*_arguments: object) -> bytes:
        return b"\1" * 64

    monkeypatch.setattr(token, "sign", wrong)
    with pytest.raises(TokenFault):
        await service.sign(key.key_id, GUN, "timestamp", PAYLOAD)


def payload(version: int, days: float = 14) -> bytes:
    """A timestamp of that version."""
    return canonical(timestamp_signed(version=version, expires=instant(days)))


async def test_a_version_is_stored_before_the_signature_is_given(
    service: SignerService, registry: SqlRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If it cannot be noted, there is no signature; the same version is noted again after a minute, a higher one at once."""
    key, _ = await service.create_key(GUN, "timestamp", "ecdsa")
    noted: list[int] = []
    real = registry.note_version

    async def failing(key_id: str, version: int, dialect: Dialect) -> Noting:
        raise RegistryUnavailable("the database went away")

    async def counting(key_id: str, version: int, dialect: Dialect) -> Noting:
        noted.append(version)
        return await real(key_id, version, dialect)

    monkeypatch.setattr(registry, "note_version", failing)
    with pytest.raises(RegistryUnavailable):
        await service.sign(key.key_id, GUN, "timestamp", PAYLOAD)
    assert (await service.key(key.key_id)).state == "pending"
    monkeypatch.setattr(registry, "note_version", counting)
    for version in (1, 1, 1, 2, 2):
        await service.sign(key.key_id, GUN, "timestamp", payload(version))
    assert noted == [1, 2]


async def test_a_key_never_goes_back(service: SignerService, registry: SqlRegistry) -> None:
    """A lower version is refused with what the highest is, the same one is signed again, whatever else it says."""
    key, _ = await service.create_key(GUN, "timestamp", "ecdsa")
    await service.sign(key.key_id, GUN, "timestamp", payload(7))
    for version in (6, 1):
        with pytest.raises(KeyRefused, match=r"has signed version 7 already.*rollback"):
            await service.sign(key.key_id, GUN, "timestamp", payload(version))
    await service.sign(key.key_id, GUN, "timestamp", payload(7, days=13))
    stored = await registry.get(key.key_id)
    assert stored is not None
    assert stored.highest_version == 7


async def test_signers_that_race_never_give_a_lower_version_out(
    service: SignerService, registry: SqlRegistry, token: HardwareToken, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another signer notes a higher version after this one has looked: its signature stays with it."""
    key, _ = await service.create_key(GUN, "timestamp", "ecdsa")
    await service.sign(key.key_id, GUN, "timestamp", payload(1))
    real = registry.note_version

    async def overtaken(key_id: str, version: int, dialect: Dialect) -> Noting:
        await real(key_id, version + 1)
        return await real(key_id, version, dialect)

    monkeypatch.setattr(registry, "note_version", overtaken)
    with pytest.raises(KeyRefused, match="has signed version 3 already"):
        await service.sign(key.key_id, GUN, "timestamp", payload(2))


async def test_a_version_that_was_noted_and_not_signed_does_no_harm(
    service: SignerService, token: HardwareToken, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The token fails while the version is noted: the same version is signed when it works again."""
    key, _ = await service.create_key(GUN, "timestamp", "ecdsa")
    with monkeypatch.context() as patch:

        async def away(*_arguments: object) -> bytes:
            raise TokenUnavailable("gone")

        patch.setattr(token, "sign", away)
        with pytest.raises(TokenUnavailable):
            await service.sign(key.key_id, GUN, "timestamp", payload(4))
    await service.sign(key.key_id, GUN, "timestamp", payload(4))


async def test_a_repository_begins_anew_at_version_one(service: SignerService) -> None:
    """Deleted and made again it gets other keys, or the one that never signed; both know of no version."""
    key, _ = await service.create_key(GUN, "timestamp", "ecdsa")
    await service.sign(key.key_id, GUN, "timestamp", payload(9))
    pending, new = await service.create_key(GUN, "timestamp", "ecdsa")
    assert new
    await service.retire(key.key_id, GUN)
    again, new = await service.create_key(GUN, "timestamp", "ecdsa")
    assert (again, new) == (pending, False)
    await service.sign(pending.key_id, GUN, "timestamp", payload(1))


async def test_health_names_the_part_that_fails(
    service: SignerService, token: HardwareToken, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Empty when both work; else the name of the broken part with a sentence."""
    assert await service.health() == {}

    async def broken() -> None:
        raise TokenUnavailable("gone")

    monkeypatch.setattr(token, "ping", broken)
    assert await service.health() == {"token": "gone"}


async def test_a_key_that_is_retired_while_it_signs_gives_nothing_out(
    service: SignerService, registry: SqlRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Retiring between the policy's look and the note of the version wins."""
    key, _ = await service.create_key(GUN, "timestamp", "ecdsa")
    real = registry.note_version

    async def retiring(key_id: str, version: int, dialect: Dialect) -> Noting:
        await registry.retire(key_id)
        return await real(key_id, version, dialect)

    monkeypatch.setattr(registry, "note_version", retiring)
    with pytest.raises(KeyRefused, match="retired"):
        await service.sign(key.key_id, GUN, "timestamp", PAYLOAD)
