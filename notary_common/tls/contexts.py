"""TLS contexts for listening and connecting: TLS 1.2 and 1.3, forward secrecy, loaded whole or not at all.

Nothing here falls back: material that can't be used raises an error that names its file, and the caller stops.
"""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from pathlib import Path

from .material import Material, PemFiles, TlsError, out_of_date
from .private_file import private_file

_TLS12_SUITES = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""For TLS 1.2, ephemeral keys and authenticated encryption only (RFC 9325, 4.2); TLS 1.3 has no others."""


def server_context(cert_file: Path, key_file: Path, client_ca_file: Path | None = None) -> ssl.SSLContext:
    """A context to listen with.

    Args:
        cert_file: PEM, the server's certificate first, then its chain.
        key_file: PEM, the private key of that certificate, not encrypted.
        client_ca_file: PEM; if given, every client MUST show a certificate signed by one of these.

    Raises:
        TlsError: a file cannot be read, parsed or used, or key and certificate are not a pair.
    """
    return make_server(PemFiles(cert_file, key_file, client_ca_file).read())


def make_server(material: Material, asked: ssl.VerifyMode = ssl.CERT_REQUIRED) -> ssl.SSLContext:
    """A context to listen with.

    Args:
        asked: whether clients must (`CERT_REQUIRED`) or may (`CERT_OPTIONAL`) show a certificate of the material's
            authorities. Without authorities none is asked for.

    Raises:
        TlsError: the material cannot be used.
    """
    context = _bounded(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    # All suites are good ones: let clients choose the one that their processor is fastest with.
    context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    # Clients open a connection for each request: one ticket is all they ever use of two.
    context.num_tickets = 1
    load_pair(context, material)
    if material.authorities is not None and asked != ssl.CERT_NONE:
        load_authorities(context, material)
        context.verify_mode = asked
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
    if (cert_file is None) != (key_file is None):
        raise ValueError("a certificate and its key are given together")
    return make_client(PemFiles(cert_file, key_file, ca_file).read())


def make_client(material: Material) -> ssl.SSLContext:
    """As `client_context`.

    Raises:
        TlsError: the material cannot be used.
    """
    context = _bounded(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    if material.authorities is not None:
        load_authorities(context, material)
    else:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    load_pair(context, material)
    return context


def load_pair(context: ssl.SSLContext, material: Material) -> None:
    """Show the certificate of the material, if it holds one, on connections that begin from now on.

    Raises:
        TlsError: it cannot be used; then nothing has changed, unless OpenSSL refuses what was well-formed.
    """
    material.check_pair()
    if material.certificate is None or material.key is None:
        return
    named = material.names.certificate or Path()
    try:
        with private_file(material.certificate) as chain, private_file(material.key) as key:
            # A callback, so that nothing ever asks for a pass phrase at a terminal.
            context.load_cert_chain(chain, key, password=lambda: "")
    except (ssl.SSLError, OSError, ValueError) as error:
        raise TlsError(named, f"cannot be used ({_reason(error)})") from None


def load_authorities(context: ssl.SSLContext, material: Material, *, partial_chain: bool = True) -> None:
    """Believe the authorities of the material, which holds some.

    Args:
        partial_chain: as in Go, whatever the file holds is believed, an intermediate CA or a single certificate too.

    Raises:
        TlsError: they cannot be used.
    """
    material.believed()
    if partial_chain:
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        context.load_verify_locations(cadata=(material.authorities or b"").decode("ascii", "replace"))
    except (ssl.SSLError, OSError, ValueError) as error:
        raise TlsError(material.names.authorities or Path(), f"cannot be used ({_reason(error)})") from None


def pair_problem(cert_file: Path, key_file: Path) -> TlsError | None:
    """What keeps a certificate and its key from being used, for looking at all files before stopping."""
    try:
        load_pair(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), PemFiles(cert_file, key_file).read())
    except TlsError as error:
        return error
    return None


def authority_problem(ca_file: Path) -> TlsError | None:
    """What keeps a file of CA certificates from being used, likewise."""
    try:
        load_authorities(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), PemFiles(authorities=ca_file).read())
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
    found = [out_of_date(certificate, now) for certificate in PemFiles(authorities=path).read().believed()]
    if not authorities:
        found = found[:1]
    return None if None in found else f"{path}: {found[0]}"


def _bounded(context: ssl.SSLContext) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_TLS12_SUITES)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    return context


def _reason(error: Exception) -> str:
    return getattr(error, "reason", None) or getattr(error, "strerror", None) or type(error).__name__
