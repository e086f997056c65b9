"""Who signed a token: the key that its header names, and whether the signature is that key's (PROTOCOL.md, 16)."""

from __future__ import annotations

from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import verification
from joserfc.errors import JoseError
from joserfc.jws import JWSRegistry

from .algorithms import ALGORITHMS
from .compact import Parts
from .keys import KeyRing, KeysError, VerifyingKey, certified_key, jwk_key
from .refusal import Reason, Refusal, shown

MAX_CHAIN: Final = 8
"""Certificates in a header: each costs a verification."""

_MODELS: Final = {name: JWSRegistry.algorithms[name] for name in ALGORITHMS}
_ANY: Final = verification.ExtensionPolicy.permit_all()


def algorithm_refusal(header: Mapping[str, Any], allowed: frozenset[str]) -> Refusal | None:
    """Why the header's algorithm is not taken; None if it is."""
    algorithm = header.get("alg")
    if "crit" in header:
        return Refusal(
            Reason.MALFORMED, "the header asks for extensions (crit), of which this server has none"
        )
    if isinstance(algorithm, str) and algorithm in allowed and algorithm in _MODELS:
        return None
    facts = {"algorithm_seen": shown(algorithm), "algorithms_wanted": ", ".join(sorted(allowed))}
    text = f'the algorithm "{facts["algorithm_seen"]}" is not among {facts["algorithms_wanted"]} (auth.options.algorithms)'
    return Refusal(Reason.ALGORITHM, text, facts)


def choose_key(header: Mapping[str, Any], ring: KeyRing, now: float) -> VerifyingKey | Refusal:
    """The key that must have signed, by the first of `x5c`, `jwk` and `kid` that the header has."""
    if header.get("x5c"):
        return _chained(header["x5c"], ring, now)
    if header.get("jwk"):
        return _described(header["jwk"], ring, now)
    kid = header.get("kid")
    if kid is None or kid == "":
        return Refusal(Reason.NO_KEY, "the header names no key: it has none of x5c, jwk and kid")
    key = ring.named.get(kid) if isinstance(kid, str) else None
    return _unknown(kid) if key is None else key


def signature_refusal(parts: Parts, key: VerifyingKey) -> Refusal | None:
    """Why the signature is not this key's; None if it is. The algorithm is an allowed one."""
    name = str(parts.header["alg"])
    model, facts = _MODELS[name], {"algorithm_seen": name, "key": key.fingerprint}
    try:
        model.check_key(key.jose)
    except JoseError:
        return Refusal(Reason.KEY_MISMATCH, f"the key is of a kind that {name} is not for", facts)
    if key.algorithm is not None and key.algorithm != name:
        text = f"the key is for {shown(key.algorithm)} only, the token is signed with {name}"
        return Refusal(Reason.KEY_MISMATCH, text, facts)
    try:
        verified = model.verify(parts.signed, parts.signature, key.jose)
    except (JoseError, ValueError):
        verified = False
    return None if verified else Refusal(Reason.SIGNATURE, "the signature is not that of the key", facts)


def _unknown(name: object) -> Refusal:
    seen = shown(name)
    text = f"the key \"{seen}\" is not one of this issuer's; compare the token service's key with what auth.options names"
    return Refusal(Reason.UNKNOWN_KEY, text, {"key_seen": seen})


def _described(members: object, ring: KeyRing, now: float) -> VerifyingKey | Refusal:
    """The key of a header's `jwk`: one of the ring's, or one whose certificates chain to it."""
    if not isinstance(members, dict):
        return Refusal(Reason.MALFORMED, "the header's jwk is no JSON object")
    try:
        key = jwk_key(members)
    except KeysError:
        return Refusal(Reason.MALFORMED, "the header's jwk is no usable public key")
    kid = members.get("kid")
    if kid is not None and kid not in (key.fingerprint, key.thumbprint):
        known = ring.named.get(kid) if isinstance(kid, str) else None
        if known is None or known.spki != key.spki:
            return Refusal(Reason.KEY_MISMATCH, "the kid of the header's jwk is not that key's name")
    if members.get("x5c"):
        leaf = _chained(members["x5c"], ring, now)
        if isinstance(leaf, VerifyingKey) and leaf.spki != key.spki:
            return Refusal(Reason.CHAIN, "the certificate of the header's jwk is not that key's")
        return leaf
    return ring.keys.get(key.spki) or _unknown(key.fingerprint)


def _chained(entries: object, ring: KeyRing, now: float) -> VerifyingKey | Refusal:
    """The key of the first certificate, if it chains to one of the ring's."""
    if not isinstance(entries, list) or len(entries) > MAX_CHAIN:
        return Refusal(Reason.MALFORMED, f"the header's x5c is no list of at most {MAX_CHAIN} certificates")
    try:
        chain = [x509.load_der_x509_certificate(b64decode(entry, validate=True)) for entry in entries]
        leaf, key = chain[0], certified_key(chain[0])
    except (KeysError, Base64Error, TypeError, ValueError):
        return Refusal(Reason.MALFORMED, "the header's x5c holds something else than usable certificates")
    vouching = _vouching(leaf, chain[1:], ring, now)
    if not isinstance(vouching, str):
        return replace(key, until=min(one.not_valid_after_utc.timestamp() for one in vouching))
    facts = {"certificate": shown(leaf.subject.rfc4514_string()), "key": key.fingerprint}
    return Refusal(Reason.CHAIN, f"the token's certificate {facts['certificate']} {vouching}", facts)


def _vouching(
    leaf: x509.Certificate, others: list[x509.Certificate], ring: KeyRing, now: float
) -> list[x509.Certificate] | str:
    """The certificates from the leaf to one of the ring's, all of which have to be valid, or what is wrong."""
    moment = datetime.fromtimestamp(now, UTC)
    if not leaf.not_valid_before_utc <= moment <= leaf.not_valid_after_utc:
        return (
            f"is valid from {leaf.not_valid_before_utc:%Y-%m-%d} to {leaf.not_valid_after_utc:%Y-%m-%d} only"
        )
    if leaf.public_bytes(Encoding.DER) in ring.certificates:
        return [leaf]
    unchained = "does not chain to a certificate of auth.options.rootcertbundle"
    if not ring.certificates:
        return unchained
    verifier = (
        verification.PolicyBuilder()
        .store(verification.Store(list(ring.certificates.values())))
        .time(moment.replace(tzinfo=None))
        .extension_policies(ca_policy=_AUTHORITY, ee_policy=_ANY)
        .build_client_verifier()
    )
    try:
        return verifier.verify(leaf, others).chain
    except (verification.VerificationError, ValueError):
        return unchained


def _is_authority(
    _policy: verification.Policy, _certificate: x509.Certificate, constraints: x509.BasicConstraints | None
) -> None:
    if constraints is None or not constraints.ca:
        raise ValueError("not an authority")


_AUTHORITY: Final = _ANY.require_present(
    x509.BasicConstraints, verification.Criticality.AGNOSTIC, _is_authority
)
"""Who vouches for others must be meant to. Key usages do not matter: token services never set them with care."""
