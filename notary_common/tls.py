"""TLS contexts for listening and connecting: TLS 1.2 and 1.3, forward secrecy, loaded whole or not at all.

Nothing here falls back: a file that can't be used raises an error that names it, and the caller stops.
"""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

_TLS12_SUITES = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""For TLS 1.2, ephemeral keys and authenticated encryption only (RFC 9325, 4.2); TLS 1.3 has no others."""


class TlsError(Exception):
    """A certificate, key or CA file cannot be used.

    Attributes:
        file: which one.
    """

    def __init__(self, file: Path, reason: str) -> None:
        super().__init__(f"{file}: {reason}")
        self.file = file


def server_context(cert_file: Path, key_file: Path, client_ca_file: Path | None = None) -> ssl.SSLContext:
    """A context to listen with.

    Args:
        cert_file: PEM, the server's certificate first, then its chain.
        key_file: PEM, the private key of that certificate, not encrypted.
        client_ca_file: PEM; if given, every client MUST show a certificate signed by one of these.

    Raises:
        TlsError: a file cannot be read, parsed or used, or key and certificate are not a pair.
    """
    context = _bounded(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    # All suites are good ones: let clients choose the one that their processor is fastest with.
    context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    # Clients open a connection for each request: one ticket is all they ever use of two.
    context.num_tickets = 1
    _load_pair(context, cert_file, key_file)
    if client_ca_file is not None:
        _load_authorities(context, client_ca_file)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(ca_file: Path | None, cert_file: Path | None, key_file: Path | None) -> ssl.SSLContext:
    """A context to connect with; the other side's certificate and name are always verified.

    Args:
        ca_file: PEM, whom to believe; None: those the system believes.
        cert_file, key_file: the certificate to show and its key, both or neither.

    Raises:
        TlsError: as for `server_context`.
        ValueError: only one of certificate and key is given.
    """
    context = _bounded(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    if ca_file is not None:
        _load_authorities(context, ca_file)
    else:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    if cert_file is not None and key_file is not None:
        _load_pair(context, cert_file, key_file)
    elif (cert_file is None) != (key_file is None):
        raise ValueError("a certificate and its key are given together")
    return context


def pair_problem(cert_file: Path, key_file: Path) -> TlsError | None:
    """What keeps a certificate and its key from being used, for looking at all files before stopping."""
    try:
        _load_pair(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), cert_file, key_file)
    except TlsError as error:
        return error
    return None


def authority_problem(ca_file: Path) -> TlsError | None:
    """What keeps a file of CA certificates from being used, likewise."""
    try:
        _load_authorities(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ca_file)
    except TlsError as error:
        return error
    return None


def date_problem(path: Path, *, authorities: bool = False) -> str | None:
    """Why today's date makes the other side refuse what is in `path`, or None.

    Args:
        path: PEM; in a chain the first certificate counts.
        authorities: any certificate that is good today will do.

    Raises:
        TlsError: the file cannot be read or parsed.
    """
    now = datetime.now(UTC)
    found = [_out_of_date(certificate, now) for certificate in _certificates(path)]
    if not authorities:
        found = found[:1]
    return None if None in found else f"{path}: {found[0]}"


def _out_of_date(certificate: x509.Certificate, now: datetime) -> str | None:
    if now > certificate.not_valid_after_utc:
        return f"the certificate expired on {certificate.not_valid_after_utc:%Y-%m-%d}; renew it"
    if now < certificate.not_valid_before_utc:
        return (
            f"the certificate is not valid before {certificate.not_valid_before_utc:%Y-%m-%dT%H:%M:%SZ}; "
            "check the clock"
        )
    return None


def _bounded(context: ssl.SSLContext) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_TLS12_SUITES)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    return context


def _load_pair(context: ssl.SSLContext, cert_file: Path, key_file: Path) -> None:
    leaf = _certificates(cert_file)[0]
    pem = _contents(key_file)
    try:
        key = load_pem_private_key(pem, password=None)
    except TypeError:
        raise TlsError(
            key_file, "the private key is encrypted; store it unencrypted, readable by this user only"
        ) from None
    except Exception:  # noqa: BLE001 - whatever a parser finds wrong; its words could repeat key material
        raise TlsError(key_file, "is not a PEM private key") from None
    try:
        same = _spki(key.public_key()) == _spki(leaf.public_key())
    except Exception:  # noqa: BLE001 - an unknown kind of public key
        raise TlsError(cert_file, "the certificate's public key is of a kind that cannot be used") from None
    if not same:
        raise TlsError(key_file, f"is not the key of the certificate in {cert_file}")
    try:
        # A callback, so that nothing ever asks for a pass phrase at a terminal.
        context.load_cert_chain(cert_file, key_file, password=lambda: "")
    except (ssl.SSLError, OSError, ValueError) as error:
        raise TlsError(cert_file, f"cannot be used ({_reason(error)})") from None


def _load_authorities(context: ssl.SSLContext, ca_file: Path) -> None:
    _certificates(ca_file)
    # As in Go, whatever the file holds is believed, an intermediate CA or a single certificate too.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        context.load_verify_locations(cafile=ca_file)
    except (ssl.SSLError, OSError) as error:
        raise TlsError(ca_file, f"cannot be used ({_reason(error)})") from None


def _certificates(path: Path) -> list[x509.Certificate]:
    data = _contents(path)
    try:
        return x509.load_pem_x509_certificates(data)
    except ValueError:
        raise TlsError(path, "holds no PEM certificate, or a broken one") from None


def _contents(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise TlsError(path, f"cannot be read ({error.strerror})") from None


def _spki(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _reason(error: Exception) -> str:
    return getattr(error, "reason", None) or getattr(error, "strerror", None) or type(error).__name__
