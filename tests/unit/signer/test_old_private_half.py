"""Private keys as Notary's signer spells them: there and back, and what does not belong together."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from notary_common.wire import Algorithm
from notary_signer import encoding
from notary_signer.takeover.private_half import (
    PrivateHalf,
    UnfitKey,
    check_private_half,
    pkcs8,
    public_half,
    read_pkcs8,
    read_private_half,
    write_private_half,
)

KEYS: dict[Algorithm, PrivateHalf] = {
    "ecdsa": ec.generate_private_key(ec.SECP256R1()),
    "rsa": rsa.generate_private_key(65537, 2048),
    "ed25519": ed25519.Ed25519PrivateKey.generate(),
}
OTHERS: dict[Algorithm, Algorithm] = {"ecdsa": "rsa", "rsa": "ed25519", "ed25519": "ecdsa"}


@pytest.mark.parametrize("algorithm", KEYS)
def test_there_and_back(algorithm: Algorithm) -> None:
    """What is written is read, in Notary's form and in the token's, and fits the row it came from."""
    private = KEYS[algorithm]
    public = public_half(private)
    for again in (
        read_private_half(algorithm, write_private_half(private)),
        read_pkcs8(algorithm, pkcs8(private)),
    ):
        check_private_half(again, algorithm, public, encoding.key_id(algorithm, public))


@pytest.mark.parametrize("algorithm", KEYS)
def test_another_kind_of_key_is_refused(algorithm: Algorithm) -> None:
    """The column `algorithm` must be right."""
    other = KEYS[OTHERS[algorithm]]
    with pytest.raises(UnfitKey):
        read_private_half(algorithm, write_private_half(other))
    with pytest.raises(UnfitKey):
        read_pkcs8(algorithm, pkcs8(other))


@pytest.mark.parametrize("algorithm", KEYS)
@pytest.mark.parametrize("plaintext", [b"", b"\x30\x03", b"x" * 96, b"x" * 121])
def test_garbage_is_refused(algorithm: Algorithm, plaintext: bytes) -> None:
    """What was decrypted with the right passphrase may still be nonsense."""
    with pytest.raises(UnfitKey) as raised:
        read_private_half(algorithm, plaintext)
    assert "x" * 8 not in str(raised.value)


def test_a_row_that_does_not_fit_its_key_is_refused() -> None:
    """Neither a foreign public half nor a wrong key ID passes."""
    private, other = KEYS["ecdsa"], ec.generate_private_key(ec.SECP256R1())
    public = public_half(private)
    with pytest.raises(UnfitKey, match="public key"):
        check_private_half(other, "ecdsa", public, encoding.key_id("ecdsa", public))
    with pytest.raises(UnfitKey, match="key ID"):
        check_private_half(private, "ecdsa", public, "0" * 64)


@pytest.mark.parametrize(
    ("algorithm", "private", "said"),
    [
        ("ecdsa", ec.generate_private_key(ec.SECP384R1()), "P-256"),
        ("rsa", rsa.generate_private_key(65537, 1024), "2048"),
        ("dsa", KEYS["ecdsa"], "not used"),
    ],
)
def test_keys_that_clients_do_not_take_are_refused(algorithm: str, private: PrivateHalf, said: str) -> None:
    """Each with what is wrong."""
    with pytest.raises(UnfitKey, match=said):
        read_private_half(algorithm, write_private_half(private))


def test_the_halves_of_an_ed25519_key_must_agree() -> None:
    """The public bytes stand in the row twice."""
    plaintext = bytearray(write_private_half(KEYS["ed25519"]))
    plaintext[0] ^= 1
    with pytest.raises(UnfitKey, match="belong together"):
        read_private_half("ed25519", bytes(plaintext))
