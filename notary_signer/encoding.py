"""PURE: PKCS#11 public keys <-> Notary's public keys and key IDs, and the check of one signature."""

from __future__ import annotations

import base64
import hashlib
from functools import lru_cache
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from notary_common.wire import Algorithm

METHODS: Final[dict[Algorithm, str]] = {"ecdsa": "ecdsa", "rsa": "rsapss", "ed25519": "eddsa"}
"""The `method` of a signature in metadata, by key type (docs/reference/protocol.md, 6)."""

P256_COORDINATE_BYTES: Final = 32
ED25519_PUBLIC_BYTES: Final = 32
PSS_SALT_BYTES: Final = 32
"""The salt length that Notary's verifier insists on."""

_DER_OCTET_STRING: Final = 0x04
_REMEMBERED_KEYS: Final = 512
"""Loaded public keys that are remembered, a few kilobytes each: repositories in use sign again and again."""


def key_id(algorithm: Algorithm, public: bytes) -> str:
    """Lower-case hex SHA-256 of the key's canonical form, `"private":null` included.

    Neither member can hold a character that canonical JSON escapes, so the form is written out here.
    """
    encoded = base64.b64encode(public).decode("ascii")
    canonical = f'{{"keytype":"{algorithm}","keyval":{{"private":null,"public":"{encoded}"}}}}'
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()


def _point(ec_point: bytes, length: int) -> bytes:
    """The bare point of a CKA_EC_POINT: PKCS#11 wraps it in a DER OCTET STRING, some tokens do not.

    Raises:
        ValueError: it has neither form.
    """
    if len(ec_point) == length:
        return ec_point
    if len(ec_point) == length + 2 and ec_point[0] == _DER_OCTET_STRING and ec_point[1] == length:
        return ec_point[2:]
    raise ValueError("the token's public point has an unexpected length")


def ecdsa_public(ec_point: bytes) -> bytes:
    """DER SubjectPublicKeyInfo of a P-256 key from its CKA_EC_POINT.

    Raises:
        ValueError: it is no uncompressed point of the curve.
    """
    point = _point(ec_point, 2 * P256_COORDINATE_BYTES + 1)
    key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def ed25519_public(ec_point: bytes) -> bytes:
    """The 32 raw bytes of an Ed25519 key from its CKA_EC_POINT.

    Raises:
        ValueError: it has another length.
    """
    return _point(ec_point, ED25519_PUBLIC_BYTES)


def rsa_public(modulus: bytes, exponent: bytes) -> bytes:
    """DER SubjectPublicKeyInfo of an RSA key from its big-endian numbers.

    Raises:
        ValueError: the numbers make no RSA key.
    """
    numbers = rsa.RSAPublicNumbers(int.from_bytes(exponent, "big"), int.from_bytes(modulus, "big"))
    return numbers.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def verifies(algorithm: Algorithm, public: bytes, signature: bytes, message: bytes) -> bool:
    """Whether `signature`, encoded as in metadata, is valid; a malformed one is simply not."""
    try:
        if algorithm == "ed25519":
            ed25519.Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
            return True
        key = _load(public)
        if algorithm == "ecdsa" and isinstance(key, ec.EllipticCurvePublicKey):
            if len(signature) != 2 * P256_COORDINATE_BYTES:
                return False
            r, s = signature[:P256_COORDINATE_BYTES], signature[P256_COORDINATE_BYTES:]
            dss = encode_dss_signature(int.from_bytes(r, "big"), int.from_bytes(s, "big"))
            key.verify(dss, message, ec.ECDSA(hashes.SHA256()))
            return True
        if algorithm == "rsa" and isinstance(key, rsa.RSAPublicKey):
            pss = padding.PSS(padding.MGF1(hashes.SHA256()), PSS_SALT_BYTES)
            key.verify(signature, message, pss, hashes.SHA256())
            return True
    except (InvalidSignature, ValueError):
        return False
    return False


_load: Final = lru_cache(maxsize=_REMEMBERED_KEYS)(load_der_public_key)
