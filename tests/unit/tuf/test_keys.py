"""Key IDs and single signatures, for every key type and method (docs/reference/protocol.md, 5 and 6)."""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from notary_server.tuf import keys
from notary_server.tuf.model import PublicKey, Signature
from tests.publisher import (
    Key,
    certificate_authority,
    ecdsa_key,
    ed25519_key,
    key_id,
    key_object,
    pem_rsa_key,
    root_key,
    rsa_key,
)

MESSAGE = b'{"a":1}'
RSA = rsa_key()
MADE: dict[str, tuple[Key, str]] = {
    "P-224": (ecdsa_key("P-224"), "ecdsa"),
    "P-256": (ecdsa_key("P-256"), "ecdsa"),
    "P-384": (ecdsa_key("P-384"), "ecdsa"),
    "P-521": (ecdsa_key("P-521"), "ecdsa"),
    "ecdsa-x509": (root_key("x"), "ecdsa"),
    "ecdsa-x509 P-384": (root_key("x", ec.generate_private_key(ec.SECP384R1())), "ecdsa"),
    "rsapss": (RSA, "rsapss"),
    "rsapkcs1v15": (RSA, "rsapkcs1v15"),
    "rsa-x509": (root_key("x", RSA.private), "rsapss"),
    "rsa-x509 pkcs1": (root_key("x", RSA.private), "rsapkcs1v15"),
    "ed25519": (ed25519_key(), "eddsa"),
    "pycrypto": (pem_rsa_key(), "pycrypto-pkcs#1 pss"),
}
METHODS = ["ecdsa", "rsapss", "rsapkcs1v15", "eddsa", "pycrypto-pkcs#1 pss", "", "ed25519", "rsa", "hmac"]
LENGTHS = {"P-224": 56, "P-256": 64, "P-384": 96, "P-521": 132}


def public(key: Key) -> PublicKey:
    """The key as parsed metadata holds it."""
    return PublicKey(key.keytype, key.public)


def signed(key: Key, method: str, message: bytes = MESSAGE) -> Signature:
    """A signature by that method."""
    return Signature(key.id, method, key.raw_signature(message, method))


@pytest.mark.parametrize("name", MADE)
def test_good_signature(name: str) -> None:
    """Every key type verifies what it signed by its methods, however the method's case."""
    key, method = MADE[name]
    good = signed(key, method)
    assert keys.verifies(public(key), good, MESSAGE)
    assert keys.verifies(public(key), Signature("", method.upper(), good.sig), MESSAGE)


@pytest.mark.parametrize("name", MADE)
def test_bad_signature(name: str) -> None:
    """Another message, a changed, shortened, lengthened or empty signature, or another method does not verify."""
    key, method = MADE[name]
    sig = signed(key, method).sig
    assert not keys.verifies(public(key), Signature("", method, sig), MESSAGE + b" ")
    for wrong in (
        bytes([sig[0] ^ 1]) + sig[1:],
        sig[:-1] + bytes([sig[-1] ^ 1]),
        sig[:-1],
        sig + b"\0",
        b"\0" + sig,
        b"",
        bytes(len(sig)),
    ):
        assert not keys.verifies(public(key), Signature("", method, wrong), MESSAGE)
    for other in set(METHODS) - {method}:
        assert not keys.verifies(public(key), Signature("", other, sig), MESSAGE)


@pytest.mark.parametrize("name", LENGTHS)
def test_ecdsa_is_raw_and_of_fixed_width(name: str) -> None:
    """ECDSA signatures are r and s at the curve's width; DER is not taken."""
    key, method = MADE[name]
    assert isinstance(key.private, ec.EllipticCurvePrivateKey)
    assert len(signed(key, method).sig) == LENGTHS[name]
    der = key.private.sign(MESSAGE, ec.ECDSA(hashes.SHA256()))
    assert not keys.verifies(public(key), Signature("", method, der), MESSAGE)


@pytest.mark.parametrize("salt", [0, 20, 64, padding.PSS.MAX_LENGTH])
def test_pss_salt(salt: int) -> None:
    """A PSS salt of another length than 32 bytes does not verify."""
    assert isinstance(RSA.private, rsa.RSAPrivateKey)
    sig = RSA.private.sign(MESSAGE, padding.PSS(padding.MGF1(hashes.SHA256()), salt), hashes.SHA256())
    assert not keys.verifies(public(RSA), Signature("", "rsapss", sig), MESSAGE)


@pytest.mark.parametrize("bits", [1024, 2040])
def test_short_rsa_keys(bits: int) -> None:
    """RSA below 2048 bits never verifies, bare, in PEM or in a certificate."""
    short = rsa_key(bits)
    pem = short.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    for key, method in (
        (short, "rsapss"),
        (short, "rsapkcs1v15"),
        (root_key("x", short.private), "rsapss"),
        (Key("rsa", pem, short.private), "pycrypto-pkcs#1 pss"),
    ):
        assert not keys.verifies(public(key), signed(key, method), MESSAGE)


def test_longer_rsa_keys() -> None:
    """RSA above 2048 bits verifies."""
    key = rsa_key(3072)
    assert keys.verifies(public(key), signed(key, "rsapss"), MESSAGE)


