"""The keys that sign tokens: a file each in one folder, the newest whose time has come signs, all are published.

A key and its certificate stand in one file, so that neither is ever there without the other. The certificate's first
day is when the key begins to sign: whoever checks tokens learns of a key before the first token comes that needs it.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from joserfc.jwk import ECKey

from notary_server.auth.token.keys import fingerprint

from .files import FileProblem, read_text, write_whole

BUNDLE: Final = "certificates.pem"
"""The file beside the keys that the registry and the server get as their `rootcertbundle`."""
LIFETIME: Final = timedelta(days=3650)
"""Of a certificate. Keys are changed by making a new one; a date that nobody watches would lock everybody out."""
SKEW: Final = timedelta(minutes=5)
"""How far behind the clocks of others may be: so long a certificate is valid before its key signs."""
_SUFFIX: Final = ".key"


@dataclass(frozen=True, slots=True)
class TokenKey:
    """One signing key.

    Attributes:
        key_id: its fingerprint as libtrust makes it (docs/reference/protocol.md, 16): what the registry calls it.
        jose: the key for joserfc.
        header: what a token says about its key: the registry reads `x5c` first, others look for the ID.
    """

    private: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate
    key_id: str
    jose: ECKey
    header: dict[str, Any]

    @property
    def name(self) -> str:
        """How people and files call it: the beginning of its ID."""
        return self.key_id[:14].replace(":", "-")

    @property
    def starts(self) -> datetime:
        """From when on it signs, unless there is a newer one."""
        return self.certificate.not_valid_before_utc + SKEW

    @property
    def ends(self) -> datetime:
        """When the registry stops believing it."""
        return self.certificate.not_valid_after_utc

    @property
    def published(self) -> dict[str, Any]:
        """Its public half as a member of a JWK set (RFC 7517)."""
        return {**self.jose.as_dict(private=False), "kid": self.key_id, "use": "sig", "alg": "ES256"}


def _token_key(private: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> TokenKey:
    key_id = fingerprint(private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
    der = base64.b64encode(certificate.public_bytes(Encoding.DER)).decode()
    header = {"alg": "ES256", "typ": "JWT", "kid": key_id, "x5c": [der]}
    return TokenKey(private, certificate, key_id, ECKey.import_key(_pem(private)), header)


def _pem(private: ec.EllipticCurvePrivateKey) -> bytes:
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@dataclass(frozen=True, slots=True)
class TokenKeys:
    """All keys of one state of the folder, those that start last first."""

    keys: tuple[TokenKey, ...]

    def signing(self, now: datetime) -> TokenKey | None:
        """The key that signs now; None if the time of none has come, or all have ended."""
        return next((key for key in self.keys if key.starts <= now < key.ends), None)

    @property
    def document(self) -> dict[str, Any]:
        """All of them as a JWK set."""
        return {"keys": [key.published for key in self.keys]}


def present_keys(folder: Path) -> list[Path]:
    """The files of keys in a folder.

    Raises:
        FileProblem: it cannot be read.
    """
    try:
        return sorted(path for path in folder.iterdir() if path.suffix == _SUFFIX)
    except OSError as error:
        raise FileProblem(
            folder,
            [f"cannot be read ({error.strerror}); run: notary-server tokens key create --config FILE"],
        ) from None


def load_keys(folder: Path) -> TokenKeys:
    """All keys of a folder.

    Raises:
        FileProblem: one of them cannot be used, or there is none.
    """
    paths = present_keys(folder)
    if not paths:
        raise FileProblem(
            folder, ["holds no key; make one with: notary-server tokens key create --config FILE"]
        )
    keys = [_load(path) for path in paths]
    return TokenKeys(tuple(sorted(keys, key=lambda key: key.starts, reverse=True)))


def _load(path: Path) -> TokenKey:
    data = read_text(path).encode()
    try:
        private = load_pem_private_key(data, password=None)
        certificate = x509.load_pem_x509_certificate(data)
    except Exception:  # noqa: BLE001 - whatever a parser finds wrong; its words could repeat key material
        raise FileProblem(
            path, ["holds no private key with its certificate; restore it, or remove it"]
        ) from None
    if not isinstance(private, ec.EllipticCurvePrivateKey) or private.curve.name != "secp256r1":
        raise FileProblem(path, ["is no key on the curve P-256; remove it"])
    if private.public_key() != certificate.public_key():
        raise FileProblem(path, ["holds a certificate of another key; restore it, or remove it"])
    return _token_key(private, certificate)


def new_key(issuer: str, starts: datetime) -> TokenKey:
    """A new key that begins to sign at `starts`, with a certificate that it signed itself."""
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, issuer[:64])])
    usage = x509.KeyUsage(
        digital_signature=True, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=False, crl_sign=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(starts - SKEW)
        .not_valid_after(starts + LIFETIME)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .sign(private, hashes.SHA256())
    )
    return _token_key(private, certificate)


def store_key(folder: Path, key: TokenKey) -> Path:
    """Put a key into the folder; its file.

    Raises:
        FileProblem: it cannot be written.
    """
    path = _path(folder, key)
    write_whole(path, _pem(key.private) + key.certificate.public_bytes(Encoding.PEM))
    return path


def remove_key(folder: Path, key: TokenKey) -> None:
    """Take a key out of the folder, for good.

    Raises:
        FileProblem: it cannot be removed.
    """
    path = _path(folder, key)
    try:
        path.unlink()
    except OSError as error:
        raise FileProblem(path, [f"cannot be removed ({error.strerror})"]) from None


def write_bundle(folder: Path, keys: Iterable[TokenKey]) -> Path:
    """Write the certificates of these keys for those who check tokens; the file.

    Raises:
        FileProblem: it cannot be written.
    """
    path = folder / BUNDLE
    write_whole(path, b"".join(key.certificate.public_bytes(Encoding.PEM) for key in keys), 0o644)
    return path


def _path(folder: Path, key: TokenKey) -> Path:
    return folder / f"{key.name}{_SUFFIX}"
