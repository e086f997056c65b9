"""The public keys whose tokens are believed, and the names that tokens call them by."""

from __future__ import annotations

import hashlib
import json
import math
from base64 import b32encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, cast

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc import jwk
from joserfc.jwk import ECKey, OKPKey, RSAKey

MIN_RSA_BITS: Final = 2048
"""Shorter ones can be factored by those who care (NIST SP 800-131A)."""
MAX_RSA_BITS: Final = 8192
"""Longer ones only take time."""
MAX_KEYS: Final = 100
"""Keys of one source; token services have two or three."""

_BEGIN: Final = b"-----BEGIN CERTIFICATE-----"
_CURVES: Final = ("secp256r1", "secp384r1", "secp521r1")
_PRIVATE: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_KINDS: Final = ("RSA", "EC", "OKP")
_PUBLIC: Final = ("kty", "crv", "x", "y", "n", "e")

JoseKey = RSAKey | ECKey | OKPKey


class KeysError(Exception):
    """A bundle or key set cannot be used; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class VerifyingKey:
    """A public key.

    Attributes:
        spki: its DER SubjectPublicKeyInfo, by which keys are the same or not.
        fingerprint: its name in libtrust's style, as Docker's token services use it.
        thumbprint: its name by RFC 7638.
        algorithm: the only algorithm it may be used with; None: every one that fits.
        until: seconds since 1970, after which nobody vouches for it any more.
    """

    jose: JoseKey
    spki: bytes
    fingerprint: str
    thumbprint: str
    algorithm: str | None = None
    until: float = math.inf


@dataclass(frozen=True, slots=True)
class KeyRing:
    """What one issuer's tokens are verified with.

    Attributes:
        certificates: those that vouch for the certificates in a token, by their DER.
        named: every key by each of its names.
    """

    certificates: Mapping[bytes, x509.Certificate] = field(default_factory=dict)
    named: Mapping[str, VerifyingKey] = field(default_factory=dict)

    @property
    def keys(self) -> dict[bytes, VerifyingKey]:
        """All keys by their SubjectPublicKeyInfo."""
        return {key.spki: key for key in self.named.values()}


def merged(rings: Iterable[KeyRing]) -> KeyRing:
    """One ring of several; where two call different keys by one name, the first counts."""
    certificates: dict[bytes, x509.Certificate] = {}
    named: dict[str, VerifyingKey] = {}
    for ring in rings:
        certificates = {**ring.certificates, **certificates}
        named = {**ring.named, **named}
    return KeyRing(certificates, named)


def read_bundle(pem: bytes) -> KeyRing:
    """The keys of a PEM file of certificates, and the certificates themselves.

    Raises:
        KeysError: it holds no certificate, or one that cannot be used.
    """
    try:
        certificates = x509.load_pem_x509_certificates(pem)
    except ValueError:
        raise KeysError("holds no PEM certificate, or a broken one") from None
    if pem.count(_BEGIN) > len(certificates):
        # The parser passes over what has no end: a file that is being written, or was cut off.
        raise KeysError("holds a PEM certificate without its end")
    named: dict[str, VerifyingKey] = {}
    found: dict[bytes, x509.Certificate] = {}
    for certificate in certificates:
        key = certified_key(certificate)
        found[certificate.public_bytes(Encoding.DER)] = certificate
        named |= {key.fingerprint: key, key.thumbprint: key}
    return KeyRing(found, named)


def bundle_alerts(ring: KeyRing, now: float) -> list[str]:
    """Certificates of a bundle that have ended: their keys still verify by `kid`, but they vouch for nothing."""
    moment = datetime.fromtimestamp(now, UTC)
    return [
        f"the certificate {one.subject.rfc4514_string()} ended on {one.not_valid_after_utc:%Y-%m-%d}; renew it"
        for one in ring.certificates.values()
        if moment > one.not_valid_after_utc
    ]


def read_jwks(data: bytes) -> KeyRing:
    """The usable keys of a JSON Web Key Set (RFC 7517, 5); those for other purposes are passed over.

    Raises:
        KeysError: it is none, holds a private key, gives one name to two keys, or has no usable key.
    """
    try:
        document = json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        raise KeysError("is not JSON") from None
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise KeysError('is no key set; it has the form {"keys": [...]}')
    if len(entries) > MAX_KEYS:
        raise KeysError(f"holds {len(entries)} keys, more than {MAX_KEYS}")
    named: dict[str, VerifyingKey] = {}
    passed_over: list[str] = []
    for entry in entries:
        key = _usable(entry, passed_over)
        if key is None:
            continue
        kid = entry.get("kid")
        names = {key.fingerprint, key.thumbprint} | ({kid} if isinstance(kid, str) and kid else set())
        if any(name in named and named[name].spki != key.spki for name in names):
            raise KeysError("gives one kid to two keys")
        named |= dict.fromkeys(names, key)
    if not named:
        reason = f" ({'; '.join(sorted(set(passed_over)))})" if passed_over else ""
        raise KeysError(f"holds no public key for signatures{reason}")
    return KeyRing({}, named)


def certified_key(certificate: x509.Certificate) -> VerifyingKey:
    """The key of a certificate.

    Raises:
        KeysError: it cannot be used.
    """
    try:
        key = certificate.public_key()
    except Exception:  # noqa: BLE001 - a kind of key that the library does not know, or a broken one
        raise KeysError("holds a certificate with a key of an unknown kind") from None
    return _verifying(key)


def jwk_key(members: Mapping[str, Any]) -> VerifyingKey:
    """The public key that a JSON Web Key describes.

    Raises:
        KeysError: it cannot be used.
    """
    if members.get("kty") not in _KINDS:
        raise KeysError("holds a key of an unknown kind")
    modulus = members.get("n")
    if isinstance(modulus, str) and len(modulus) * 6 < MIN_RSA_BITS:
        # The library would warn of it on standard error, and take it.
        raise KeysError(f"holds an RSA key of fewer than {MIN_RSA_BITS} bits")
    try:
        native = jwk.import_key({name: members[name] for name in _PUBLIC if name in members}).public_key
    except Exception:  # noqa: BLE001 - whatever the library finds wrong with what anybody may have written
        raise KeysError("holds a key that cannot be read") from None
    algorithm = members.get("alg")
    return _verifying(cast("PublicKeyTypes", native), algorithm if isinstance(algorithm, str) else None)


def fingerprint(spki: bytes) -> str:
    """libtrust's name of a key: base32 of the first 30 bytes of its SHA-256, in groups of four."""
    text = b32encode(hashlib.sha256(spki).digest()[:30]).decode()
    return ":".join(text[start : start + 4] for start in range(0, len(text), 4))


