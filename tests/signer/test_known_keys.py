"""What the server remembers of the signer's keys, and how a key that is gone since shows."""

from __future__ import annotations

import asyncio

import pytest

from notary_server.errors import KeyGone, SignerRefused
from notary_server.signing.known_keys import KnownKeys
from notary_server.tuf.model import HeldKey, PublicKey
from notary_server.tuf.names import TIMESTAMP, Gun, KeyId
from notary_signer.operations import SignerService
from tests.support.payloads import canonical, instant, timestamp_signed

from .serving import served, signer_at
from .test_http import order

GUN = Gun("known")


def held(number: int) -> HeldKey:
    return HeldKey(KeyId(f"{number:064x}"), PublicKey("ecdsa", b"p"), GUN, TIMESTAMP)


def test_only_the_keys_used_last_are_remembered() -> None:
    """Beyond the bound the one goes that nobody asked for longest; a forgotten one is gone."""
    known = KnownKeys(maximum=2)
    keys = [held(number) for number in range(3)]
    known.remember(keys[0])
    known.remember(keys[1])
    assert known.among([keys[0].key_id]) == {keys[0].key_id: keys[0]}
    known.remember(keys[2])
    assert list(known.among([key.key_id for key in keys])) == [keys[0].key_id, keys[2].key_id]
    known.forget([keys[0].key_id, keys[1].key_id])
    assert list(known.among([key.key_id for key in keys])) == [keys[2].key_id]


async def test_a_key_is_asked_for_once_and_its_loss_shows_when_it_is_to_sign(service: SignerService) -> None:
    """A made or described key is not asked for again, an unknown one always; a retired one is `KeyGone`, once."""
    async with served(service) as url:
        signer = signer_at(url)
        other = signer_at(url)
        unknown = KeyId("0" * 64)
        key = await signer.create_key(GUN, TIMESTAMP, "ecdsa")
        assert await other.describe_keys([key.key_id, unknown]) == {key.key_id: key}
        await service.retire(key.key_id, GUN)
        for server in (signer, other):
            assert await server.describe_keys([unknown, key.key_id]) == {key.key_id: key}
            with pytest.raises(KeyGone):
                await server.sign(order(TIMESTAMP, key, gun=GUN))
            assert await server.describe_keys([key.key_id]) == {}
            await server.close()


async def test_a_refused_payload_is_no_lost_key(service: SignerService) -> None:
    """The signer's policy is told as it is, and the key serves on; many calls at once share the connections."""
    async with served(service) as url:
        signer = signer_at(url)
        key = await signer.create_key(GUN, TIMESTAMP, "ecdsa")
        with pytest.raises(SignerRefused) as caught:
            await signer.sign(order(TIMESTAMP, key, gun=GUN, payload=b"root"))
        assert not isinstance(caught.value, KeyGone)
        payloads = [canonical(timestamp_signed(expires=instant(number))) for number in range(1, 41)]
        await asyncio.gather(
            *(signer.sign(order(TIMESTAMP, key, gun=GUN, payload=payload)) for payload in payloads)
        )
        await signer.close()
