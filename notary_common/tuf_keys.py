"""PURE: the signer's keys and signatures in the form that TUF 1.0 and securesystemslib give them, and back.

The signer speaks Notary's dialect: a key is its DER (or 32 raw bytes), an ECDSA signature r and s of 32 bytes each, and
key IDs are hashes of another document. What ties the two worlds together is the public key itself.
"""

from __future__ import annotations

from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
    load_pem_public_key,
)
from securesystemslib.signer import Key, SSlibKey

from .wire import Algorithm

SCHEMES: Final[dict[Algorithm, str]] = {
    "ecdsa": "ecdsa-sha2-nistp256",
    "rsa": "rsassa-pss-sha256",
    "ed25519": "ed25519",
}
"""How a key of each type signs. An RSA signature has a salt of 32 bytes, which verifiers of this scheme take."""
_COORDINATE_BYTES: Final = 32


def standard_key(algorithm: Algorithm, public: bytes) -> SSlibKey:
    """The signer's public key with the key ID that securesystemslib computes.

    Raises:
        ValueError: the bytes are no key of that type.
    """
    loaded: object
    if algorithm == "ed25519":
        loaded = ed25519.Ed25519PublicKey.from_public_bytes(public)
    else:
        loaded = load_der_public_key(public)
    match algorithm, loaded:
        case ("ecdsa", ec.EllipticCurvePublicKey()) | ("rsa", rsa.RSAPublicKey()):
            return SSlibKey.from_crypto(loaded, scheme=SCHEMES[algorithm])
        case "ed25519", ed25519.Ed25519PublicKey():
            return SSlibKey.from_crypto(loaded)
        case _:
            raise ValueError(f"the bytes are no {algorithm} key")


def signer_key(key: Key) -> tuple[Algorithm, bytes] | None:
    """Type and public bytes as the signer gives them; None if it is of no kind that the signer makes."""
    algorithm = next((name for name, scheme in SCHEMES.items() if scheme == key.scheme), None)
    public = material(key)
    return None if algorithm is None or public is None else (algorithm, public)


def material(key: Key) -> bytes | None:
    """What tells two keys apart however they are spelled: DER, or 32 raw bytes of an Ed25519 key; None: it is no key."""
    text = key.keyval.get("public")
    if not isinstance(text, str):
        return None
    try:
        if key.keytype == "ed25519":
            raw = bytes.fromhex(text)
            return ed25519.Ed25519PublicKey.from_public_bytes(raw).public_bytes_raw()
        loaded = load_pem_public_key(text.encode())
    except (ValueError, UnsupportedAlgorithm):
        return None
    return loaded.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def standard_signature(algorithm: Algorithm, signature: bytes) -> bytes:
    """The signer's signature as TUF 1.0 files it, before it is spelled in hexadecimal: DER for ECDSA."""
    if algorithm != "ecdsa":
        return signature
    r, s = signature[:_COORDINATE_BYTES], signature[_COORDINATE_BYTES:]
    return encode_dss_signature(int.from_bytes(r, "big"), int.from_bytes(s, "big"))
