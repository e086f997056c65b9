"""Keys of every type: key IDs, and the verification of one signature (docs/reference/protocol.md, 5 and 6)."""

from __future__ import annotations

import base64
import hashlib
from functools import lru_cache
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from . import canonical, pem, spki
from .model import PublicKey, Signature
from .names import KeyId

MIN_RSA_BITS: Final = 2048
_MIN_RSA_SIGNATURE: Final = 256
"""Bytes."""
_PYCRYPTO: Final = "pycrypto-pkcs#1 pss"
_REMEMBERED_KEYS: Final = 512
"""Loaded keys that are remembered: the same few verify file after file."""
_REMEMBERED_SIZE: Final = 8192
"""Bytes of a key that is worth remembering; uploads may hold keys of any size."""


def key_id(key: PublicKey) -> KeyId:
    """Lower-case hex SHA-256 of the key's canonical form, `"private":null` included."""
    public = base64.b64encode(key.public).decode()
    value = {"keytype": key.keytype, "keyval": {"private": None, "public": public}}
    return KeyId(hashlib.sha256(canonical.encode_plain(value)).hexdigest())


def material(key: PublicKey) -> bytes:
    """What tells two keys apart however they are wrapped: the DER of the bare public key.

    For a key that never verifies anything, the public bytes themselves.
    """
    loaded = _load(key) or _load_pem(key)
    return key.public if loaded is None else spki.dump(loaded)


def verifies(key: PublicKey, signature: Signature, message: bytes) -> bool:
    """Whether one signature is valid; an unknown method, a wrong type or length is simply not."""
    method = signature.method.lower()
    try:
        match method, _load_pem(key) if method == _PYCRYPTO else _load(key):
            case "ecdsa", ec.EllipticCurvePublicKey() as curve_key:
                return _verify_ecdsa(curve_key, signature.sig, message)
            case (("rsapss" | "pycrypto-pkcs#1 pss"), rsa.RSAPublicKey() as rsa_key):
                pss = padding.PSS(padding.MGF1(hashes.SHA256()), salt_length=hashes.SHA256.digest_size)
                return _verify_rsa(rsa_key, signature.sig, message, pss)
            case "rsapkcs1v15", rsa.RSAPublicKey() as rsa_key:
                return _verify_rsa(rsa_key, signature.sig, message, padding.PKCS1v15())
            case "eddsa", ed25519.Ed25519PublicKey() as edwards_key:
                edwards_key.verify(signature.sig, message)
                return True
            case _:
                return False
    except InvalidSignature:
        return False


def _verify_ecdsa(key: ec.EllipticCurvePublicKey, sig: bytes, message: bytes) -> bool:
    size = (key.curve.key_size + 7) // 8
    if len(sig) != 2 * size:
        return False
    der = encode_dss_signature(int.from_bytes(sig[:size], "big"), int.from_bytes(sig[size:], "big"))
    key.verify(der, message, ec.ECDSA(hashes.SHA256()))
    return True


def _verify_rsa(
    key: rsa.RSAPublicKey, sig: bytes, message: bytes, scheme: padding.PSS | padding.PKCS1v15
) -> bool:
    if key.key_size < MIN_RSA_BITS or len(sig) < _MIN_RSA_SIGNATURE:
        return False
    key.verify(sig, message, scheme, hashes.SHA256())
    return True


def _load(key: PublicKey) -> spki.BareKey | None:
    """The key inside, if it is of the kind that its type says."""
    is_small = len(key.keytype) + len(key.public) <= _REMEMBERED_SIZE
    return _load_remembered(key) if is_small else _load_anew(key)


def _load_anew(key: PublicKey) -> spki.BareKey | None:
    loaded: spki.BareKey | None
    match key.keytype:
        case "ecdsa" | "rsa":
            loaded = spki.load(key.public)
        case "ecdsa-x509" | "rsa-x509":
            loaded = pem.first_certificate_key(key.public)
        case "ed25519":
            return _load_ed25519(key.public)
        case _:
            return None
    wanted = ec.EllipticCurvePublicKey if key.keytype.startswith("ecdsa") else rsa.RSAPublicKey
    return loaded if isinstance(loaded, wanted) else None


_load_remembered: Final = lru_cache(maxsize=_REMEMBERED_KEYS)(_load_anew)


def _load_pem(key: PublicKey) -> spki.BareKey | None:
    """The key inside an `rsa` key whose public bytes are PEM text, as PyCrypto clients filed it."""
    blocks = pem.blocks(key.public) if key.keytype == "rsa" else []
    loaded = spki.load(blocks[0].der) if blocks else None
    return loaded if isinstance(loaded, rsa.RSAPublicKey) else None


def _load_ed25519(raw: bytes) -> ed25519.Ed25519PublicKey | None:
    try:
        return ed25519.Ed25519PublicKey.from_public_bytes(raw)
    except ValueError:
        return None
