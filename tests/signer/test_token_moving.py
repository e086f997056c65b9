"""Keys from outside go into every kind of token, sign there, and come out again only as far as the token lets them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
)

from notary_common.wire import Algorithm
from notary_signer import encoding
from notary_signer.errors import TokenFault
from notary_signer.ports import KeyRecord, NewKey
from notary_signer.token.hardware import HardwareToken
from notary_signer.token.settings import TokenSettings

from .test_token_contract import KEPT, kind, nss_token, settings, signs

__all__ = ["kind", "nss_token", "settings"]

Private = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


def _pkcs8(private: Private) -> bytes:
    return private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def _public(private: Private) -> bytes:
    if isinstance(private, ed25519.Ed25519PrivateKey):
        return private.public_key().public_bytes_raw()
    return private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@pytest.fixture(scope="module")
def outside() -> dict[Algorithm, Private]:
    """Keys that were made elsewhere."""
    return {
        "ecdsa": ec.generate_private_key(ec.SECP256R1()),
        "rsa": rsa.generate_private_key(65537, 2048),
        "ed25519": ed25519.Ed25519PrivateKey.generate(),
    }


@pytest.fixture
async def opened(settings: TokenSettings) -> AsyncIterator[HardwareToken]:
    """The token, in its process."""
    token = HardwareToken(settings, on_event=print)
    await token.open()
    yield token
    await token.close()


def _record(key: NewKey) -> KeyRecord:
    return KeyRecord(key.key_id, key.algorithm, key.public, key.private, "a/b", "timestamp", None, None)


async def test_keys_go_in_sign_and_come_out(
    kind: tuple[str, str], settings: TokenSettings, outside: dict[Algorithm, Private]
) -> None:
    """Each is kept as a new key would be, twice is once, and it signs in a process that was started anew."""
    kept = KEPT[kind]  # type: ignore[index]
    token = HardwareToken(settings, on_event=print)
    await token.open()
    taken = {}
    for algorithm, keeping in kept.items():
        private = outside[algorithm]
        args = (algorithm, _pkcs8(private), _public(private), "a/b timestamp")
        taken[algorithm] = await token.import_key(*args)
        assert taken[algorithm].key_id == encoding.key_id(algorithm, _public(private))
        assert taken[algorithm].private.keeping == keeping
        await token.import_key(*args)
    await token.close()
    again = HardwareToken(settings, on_event=print)
    await again.open()
    for algorithm, key in taken.items():
        assert await signs(again, key)
        if key.private.keeping == "wrapped":
            exported = load_der_private_key(await again.export_key(_record(key)), password=None)
            assert exported.private_numbers() == outside[algorithm].private_numbers()  # type: ignore[union-attr]
        else:
            with pytest.raises(TokenFault, match="resident"):
                await again.export_key(_record(key))
            await again.discard(key)
    await again.close()


async def test_a_key_under_the_name_of_another_does_not_go_in(
    opened: HardwareToken, outside: dict[Algorithm, Private]
) -> None:
    """What was taken in must sign for the public key that it is to be known by."""
    other = ec.generate_private_key(ec.SECP256R1())
    with pytest.raises(TokenFault, match="does not verify"):
        await opened.import_key("ecdsa", _pkcs8(outside["ecdsa"]), _public(other), "a/b timestamp")
    await opened.ping()


async def test_a_key_that_the_token_made_comes_out_as_it_is(
    kind: tuple[str, str], opened: HardwareToken
) -> None:
    """The private key that belongs to the public one, if it was wrapped."""
    key = await opened.generate("ecdsa", "a/b timestamp")
    if key.private.keeping == "wrapped":
        private = load_der_private_key(await opened.export_key(_record(key)), password=None)
        assert isinstance(private, ec.EllipticCurvePrivateKey)
        assert _public(private) == key.public