@pytest.mark.parametrize("name", MADE)
def test_type_must_fit(name: str) -> None:
    """A key filed under another type verifies nothing."""
    key, method = MADE[name]
    for keytype in ("ecdsa", "rsa", "ed25519", "ecdsa-x509", "rsa-x509", "", "ECDSA", "unknown"):
        if keytype != key.keytype:
            assert not keys.verifies(PublicKey(keytype, key.public), signed(key, method), MESSAGE)


def test_odd_spellings_of_bare_keys() -> None:
    """Compressed points, PKCS#1, trailing bytes and other curves are not read by Go's clients, so not by us."""
    curve, method = MADE["P-256"]
    point = curve.private.public_key()
    assert isinstance(point, ec.EllipticCurvePublicKey)
    compressed = point.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    spki = bytes.fromhex("3039301306072a8648ce3d020106082a8648ce3d030107032200") + compressed
    serialization.load_der_public_key(spki)
    for wrong in (
        spki,
        curve.public + b"\0",
        point.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint),
        b"",
    ):
        assert not keys.verifies(PublicKey("ecdsa", wrong), signed(curve, method), MESSAGE)
    pkcs1 = RSA.private.public_key().public_bytes(Encoding.DER, PublicFormat.PKCS1)
    assert not keys.verifies(PublicKey("rsa", pkcs1), signed(RSA, "rsapss"), MESSAGE)
    other = ec.generate_private_key(ec.SECP256K1())
    der = other.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    key = Key("ecdsa", der, other)
    assert not keys.verifies(public(key), signed(key, "ecdsa"), MESSAGE)


def test_first_certificate_verifies() -> None:
    """Of a bundle the first certificate's key verifies, whatever text stands around the blocks."""
    authority = certificate_authority()
    key = root_key("x", issuer=authority, chain=(authority.certificate,))
    spelled = b"some text\n" + key.public.replace(b"\n", b"\r\n") + b"more text"
    assert keys.verifies(PublicKey("ecdsa-x509", spelled), signed(key, "ecdsa"), MESSAGE)
    other = root_key("x", bundle=authority.pem + key.public)
    assert not keys.verifies(public(other), signed(key, "ecdsa"), MESSAGE)


def test_long_keys() -> None:
    """A certificate among much text verifies as well, though it is too long to be remembered; endless text does not."""
    key = root_key("x")
    for size, expected in ((10_000, True), (70_000, False)):
        long = PublicKey(key.keytype, b"." * size + b"\n" + key.public)
        assert keys.verifies(long, signed(key, "ecdsa"), MESSAGE) is expected


@pytest.mark.parametrize("name", MADE)
def test_key_id(name: str) -> None:
    """The ID is the one that the tests' own implementation computes."""
    key, _ = MADE[name]
    assert keys.key_id(public(key)) == key.id


@given(st.text(max_size=20), st.binary(max_size=80))
def test_key_id_of_anything(keytype: str, value: bytes) -> None:
    """Keys of unknown types, with whatever bytes, have an ID too, and never verify anything."""
    key = PublicKey(keytype, value)
    assert keys.key_id(key) == key_id(key_object(keytype, value))
    assert not any(keys.verifies(key, Signature("", method, bytes(64)), MESSAGE) for method in METHODS)


def test_known_key_id() -> None:
    """A key that the Go client made has the ID that it gave it."""
    value = base64.b64decode(
        "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEYmEOF6yTK664MLoz/s9ZpmwF"
        "nDq2JlvBRsFnrA7eRsvVZwibbEvZx3HcnADtm/rJfUS+5w+b4jaEp3cRUjyNPQ=="
    )
    expected = "92fbebe5e7a7c38a38ff2afcd459e66266fe1eb51654fdece035a93bf73a8c88"
    assert keys.key_id(PublicKey("ecdsa", value)) == expected


def test_material() -> None:
    """Material is one and the same for a bare key, its certificates and its PEM form, and differs between keys."""
    curve = root_key("x")
    again = root_key("y", curve.private)
    bare = curve.private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert curve.public != again.public
    assert {keys.material(k) for k in (public(curve), public(again), PublicKey("ecdsa", bare))} == {bare}
    forms = (public(RSA), public(pem_rsa_key()), public(root_key("x", RSA.private)))
    assert {keys.material(form) for form in forms} == {RSA.public}
    assert keys.material(public(ecdsa_key())) != bare


def test_material_of_useless_keys() -> None:
    """A key that never verifies anything is told apart by its bytes."""
    assert keys.material(PublicKey("unknown", b"abc")) == b"abc"
    assert keys.material(PublicKey("ecdsa", b"abc")) == b"abc"
    assert keys.material(PublicKey("ed25519", b"abc")) == b"abc"
    assert keys.material(PublicKey("rsa-x509", b"abc")) == b"abc"
    mixed = root_key("x", keytype="rsa-x509")
    assert keys.material(public(mixed)) == mixed.public


def test_certificates_with_foreign_keys() -> None:
    """A certificate over an Ed25519 key, or over a curve that Go does not know, verifies nothing."""
    edwards = root_key("x", ed25519_key().private)
    for keytype in ("ed25519-x509", "ecdsa-x509", "rsa-x509"):
        assert not keys.verifies(public(replace(edwards, keytype=keytype)), signed(edwards, "eddsa"), MESSAGE)
    curve = root_key("x", ec.generate_private_key(ec.SECP256K1()))
    assert isinstance(curve.certificate, x509.Certificate)
    assert not keys.verifies(public(curve), signed(curve, "ecdsa"), MESSAGE)
