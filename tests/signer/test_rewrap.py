"""Another key-encryption key for all keys, over a real token, while it signs."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from notary_common.wire import Key
from notary_signer import encoding, rewrap
from notary_signer.errors import KeyRefused, TokenFault, TokenUnavailable
from notary_signer.operations import SignerService
from notary_signer.ports import KeyRecord, PrivatePart
from notary_signer.registry.catalogue import SqlCatalogue
from notary_signer.registry.schema import private_keys
from notary_signer.registry.sql_registry import SqlRegistry
from notary_signer.token.hardware import HardwareToken
from tests.support import softhsm
from tests.support.softhsm import SoftHsm

from .journal import Notes
from .test_service import payload

pytestmark = pytest.mark.parametrize("target", ["sqlite3"], indirect=True)
KEK_1, KEK_2 = "notary-kek-1", "notary-kek-2"


async def made(service: SignerService, number: int) -> list[Key]:
    """Keys of as many repositories, the first one RSA."""
    return [
        (await service.create_key(f"g{count}", "timestamp", "ecdsa" if count else "rsa"))[0]
        for count in range(number)
    ]


async def signs(service: SignerService, key: Key, version: int) -> None:
    """The key signs that version well."""
    message = payload(version)
    signed = await service.sign(key.key_id, key.gun, "timestamp", message)
    assert encoding.verifies(key.algorithm, key.public, signed.response.signature, message)


async def labels(registry: SqlRegistry, keys: list[Key]) -> set[str]:
    """Under which KEKs they are wrapped."""
    found = [await registry.get(key.key_id) for key in keys]
    return {key.private.kek_label for key in found if key is not None}


@pytest.fixture
async def second(
    service: SignerService, registry: SqlRegistry, catalogue: SqlCatalogue, token: HardwareToken
) -> str:
    """The label of a KEK that was made after the token had been opened, and has been moved to."""
    first, _ = await service.create_key("first", "timestamp", "ecdsa")
    target, new = await rewrap.target(registry, token, None, make=True)
    assert (target, new) == (KEK_2, True)
    await rewrap.make_kek(token, Notes(), target)
    for wanted in (None, KEK_2):
        assert await rewrap.target(registry, token, wanted) == (KEK_2, False)
    assert (await rewrap.rewrap(catalogue, token, Notes(), KEK_2, lambda _: None)).moved == 1
    assert await labels(registry, [first]) == {KEK_2}
    return target


async def test_all_keys_move_while_the_signer_serves(
    service: SignerService, registry: SqlRegistry, catalogue: SqlCatalogue, token: HardwareToken
) -> None:
    """Two hundred keys: every signature asked for meanwhile is given, keys made meanwhile are moved or new already."""
    keys = await made(service, 200)
    await service.retire(keys[7].key_id, keys[7].gun)
    notes, moved = Notes(), list[int]()
    await rewrap.make_kek(token, notes, KEK_2)
    done = asyncio.Event()
    extra: list[Key] = []

    async def load(offset: int) -> int:
        count = 0
        while not done.is_set():
            for key in keys[offset::40]:
                if key is not keys[7]:
                    await signs(service, key, count + 1)
            extra.append((await service.create_key(f"new{offset}-{count}", "timestamp", "ecdsa"))[0])
            count += 1
        return count

    async def work() -> rewrap.Rewrapped:
        try:
            return await rewrap.rewrap(catalogue, token, notes, KEK_2, moved.append)
        finally:
            done.set()

    result, *rounds = await asyncio.gather(work(), load(0), load(3), load(8))
    assert all(rounds)
    assert (result.moved, result.passed, result.failed, sum(moved)) == (200, 0, {}, 200)
    assert await labels(registry, keys + extra) == {KEK_2}
    assert notes.said[-2:] == [("rewrap_keys", "begun"), ("rewrap_keys", "done")]
    assert (await rewrap.rewrap(catalogue, token, notes, KEK_2, moved.append)).moved == 0


async def test_keys_outlive_their_old_kek(
    service: SignerService, registry: SqlRegistry, catalogue: SqlCatalogue, token: HardwareToken, hsm: SoftHsm,
    events: list[str], second: str,
) -> None:  # fmt: skip
    """The old KEK goes only when no key needs it; then everything works after a restart, and old copies of rows do not."""
    keys = await made(service, 3)
    await token.ping()
    assert await labels(registry, keys) == {second}
    late = await old_key(token, registry, service)
    old_form = await registry.get(late.key_id)
    assert old_form is not None
    assert old_form.private.kek_label == KEK_1
    assert (await rewrap.rewrap(catalogue, token, Notes(), second, lambda _: None)).moved == 1
    notes = Notes()
    assert await rewrap.old_keks(registry, catalogue, token) == [KEK_1]
    assert await rewrap.destroy_old_keks(registry, catalogue, token, notes, settling=0.0) == [KEK_1]
    assert await token.keks() == [second]
    assert await rewrap.destroy_old_keks(registry, catalogue, token, notes, settling=0.0) == []
    assert notes.said == [("destroy_kek", "begun"), ("destroy_kek", "done")]
    await token.ping()
    await token.close()
    again = HardwareToken(hsm.settings(), on_event=events.append)
    await again.open()
    for key in keys:
        await signs(SignerService(registry, again), key, 1)
    with pytest.raises(TokenFault, match="no key-encryption key labelled 'notary-kek-1'"):
        await again.sign(late.key_id, late.algorithm, old_form.private, payload(1))
    assert await rewrap.target(registry, again, None) == (second, False)
    await again.close()


async def test_an_old_kek_stays_while_a_key_needs_it(
    service: SignerService, registry: SqlRegistry, catalogue: SqlCatalogue, token: HardwareToken, second: str
) -> None:
    """A retired key counts, and so does one that a signer stored while the command waited."""
    notes = Notes()
    await made(service, 1)

    async def stored_late() -> None:
        await asyncio.sleep(0.05)
        late = await old_key(token, registry, service)
        await service.retire(late.key_id, late.gun)

    late = asyncio.create_task(stored_late())
    with pytest.raises(KeyRefused, match=f"1 under {KEK_1}"):
        await rewrap.destroy_old_keks(registry, catalogue, token, notes, settling=1.0)
    await late
    with pytest.raises(KeyRefused, match="run keys rewrap"):
        await rewrap.old_keks(registry, catalogue, token)
    assert await token.keks() == [KEK_1, second]
    assert notes.said == []


async def old_key(token: HardwareToken, registry: SqlRegistry, service: SignerService) -> Key:
    """A key that is wrapped under the first KEK although there is a second, as a signer makes it that began before."""
    new, _ = await service.create_key("late", "timestamp", "ecdsa")
    record = await registry.get(new.key_id)
    assert record is not None
    old = await token.rewrap(record, KEK_1)
    assert await SqlCatalogue(registry._database).swap(new.key_id, record.private, old)
    return new


async def test_a_key_that_cannot_be_moved_is_left_and_told(
    service: SignerService,
    registry: SqlRegistry,
    catalogue: SqlCatalogue,
    token: HardwareToken,
    engine: AsyncEngine,
) -> None:
    """A damaged row, and one whose public half is another key's, stay as they are; the others move."""
    keys = await made(service, 4)
    damaged, swapped = keys[1], keys[2]
    async with engine.begin() as connection:
        for key, values in ((damaged, {"private": b"\0" * 80}), (swapped, {"public": keys[3].public})):
            await connection.execute(
                private_keys.update().where(private_keys.c.key_id == key.key_id).values(values)
            )
    notes = Notes()
    await rewrap.make_kek(token, notes, KEK_2)
    result = await rewrap.rewrap(catalogue, token, notes, KEK_2, lambda _: None)
    assert result.moved == 2
    assert set(result.failed) == {damaged.key_id, swapped.key_id}
    assert "does not verify" in result.failed[swapped.key_id]
    assert notes.said.count(("rewrap_key", "failed")) == 2
    assert await labels(registry, [damaged, swapped]) == {KEK_1}
    with pytest.raises(KeyRefused, match=f"2 under {KEK_1}"):
        await rewrap.old_keks(registry, catalogue, token)