def _usable(entry: object, passed_over: list[str]) -> VerifyingKey | None:
    if not isinstance(entry, dict):
        raise KeysError("holds a key that is no JSON object")
    if entry.get("kty") == "oct":
        # Whoever verifies with a shared secret can also sign with it.
        passed_over.append("symmetric keys are never used")
        return None
    if not _PRIVATE.isdisjoint(entry):
        raise KeysError("holds a private key; make a new one, and publish public keys only")
    if entry.get("use", "sig") != "sig" or "verify" not in entry.get("key_ops", ["verify"]):
        passed_over.append("keys for encryption are not used")
        return None
    try:
        return jwk_key(entry)
    except KeysError as error:
        # RFC 7517, 5: keys that are not understood are ignored.
        passed_over.append(str(error))
        return None


def _verifying(key: PublicKeyTypes, algorithm: str | None = None) -> VerifyingKey:
    kind: type[RSAKey] | type[ECKey] | type[OKPKey]
    if isinstance(key, rsa.RSAPublicKey):
        if not MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS:
            raise KeysError(
                f"holds an RSA key of {key.key_size} bits; they have {MIN_RSA_BITS} to {MAX_RSA_BITS}"
            )
        kind = RSAKey
    elif isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _CURVES:
        kind = ECKey
    elif isinstance(key, ed25519.Ed25519PublicKey):
        kind = OKPKey
    else:
        raise KeysError("holds a key of a kind that signs no tokens; use RSA, P-256, P-384, P-521 or Ed25519")
    spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    jose = kind.import_key(key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return VerifyingKey(jose, spki, fingerprint(spki), jose.thumbprint(), algorithm)
