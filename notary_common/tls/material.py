"""Certificates, keys and authorities as bytes that were read at one moment, and what they hold."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final, Protocol

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

_BEGIN: Final = b"-----BEGIN CERTIFICATE-----"


class TlsError(Exception):
    """A certificate, key or CA file cannot be used.

    Attributes:
        file: which one.
        reason: why, without naming it.
    """

    def __init__(self, file: Path, reason: str) -> None:
        super().__init__(f"{file}: {reason}")
        self.file = file
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Validity:
    """From when until when something counts, in seconds since 1970."""

    not_before: float
    not_after: float


@dataclass(frozen=True, slots=True)
class PemFiles:
    """Implements `Source`: which PEM files a context is made of; certificate and key come together.

    Attributes:
        certificate: the chain to show, the own certificate first.
        key: the private key of that, not encrypted.
        authorities: whom to believe.
    """

    certificate: Path | None = None
    key: Path | None = None
    authorities: Path | None = None

    @property
    def paths(self) -> Collection[Path]:
        """See `Source.paths`."""
        return [path for path in (self.certificate, self.key, self.authorities) if path is not None]

    def read(self) -> Material:
        """See `Source.read`."""
        return Material(self, _contents(self.certificate), _contents(self.key), _contents(self.authorities))


@dataclass(frozen=True, slots=True)
class Material:
    """What was read: PEM, or None where there is nothing.

    Attributes:
        names: what to call the parts in an error.
    """

    names: PemFiles
    certificate: bytes | None
    key: bytes | None = field(repr=False)
    authorities: bytes | None

    def chain(self) -> list[x509.Certificate]:
        """The certificates to show; none if there is nothing to show.

        Raises:
            TlsError: they cannot be parsed.
        """
        return _certificates(self.names.certificate, self.certificate)

    def believed(self) -> list[x509.Certificate]:
        """The certificates of the authorities; none if none are named.

        Raises:
            TlsError: they cannot be parsed.
        """
        return _certificates(self.names.authorities, self.authorities)

    def check_pair(self) -> None:
        """Raises: TlsError: the key cannot be parsed, or is not that of the certificate."""
        certificate, path = self.names.certificate, self.names.key
        if certificate is None or path is None or self.key is None:
            return
        leaf = self.chain()[0]
        key = _private_key(path, self.key)
        try:
            same = _spki(key.public_key()) == _spki(leaf.public_key())
        except Exception:  # noqa: BLE001 - an unknown kind of public key
            raise TlsError(
                certificate, "the certificate's public key is of a kind that cannot be used"
            ) from None
        if not same:
            raise TlsError(path, f"is not the key of the certificate in {certificate}")


class Source(Protocol):
    """Where material comes from."""

    @property
    def paths(self) -> Collection[Path]:
        """The files that it is in; none if it comes from elsewhere."""

    def read(self) -> Material:
        """The material as it is now.

        Raises:
            TlsError: it cannot be had.
        """


def validity(certificate: x509.Certificate) -> Validity:
    """From when until when it counts."""
    return Validity(certificate.not_valid_before_utc.timestamp(), certificate.not_valid_after_utc.timestamp())


def out_of_date(certificate: x509.Certificate, now: datetime) -> str | None:
    """Why it does not count now, or None."""
    if now > certificate.not_valid_after_utc:
        return f"the certificate expired on {certificate.not_valid_after_utc:%Y-%m-%d}; renew it"
    if now < certificate.not_valid_before_utc:
        return (
            f"the certificate is not valid before {certificate.not_valid_before_utc:%Y-%m-%dT%H:%M:%SZ}; "
            "check the clock"
        )
    return None


def _contents(path: Path | None) -> bytes | None:
    try:
        return None if path is None else path.read_bytes()
    except OSError as error:
        raise TlsError(path or Path(), f"cannot be read ({error.strerror})") from None


def _certificates(path: Path | None, data: bytes | None) -> list[x509.Certificate]:
    if path is None or data is None:
        return []
    try:
        certificates = x509.load_pem_x509_certificates(data)
    except ValueError:
        raise TlsError(path, "holds no PEM certificate, or a broken one") from None
    if data.count(_BEGIN) > len(certificates):
        # The parser passes over what has no end: a file that is being written, or was cut off.
        raise TlsError(path, "holds a PEM certificate without its end")
    return certificates


def _private_key(path: Path, pem: bytes) -> PrivateKeyTypes:
    try:
        return load_pem_private_key(pem, password=None)
    except TypeError:
        raise TlsError(
            path, "the private key is encrypted; store it unencrypted, readable by this user only"
        ) from None
    except Exception:  # noqa: BLE001 - whatever a parser finds wrong; its words could repeat key material
        raise TlsError(path, "is not a PEM private key") from None


def _spki(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
