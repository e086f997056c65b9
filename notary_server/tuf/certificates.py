"""Root's certificates: which of its keys count, and whether a root may be trusted (docs/reference/protocol.md, 9).

A root's keys are X.509 certificates named after the repository. Nobody checks chains: a certificate counts
by its name, strength and dates, and the root that lists it must be signed with its key.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID, SignatureAlgorithmOID

from . import keys as key_types
from . import pem, verify
from .instant import SECOND
from .model import Parsed, PublicKey, Root, Trusted
from .names import ROOT, Gun

NOT_YET_VALID_GRACE: Final = 86_400 * SECOND
"""Nanoseconds by which a certificate may lie in the future: clocks of publishers run ahead."""

_SHA1: Final = frozenset(
    {
        SignatureAlgorithmOID.RSA_WITH_SHA1.dotted_string,
        SignatureAlgorithmOID.DSA_WITH_SHA1.dotted_string,
        SignatureAlgorithmOID.ECDSA_WITH_SHA1.dotted_string,
        "1.3.14.3.2.29",  # RSA with SHA-1 as the OIW names it
    }
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_REMEMBERED_BUNDLES: Final = 256
"""Parsed bundles that are remembered: every publish reads the root's again, more than once."""
_REMEMBERED_SIZE: Final = 16_384
"""Bytes of a bundle that is worth remembering; uploads may hold keys of any size."""


