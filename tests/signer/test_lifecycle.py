"""What becomes of keys, over a real token: resident keys leave it, and a signer that serves sees it at once."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from notary_signer import lifecycle
from notary_signer.errors import KeyRefused, SignerError, TokenFault, TokenUnavailable
from notary_signer.operations import SignerService
from notary_signer.registry.catalogue import SqlCatalogue
from notary_signer.registry.sql_registry import SqlRegistry
from notary_signer.token.hardware import HardwareToken

from .journal import Notes
from .test_catalogue import LONG_AGO, MONTHS_AGO, age
from .test_service import GUN, PAYLOAD

pytestmark = pytest.mark.parametrize("target", ["sqlite3"], indirect=True)
"""What the databases do differently is held by test_catalogue.py."""
GRACE = timedelta(days=30)


@pytest.fixture
def notes() -> Notes:
    """The audit log."""
    return Notes()


@pytest.mark.parametrize("algorithm", ["ecdsa", "ed25519"])
async def test_a_destroyed_key_is_gone_for_every_signer(
    service: SignerService, registry: SqlRegistry, catalogue: SqlCatalogue, token: HardwareToken, engine: AsyncEngine,
    notes: Notes, algorithm: str,
) -> None:  # fmt: skip
    """Wrapped or resident, also where a signer has it loaded: it signs no more, is not described, and cannot come back."""
    made, _ = await service.create_key(GUN, "timestamp", algorithm)  # type: ignore[arg-type]
    await service.sign(made.key_id, GUN, "timestamp", PAYLOAD)
    before = await registry.get(made.key_id)
    assert before is not None
    with pytest.raises(KeyRefused, match="the key is active, and only a retired one"):
        await lifecycle.destroy(catalogue, token, notes, before, GRACE)
    assert await lifecycle.retire(registry, notes, before)
    with pytest.raises(KeyRefused, match="the key is retired"):
        await service.sign(made.key_id, GUN, "timestamp", PAYLOAD)
    retired = await registry.get(made.key_id)
    assert retired is not None
    assert not await lifecycle.retire(registry, notes, retired)
    with pytest.raises(
        KeyRefused, match=r"less than limits\.retired_key_days = 30 days ago; it can be destroyed from"
    ):
        await lifecycle.destroy(catalogue, token, notes, retired, GRACE)
    await age(engine, made.key_id, deleted_at=LONG_AGO)
    retired = await registry.get(made.key_id)
    assert retired is not None
    assert await lifecycle.destroy(catalogue, token, notes, retired, GRACE)
    destroyed = await registry.get(made.key_id)
    assert destroyed is not None
    assert not await lifecycle.destroy(catalogue, token, notes, destroyed, GRACE)
    with pytest.raises(KeyRefused, match="the key is destroyed"):
        await service.sign(made.key_id, GUN, "timestamp", PAYLOAD)
    assert (await service.key(made.key_id)).state == "destroyed"
    assert (await service.retire(made.key_id, GUN)).state == "destroyed"
    assert await service.describe([made.key_id]) == []
    if before.private.keeping == "resident":
        with pytest.raises(TokenFault, match="does not hold this key"):
            await token.sign(made.key_id, before.algorithm, before.private, PAYLOAD)
    assert notes.said == [
        ("retire_key", "begun"), ("retire_key", "done"), ("destroy_key", "begun"), ("destroy_key", "done"),
    ]  # fmt: skip


async def test_destroying_is_taken_up_where_it_was_left(
    service: SignerService, registry: SqlRegistry, catalogue: SqlCatalogue, token: HardwareToken, engine: AsyncEngine,
    notes: Notes, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """The process dies between the token and the registry: the key is still retired, and the same command ends it."""
    made, _ = await service.create_key(GUN, "timestamp", "ed25519")
    await service.retire(made.key_id, GUN)
    await age(engine, made.key_id, deleted_at=LONG_AGO)
    key = await registry.get(made.key_id)
    assert key is not None
    with monkeypatch.context() as patch:

        async def died(*_arguments: object) -> bool:
            raise ConnectionAbortedError

        patch.setattr(catalogue, "destroy", died)
        with pytest.raises(ConnectionAbortedError):
            await lifecycle.destroy(catalogue, token, notes, key, GRACE)
    assert (await service.key(made.key_id)).state == "retired"
    assert await lifecycle.destroy(catalogue, token, notes, key, GRACE)
    assert (await service.key(made.key_id)).state == "destroyed"


@pytest.mark.parametrize("algorithm", ["ecdsa", "ed25519"])
async def test_an_unused_key_is_collected_from_registry_and_token(
    service: SignerService, registry: SqlRegistry, catalogue: SqlCatalogue, token: HardwareToken, engine: AsyncEngine,
    notes: Notes, algorithm: str,
) -> None:  # fmt: skip
    """The next one who asks gets another key."""
    made, _ = await service.create_key(GUN, "timestamp", algorithm)  # type: ignore[arg-type]
    key = await registry.get(made.key_id)
    assert key is not None
    await age(engine, made.key_id, updated_at=LONG_AGO)
    assert [one.key_id for one in await lifecycle.collect(catalogue, token, notes, MONTHS_AGO)] == [
        made.key_id
    ]
    if key.private.keeping == "resident":
        with pytest.raises(TokenFault, match="does not hold this key"):
            await token.sign(made.key_id, key.algorithm, key.private, PAYLOAD)
    other, new = await service.create_key(GUN, "timestamp", algorithm)  # type: ignore[arg-type]
    assert new
    assert other.key_id != made.key_id
    await service.sign(other.key_id, GUN, "timestamp", PAYLOAD)


async def test_the_signer_collects_by_itself_and_goes_on_after_a_failure(
    service: SignerService, catalogue: SqlCatalogue, token: HardwareToken, engine: AsyncEngine, notes: Notes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """A sweep that could not be done is told, and the next one does it."""
    monkeypatch.setattr(lifecycle, "SWEEP_EVERY", 0.01)
    made, _ = await service.create_key(GUN, "timestamp", "ecdsa")
    await age(engine, made.key_id, updated_at=datetime.now(UTC) - timedelta(days=8))
    real, failures = catalogue.abandoned, [TokenUnavailable("away")]
    told: list[SignerError] = []

    async def once(before: datetime, limit: int) -> object:
        if failures:
            raise failures.pop()
        return await real(before, limit)

    monkeypatch.setattr(catalogue, "abandoned", once)
    keep = timedelta(days=7)
    task = asyncio.create_task(lifecycle.collecting(catalogue, token, notes, keep, told.append))
    async with asyncio.timeout(30):
        await notes.done.wait()
    assert (await service.key(made.key_id)).state == "destroyed"
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [error.message for error in told] == ["away"]