async def test_a_run_that_was_broken_off_goes_on(
    service: SignerService, registry: SqlRegistry, catalogue: SqlCatalogue, token: HardwareToken, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    """The token goes away after five keys: the next run moves the other five."""
    keys = await made(service, 10)
    notes, count = Notes(), 0
    await rewrap.make_kek(token, notes, KEK_2)
    real = token.rewrap

    async def failing(key: KeyRecord, kek_label: str) -> PrivatePart:
        nonlocal count
        count += 1
        if count > 5:
            raise TokenUnavailable("the token is not there")
        return await real(key, kek_label)

    with monkeypatch.context() as patch:
        patch.setattr(token, "rewrap", failing)
        with pytest.raises(TokenUnavailable):
            await rewrap.rewrap(catalogue, token, notes, KEK_2, lambda _: None)
    for key in keys:
        await signs(service, key, 1)
    assert await rewrap.waiting(catalogue, await token.keywraps(), KEK_2) == 5
    assert (await rewrap.rewrap(catalogue, token, notes, KEK_2, lambda _: None)).moved == 5
    assert await labels(registry, keys) == {KEK_2}


async def test_which_kek_can_be_moved_to(registry: SqlRegistry, token: HardwareToken, second: str) -> None:
    """The newest, or if that is asked for another one, which is not made twice nor while one waits to be used."""
    for label in ("notary-kek-1", "notary-kek-3", "other"):
        with pytest.raises(KeyRefused, match="that this token can use is 'notary-kek-2'"):
            await rewrap.target(registry, token, label)
    with pytest.raises(TokenFault, match="already"):
        await token.make_kek(second)
    assert await rewrap.target(registry, token, None, make=True) == ("notary-kek-3", True)
    await rewrap.make_kek(token, Notes(), "notary-kek-3")
    with pytest.raises(KeyRefused, match="wraps no key yet"):
        await rewrap.target(registry, token, None, make=True)


async def test_a_kek_that_another_process_made_is_used_once_a_key_was_moved_to_it(
    service: SignerService, registry: SqlRegistry, catalogue: SqlCatalogue, token: HardwareToken, hsm: SoftHsm
) -> None:
    """A signer that runs wraps its next key under it, without a restart; the old one can go behind its back."""
    before = await made(service, 1)
    softhsm.run(
        hsm,
        "import pkcs11; from notary_signer.token import keks\n"
        "session = pkcs11.lib(str(module)).get_token(token_label=label).open(rw=True, user_pin=pin_file.read_text().strip())\n"
        f"keks.make(session, {KEK_2!r})",
    )
    assert await rewrap.destroy_old_keks(registry, catalogue, token, Notes(), settling=0.0) == []
    between, _ = await service.create_key("between", "timestamp", "ecdsa")
    assert await labels(registry, [*before, between]) == {KEK_1}
    record = await registry.get(between.key_id)
    assert record is not None
    assert await catalogue.swap(between.key_id, record.private, await token.rewrap(record, KEK_2))
    after, _ = await service.create_key("after", "timestamp", "ecdsa")
    assert await labels(registry, before) == {KEK_1}
    assert await labels(registry, [after]) == {KEK_2}
    for key in (*before, between, after):
        await signs(service, key, 1)
    await rewrap.rewrap(catalogue, token, Notes(), KEK_2, lambda _: None)
    softhsm.run(
        hsm,
        "import pkcs11; from notary_signer.token import objects\n"
        "session = pkcs11.lib(str(module)).get_token(token_label=label).open(rw=True, user_pin=pin_file.read_text().strip())\n"
        f"objects.find_keks(session, {KEK_1!r})[0].destroy()",
    )
    await token.ping()
    assert token.sessions == 1
    last, _ = await service.create_key("last", "timestamp", "ecdsa")
    for key in (*before, last):
        await signs(service, key, 2)
