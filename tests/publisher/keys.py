"""Keys of every Notary type: their key objects, key IDs and signatures (docs/reference/protocol.md, 5 and 6)."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from .canonical import canonical

KeyObject = dict[str, Any]
PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey

CURVES: dict[str, ec.EllipticCurve] = {
    "P-224": ec.SECP224R1(),
    "P-256": ec.SECP256R1(),
    "P-384": ec.SECP384R1(),
    "P-521": ec.SECP521R1(),
}


def key_object(keytype: str, public: bytes) -> KeyObject:
    """The JSON form of a public key, `private` spelled as null."""
    return {"keytype": keytype, "keyval": {"private": None, "public": base64.b64encode(public).decode()}}


def key_id(key: KeyObject) -> str:
    """Lower-case hex SHA-256 over the canonical key object with `private` null, whatever `key` says there."""
    bare = {"keytype": key["keytype"], "keyval": {"private": None, "public": key["keyval"]["public"]}}
    return hashlib.sha256(canonical(bare)).hexdigest()


def raw_ecdsa(key: ec.EllipticCurvePrivateKey, message: bytes) -> bytes:
    """r and s, each padded to the curve's size, over SHA-256 of `message`."""
    r, s = decode_dss_signature(key.sign(message, ec.ECDSA(hashes.SHA256())))
    size = (key.curve.key_size + 7) // 8
    return r.to_bytes(size, "big") + s.to_bytes(size, "big")


def public_der(private: PrivateKey) -> bytes:
    """DER SubjectPublicKeyInfo of the public half."""
    return private.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


@dataclass(frozen=True)
class Key:
    """A private key and how its public half is filed: `keytype` and the bytes of `public`."""

    keytype: str
    public: bytes
    private: PrivateKey

    @property
    def object(self) -> KeyObject:
        """The key object of the public half."""
        return key_object(self.keytype, self.public)

    @property
    def id(self) -> str:
        """The computed key ID."""
        return key_id(self.object)

    @property
    def method(self) -> str:
        """The method that the original client signs with."""
        if isinstance(self.private, ec.EllipticCurvePrivateKey):
            return "ecdsa"
        return "eddsa" if isinstance(self.private, ed25519.Ed25519PrivateKey) else "rsapss"

    def raw_signature(self, message: bytes, method: str | None = None) -> bytes:
        """The signature bytes over `message` by `method` (the key's own if None)."""
        if isinstance(self.private, ec.EllipticCurvePrivateKey):
            return raw_ecdsa(self.private, message)
        if isinstance(self.private, ed25519.Ed25519PrivateKey):
            return self.private.sign(message)
        if (method or "").lower() == "rsapkcs1v15":
            return self.private.sign(message, padding.PKCS1v15(), hashes.SHA256())
        pss = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=32)
        return self.private.sign(message, pss, hashes.SHA256())

    def signature(self, message: bytes, method: str | None = None) -> dict[str, str]:
        """One entry of `signatures`."""
        sig = base64.b64encode(self.raw_signature(message, method)).decode()
        return {"keyid": self.id, "method": method or self.method, "sig": sig}


def ecdsa_key(curve: str = "P-256") -> Key:
    """A new ECDSA key on one of `CURVES`."""
    private = ec.generate_private_key(CURVES[curve])
    return Key("ecdsa", public_der(private), private)


def ed25519_key() -> Key:
    """A new Ed25519 key; `public` is its 32 raw bytes."""
    private = ed25519.Ed25519PrivateKey.generate()
    return Key("ed25519", private.public_key().public_bytes_raw(), private)


@lru_cache(maxsize=64)
def rsa_private(bits: int, number: int) -> rsa.RSAPrivateKey:
    """An RSA key, made once per process and number: they are slow to make."""
    return rsa.generate_private_key(65537, bits)


def rsa_key(bits: int = 2048, number: int = 0) -> Key:
    """The RSA key of that size and number."""
    private = rsa_private(bits, number)
    return Key("rsa", public_der(private), private)


def pem_rsa_key(number: int = 0) -> Key:
    """An RSA key filed as PEM text, as PyCrypto-made keys were; sign with method `pycrypto-pkcs#1 pss`."""
    private = rsa_private(2048, number)
    pem = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return Key("rsa", pem, private)
