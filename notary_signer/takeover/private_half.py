"""PURE: private keys as Notary's signer spells them inside its JWE, and whether they are what their row says.

| algorithm | plaintext                                           | public column             |
|-----------|-----------------------------------------------------|---------------------------|
| ecdsa     | ECPrivateKey, DER (RFC 5915)                        | SubjectPublicKeyInfo, DER |
| rsa       | RSAPrivateKey, DER (RFC 8017, A.1.2)                | SubjectPublicKeyInfo, DER |
| ed25519   | the 32 public bytes, the seed, the public again     | the 32 bytes              |
"""

from __future__ import annotations

import hmac
from typing import Final

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

PrivateHalf = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey

MIN_RSA_BITS: Final = 2048
"""Notary's clients accept no shorter keys."""
_ED25519_BYTES: Final = 96


class UnfitKey(ValueError):
    """The key is not what its row says, or of a kind that cannot be used; the text says which, never the key."""


def read_private_half(algorithm: str, plaintext: bytes) -> PrivateHalf:
    """The private key in `plaintext`.

    Raises:
        UnfitKey: it is not a key of `algorithm` that Notary's clients accept.
    """
    match algorithm:
        case "ed25519":
            return _read_ed25519(plaintext)
        case "ecdsa" | "rsa":
            return _read_der(algorithm, plaintext)
        case _:
            raise UnfitKey(f"keys of the kind {algorithm!r} are not used for snapshots and timestamps")


def check_private_half(private: PrivateHalf, algorithm: Algorithm, public: bytes, key_id: str) -> None:
    """Return if `private` belongs to the public key and the key ID of its row.

    Raises:
        UnfitKey: it does not.
    """
    if not hmac.compare_digest(public_half(private), public):
        raise UnfitKey("the private key does not belong to the public key beside it")
    if encoding.key_id(algorithm, public) != key_id:
        raise UnfitKey("the key ID is not that of the public key beside it")


def public_half(private: PrivateHalf) -> bytes:
    """The public key as Notary carries it (`notary_common.wire.Key.public`)."""
    if isinstance(private, ed25519.Ed25519PrivateKey):
        return private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def write_private_half(private: PrivateHalf) -> bytes:
    """The plaintext that Notary's signer reads `private` from."""
    if isinstance(private, ed25519.Ed25519PrivateKey):
        public = public_half(private)
        return public + private.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption()) + public
    return private.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())


def pkcs8(private: PrivateHalf) -> bytes:
    """The key as PKCS#8 PrivateKeyInfo, DER: what a token unwraps."""
    return private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def read_pkcs8(algorithm: Algorithm, data: bytes) -> PrivateHalf:
    """The private key in a PKCS#8 PrivateKeyInfo (DER).

    Raises:
        UnfitKey: it is not a key of `algorithm` that Notary's clients accept.
    """
    if algorithm != "ed25519":
        return _read_der(algorithm, data)
    try:
        private = load_der_private_key(data, password=None)
    except Exception:  # noqa: BLE001 - as in `_read_der`
        raise UnfitKey("what the token gave is no ed25519 key") from None
    if not isinstance(private, ed25519.Ed25519PrivateKey):
        raise UnfitKey("what the token gave is no ed25519 key")
    return private


def _read_ed25519(plaintext: bytes) -> ed25519.Ed25519PrivateKey:
    if len(plaintext) != _ED25519_BYTES:
        raise UnfitKey("an ed25519 key is not 96 bytes long")
    public, seed, again = plaintext[:32], plaintext[32:64], plaintext[64:]
    private = ed25519.Ed25519PrivateKey.from_private_bytes(seed)
    if not public_half(private) == public == again:
        raise UnfitKey("the halves of an ed25519 key do not belong together")
    return private


def _read_der(algorithm: str, plaintext: bytes) -> ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey:
    try:
        private = load_der_private_key(plaintext, password=None)
    except Exception:  # noqa: BLE001 - whatever a parser finds wrong; its words could repeat key material
        raise UnfitKey(f"what was decrypted is no {algorithm} key") from None
    if algorithm == "ecdsa" and isinstance(private, ec.EllipticCurvePrivateKey):
        if not isinstance(private.curve, ec.SECP256R1):
            raise UnfitKey("the curve of an ecdsa key is not P-256")
        return private
    if algorithm == "rsa" and isinstance(private, rsa.RSAPrivateKey):
        if private.key_size < MIN_RSA_BITS:
            raise UnfitKey(f"an rsa key has fewer than {MIN_RSA_BITS} bits")
        return private
    raise UnfitKey(f"what was decrypted is no {algorithm} key")
