"""Bare public keys as DER SubjectPublicKeyInfo (RFC 5280, 4.1), of the kinds that Notary verifies with."""

from __future__ import annotations

from typing import Final, TypeGuard

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

BareKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey

_CURVES: Final = (ec.SECP224R1, ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)


def dump(key: BareKey) -> bytes:
    """The DER form; there is exactly one for each key."""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def load(der: bytes) -> BareKey | None:
    """The elliptic curve (P-224 to P-521) or RSA key in exactly this form, else None.

    Other spellings that the library reads (PKCS#1, compressed points) are not read by Go's clients.
    """
    try:
        key = load_der_public_key(der)
    except (ValueError, UnsupportedAlgorithm):
        return None
    return key if is_usable(key) and dump(key) == der else None


def is_usable(key: object) -> TypeGuard[ec.EllipticCurvePublicKey | rsa.RSAPublicKey]:
    """Whether a key is of a kind that a certificate or a bare key may hold."""
    return isinstance(key, rsa.RSAPublicKey) or (
        isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, _CURVES)
    )
