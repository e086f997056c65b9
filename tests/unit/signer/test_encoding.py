"""Public keys and signatures between PKCS#11 and Notary."""

from __future__ import annotations

import hashlib

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from notary_common.wire import Algorithm
from notary_server.tuf import keys
from notary_server.tuf.model import PublicKey
from notary_signer import encoding

EC_KEY = ec.generate_private_key(ec.SECP256R1())
RSA_KEY = rsa.generate_private_key(65537, 2048)
ED_KEY = ed25519.Ed25519PrivateKey.generate()
MESSAGE = b"a message"


def spki(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def test_points_with_and_without_their_der_header() -> None:
    """CKA_EC_POINT is read as the standard has it and as some tokens give it."""
    point = EC_KEY.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    assert encoding.ecdsa_public(b"\x04\x41" + point) == encoding.ecdsa_public(point) == spki(EC_KEY)
    raw = ED_KEY.public_key().public_bytes_raw()
    assert encoding.ed25519_public(b"\x04\x20" + raw) == encoding.ed25519_public(raw) == raw


@pytest.mark.parametrize(
    "point", [b"", b"\x04", b"\x04\x41" + b"\0" * 65, b"\x04\x40" + b"\4" * 65, b"\x05\x41" + b"\4" * 65]
)
def test_points_that_are_none(point: bytes) -> None:
    """A point off the curve or of another shape is an error."""
    with pytest.raises(ValueError):
        encoding.ecdsa_public(point)
    with pytest.raises(ValueError):
        encoding.ed25519_public(point)


def test_rsa_numbers() -> None:
    """Modulus and exponent give the SubjectPublicKeyInfo."""
    numbers = RSA_KEY.public_key().public_numbers()
    assert encoding.rsa_public(numbers.n.to_bytes(256, "big"), b"\1\0\1") == spki(RSA_KEY)


@pytest.mark.parametrize("algorithm", ["ecdsa", "rsa", "ed25519"])
def test_key_ids_agree_with_the_server(algorithm: Algorithm) -> None:
    """Signer and server compute the same ID, each with its own code."""
    public = hashlib.sha512(algorithm.encode()).digest()
    assert encoding.key_id(algorithm, public) == keys.key_id(PublicKey(algorithm, public))


def test_verification_of_each_algorithm() -> None:
    """A right signature verifies; another message, key, length or type does not."""
    r, s = decode_dss_signature(EC_KEY.sign(MESSAGE, ec.ECDSA(hashes.SHA256())))
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
    cases: list[tuple[Algorithm, bytes, bytes]] = [
        ("ecdsa", spki(EC_KEY), r.to_bytes(32, "big") + s.to_bytes(32, "big")),
        ("rsa", spki(RSA_KEY), RSA_KEY.sign(MESSAGE, pss, hashes.SHA256())),
        ("ed25519", ED_KEY.public_key().public_bytes_raw(), ED_KEY.sign(MESSAGE)),
    ]
    for algorithm, public, signature in cases:
        assert encoding.verifies(algorithm, public, signature, MESSAGE)
        assert not encoding.verifies(algorithm, public, signature, MESSAGE + b"!")
        assert not encoding.verifies(algorithm, public, signature[:-1], MESSAGE)
        assert not encoding.verifies(algorithm, public, b"", MESSAGE)
        assert not encoding.verifies(algorithm, b"no key", signature, MESSAGE)
        for other, other_public, _ in cases:
            if other != algorithm:
                assert not encoding.verifies(algorithm, other_public, signature, MESSAGE)
                assert not encoding.verifies(other, public, signature, MESSAGE)