class BadRootError(Exception):
    """The root cannot be trusted; the text is for people."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """What matters of one certificate; times in nanoseconds since 1970-01-01T00:00:00Z, both ends included."""

    der: bytes
    common_name: str
    is_authority: bool
    keytype: str
    weakness: str | None
    not_before: int
    not_after: int

    def is_current(self, now_ns: int) -> bool:
        """Whether it is valid now, or will be within a day."""
        return self.not_before - NOT_YET_VALID_GRACE <= now_ns <= self.not_after

    def names(self, gun: Gun) -> bool:
        """Whether the subject's common name is the repository's, or a prefix of it followed by stars."""
        if self.common_name.endswith("*"):
            return gun.startswith(self.common_name.rstrip("*"))
        return self.common_name == gun


@dataclass(frozen=True, slots=True)
class Bundle:
    """A usable root key: one certificate that is no authority, first, and the authorities that came with it."""

    leaf: Certificate
    authorities: tuple[Certificate, ...]

    @property
    def certificates(self) -> tuple[Certificate, ...]:
        """All of them, in order."""
        return (self.leaf, *self.authorities)

    @property
    def key(self) -> PublicKey:
        """The key as clients rebuild it from the parsed certificates; signatures are filed under its ID."""
        return PublicKey(self.leaf.keytype, b"".join(pem.dump(each.der) for each in self.certificates))

    @property
    def is_strong(self) -> bool:
        """Whether none of its certificates is weak: clients leave weak authorities out, which gives another key."""
        return all(each.weakness is None for each in self.certificates)

    def is_current(self, now_ns: int) -> bool:
        """Whether all are valid: clients leave ended authorities out too."""
        return all(each.is_current(now_ns) for each in self.certificates)


def trust_root(gun: Gun, parsed: Parsed[Root], now_ns: int, current: Trusted[Root] | None) -> Trusted[Root]:
    """Verify an uploaded root: by the certificates of the current root, if any, and by its own.

    Checked are certificates, signatures and thresholds; not `version` nor `expires`, which are the planner's.
    The dates of the current root's certificates do not matter, those of the new root's do at `now_ns`
    (nanoseconds since 1970-01-01T00:00:00Z).

    Raises:
        BadRootError: too few valid certificates or signatures; the text says of which root.
    """
    own = [bundle for bundle in _bundles(gun, parsed.body) if bundle.is_current(now_ns)]
    if not own:
        raise BadRootError(f"none of its keys is a certificate for {gun} that is valid now")
    if current is not None:
        check_succession(gun, parsed, current)
    try:
        return _trust(parsed, own, parsed.body)
    except verify.BadSignaturesError as error:
        raise BadRootError(f"it is not signed with its own root keys: {error}") from None


def check_succession(gun: Gun, parsed: Parsed[Root], before: Trusted[Root]) -> None:
    """Clients that know the root `before` follow to this one: it is signed by the other's certificates, whatever
    their dates.

    Raises:
        BadRootError: it is not.
    """
    try:
        _trust(parsed, _bundles(gun, before.body), before.body)
    except verify.BadSignaturesError as error:
        raise BadRootError(
            f"it is not signed with the root keys that are published for this repository already: {error}"
        ) from None


def stored_root(gun: Gun, parsed: Parsed[Root]) -> Trusted[Root]:
    """Trust a root that was accepted before: verified by its own certificates, no date of any kind looked at.

    Raises:
        BadRootError: its own certificates do not verify it.
    """
    try:
        return _trust(parsed, _bundles(gun, parsed.body), parsed.body)
    except verify.BadSignaturesError as error:
        raise BadRootError(str(error)) from None


def certificate_end(gun: Gun, root: Trusted[Root]) -> int:
    """The last nanosecond since 1970-01-01T00:00:00Z at which enough of the root's signers have valid certificates.

    After it (`now_ns > certificate_end(...)`) clients refuse the root, though a successor may still be
    signed with its keys.
    """
    ends: dict[bytes, int] = {}
    for bundle in _bundles(gun, root.body):
        key = bundle.key
        keyid = key_types.key_id(key)
        if verify.examine(root.parsed, {keyid: key}, [keyid], 1):
            end = min(each.not_after for each in bundle.certificates)
            distinct = key_types.material(key)
            ends[distinct] = max(end, ends.get(distinct, end))
    return sorted(ends.values(), reverse=True)[root.body.roles[ROOT].threshold - 1]


def have_ended(gun: Gun, root: Trusted[Root], now_ns: int) -> bool:
    """Whether clients refuse the root because of the dates of its certificates: `certificate_end` has passed.

    Who signed is found out only if it matters, that is, if a certificate has ended at all.
    """
    ends = (each.not_after for bundle in _bundles(gun, root.body) for each in bundle.certificates)
    return any(end < now_ns for end in ends) and certificate_end(gun, root) < now_ns


def weakness(key: PublicKey) -> str | None:
    """Why a delegation's key may not be used, None if it may: it is a certificate with SHA-1 or a short RSA key.

    Name and dates of a delegation's certificate do not matter. Keys that are no certificates pass.
    """
    for block in pem.blocks(key.public):
        found = _certificate(block.der) if block.label == b"CERTIFICATE" else None
        if found is not None:
            return found.weakness
    return None


def _trust(parsed: Parsed[Root], bundles: list[Bundle], signer: Root) -> Trusted[Root]:
    keys: dict[str, PublicKey] = {key_types.key_id(bundle.key): bundle.key for bundle in bundles}
    return verify.trust(parsed, keys, keys.keys(), signer.roles[ROOT].threshold)


def _bundles(gun: Gun, root: Root) -> list[Bundle]:
    """The usable keys of the root role whose certificate is named after the repository and strong."""
    found = (_bundle(root.keys[keyid].public) for keyid in root.roles[ROOT].keyids)
    return [bundle for bundle in found if bundle is not None and bundle.leaf.names(gun) and bundle.is_strong]


def _bundle(text: bytes) -> Bundle | None:
    """The bundle, None if a block is no certificate, or if not exactly the first one is no authority."""
    return _bundle_remembered(text) if len(text) <= _REMEMBERED_SIZE else _bundle_anew(text)


def _bundle_anew(text: bytes) -> Bundle | None:
    blocks = pem.blocks(text)
    if any(block.label != b"CERTIFICATE" for block in blocks):
        return None
    certificates = [_certificate(block.der) for block in blocks]
    match certificates:
        case [Certificate(is_authority=False) as leaf, *rest]:
            authorities = tuple(each for each in rest if each is not None and each.is_authority)
            return Bundle(leaf, authorities) if len(authorities) == len(rest) else None
        case _:
            return None


_bundle_remembered: Final = lru_cache(maxsize=_REMEMBERED_BUNDLES)(_bundle_anew)


def _certificate(der: bytes) -> Certificate | None:
    parsed = pem.certificate(der)
    if parsed is None:
        return None
    key = pem.certificate_key(parsed)
    constraints = [e.value for e in parsed.extensions if isinstance(e.value, x509.BasicConstraints)]
    names = parsed.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return Certificate(
        der=der,
        common_name=str(names[-1].value) if names else "",
        is_authority=any(constraint.ca for constraint in constraints),
        keytype="rsa-x509" if isinstance(key, rsa.RSAPublicKey) else "ecdsa-x509",
        weakness=_weakness(parsed),
        not_before=_nanoseconds(parsed.not_valid_before_utc),
        not_after=_nanoseconds(parsed.not_valid_after_utc),
    )


def _weakness(parsed: x509.Certificate) -> str | None:
    key = pem.certificate_key(parsed)
    if parsed.not_valid_before_utc > parsed.not_valid_after_utc:
        return "its certificate ends before it begins"
    if parsed.signature_algorithm_oid.dotted_string in _SHA1:
        return "its certificate is signed with SHA-1"
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < key_types.MIN_RSA_BITS:
        return f"its certificate holds an RSA key of less than {key_types.MIN_RSA_BITS} bits"
    return None


def _nanoseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(seconds=1) * SECOND
