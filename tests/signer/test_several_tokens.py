"""Another key-encryption key for signers with a token each, over one registry, while both work."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from notary_common.wire import Key
from notary_signer import rewrap
from notary_signer.operations import SignerService
from notary_signer.registry.catalogue import SqlCatalogue
from notary_signer.registry.sql_registry import SqlRegistry
from notary_signer.token.hardware import HardwareToken
from tests.support import softhsm
from tests.support.softhsm import SoftHsm

from .journal import Notes
from .test_rewrap import KEK_1, KEK_2, labels, signs
from .test_token_commands import Machine

pytestmark = pytest.mark.parametrize("target", ["sqlite3"], indirect=True)


@dataclass(frozen=True)
class Signer:
    """One of them, as it runs, and the operator at its machine."""

    machine: Machine
    token: HardwareToken
    service: SignerService

    async def does(self, *words: object) -> str:
        """`notary-signer token` with `words`, beside the signer; the output."""
        result = await asyncio.to_thread(self.machine.run, *words)
        assert result.exit_code == 0, result.output
        return result.output

    async def refuses(self, *words: object) -> str:
        """The same where it must end with status 1."""
        result = await asyncio.to_thread(self.machine.run, *words)
        assert result.exit_code == 1, result.output
        return result.output

    async def makes(self, gun: str) -> Key:
        """A key of a new repository."""
        return (await self.service.create_key(gun, "timestamp", "ecdsa"))[0]


@asynccontextmanager
async def running(
    hsm: SoftHsm, registry: SqlRegistry, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Signer]:
    """A signer over that token."""
    machine = Machine(hsm, monkeypatch)
    monkeypatch.setenv("SOFTHSM2_CONF", str(hsm.conf))
    token = HardwareToken(hsm.settings(), on_event=print)
    await token.open()
    try:
        yield Signer(machine, token, SignerService(registry, token))
    finally:
        await token.close()


async def test_another_kek_for_signers_with_a_token_each(
    fresh_token: SoftHsm,
    registry: SqlRegistry,
    catalogue: SqlCatalogue,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No key is wrapped under it before the first was moved, so at every moment each signer can use every key."""
    stores = [softhsm.copy(fresh_token, tmp_path / name) for name in "ab"]
    kek = tmp_path / "kek"
    keys: list[Key] = []

    async with (
        running(stores[0], registry, monkeypatch) as first,
        running(stores[1], registry, monkeypatch) as second,
    ):

        async def both_work(wrapped_under: str) -> None:
            made = [await one.makes(f"g/{len(keys)}-{number}") for number, one in enumerate((first, second))]
            assert await labels(registry, made) == {wrapped_under}
            keys.extend(made)
            for one in (first, second):
                await one.token.ping()
                for key in keys:
                    await signs(one.service, key, len(keys))

        await both_work(KEK_1)
        assert repr(KEK_2) in await first.does("init", "--existing", "--exportable-kek")
        await both_work(KEK_1)
        assert "export-kek, which seals it" in await first.does("check")
        assert "left as it is" in await first.refuses("init", "--existing", "--exportable-kek")

        await second.does("transport-key", "--existing", "--out", tmp_path / "second.json")
        export = ("--for", tmp_path / "second.json", "--custodians", 3, "--threshold", 2, "--yes")
        await first.does("export-kek", *export, "--out", kek)
        await both_work(KEK_1)
        assert f"keys rewrap --to {KEK_2}" in await second.does(
            "init", "--import-kek", kek / "kek-for-1.json"
        )
        await both_work(KEK_1)
        assert await rewrap.destroy_old_keks(registry, catalogue, second.token, Notes(), settling=0.0) == []

        assert await rewrap.target(registry, second.token, None) == (KEK_2, False)
        result = await rewrap.rewrap(catalogue, second.token, Notes(), KEK_2, lambda _: None)
        assert (result.moved, result.failed) == (len(keys), {})
        await both_work(KEK_2)
        for one in (first, second):
            gone = await rewrap.destroy_old_keks(registry, catalogue, one.token, Notes(), settling=0.0)
            assert gone == [KEK_1]
            await both_work(KEK_2)

    third = Machine(softhsm.prepare(tmp_path / "c"), monkeypatch)
    shares = [word for number in (1, 3) for word in ("--import-kek", kek / f"kek-share-{number}.json")]
    result_of_third = await asyncio.to_thread(third.run, "init", *shares)
    assert result_of_third.exit_code == 0, result_of_third.output
    async with running(third.hsm, registry, monkeypatch) as late:
        for key in keys:
            await signs(late.service, key, 100)
