"""Certificate files that a database's address names, loaded into a TLS context; what is wrong is told by the option's name."""

from __future__ import annotations

import ssl
from pathlib import Path

from .errors import DatabaseUrlError, reason


def load_authorities(context: ssl.SSLContext, option: str, path: Path | None) -> None:
    """Believe the authorities in the file that `option` names, or the system's without one.

    Raises:
        DatabaseUrlError: the file cannot be loaded.
    """
    if path is None:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
        return
    try:
        context.load_verify_locations(cafile=path)
    except (OSError, ssl.SSLError) as error:
        raise DatabaseUrlError(
            f"storage.db_url: {option} {str(path)!r} cannot be loaded: {reason(error)}"
        ) from None


def load_pair(
    context: ssl.SSLContext, options: tuple[str, str], certificate: Path | None, key: Path | None
) -> None:
    """Show the database the certificate and key that the two `options` name; nothing without a certificate.

    Raises:
        DatabaseUrlError: a file cannot be loaded, or the key is encrypted.
    """
    if certificate is None:
        return
    try:
        # A password, so that nothing ever asks for one at a terminal.
        context.load_cert_chain(certificate, key, password="")
    except (OSError, ssl.SSLError, ValueError) as error:
        raise DatabaseUrlError(
            f"storage.db_url: {options[0]} {str(certificate)!r} with {options[1]} {str(key)!r} "
            f"cannot be loaded: {reason(error)}"
        ) from None
