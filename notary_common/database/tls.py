"""TLS of database connections, from the files that an address names; what is wrong is told by the option's name."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from pathlib import Path

from ..tls import Material, PemFiles, ReloadingContext, TlsError
from ..tls.contexts import load_authorities, load_pair
from .errors import DatabaseUrlError


def open_tls(
    files: PemFiles, options: Mapping[str, Path | None], make: Callable[[], ssl.SSLContext]
) -> ReloadingContext:
    """Contexts for connections, with the files as they are when each begins.

    Args:
        options: by the name of each option of the address, the file that it names.
        make: an empty context, which says what is verified.

    Raises:
        DatabaseUrlError: a file cannot be loaded.
    """

    def made(material: Material) -> ssl.SSLContext:
        context = make()
        if material.authorities is not None:
            load_authorities(context, material, partial_chain=False)
        elif context.verify_mode != ssl.CERT_NONE:
            context.load_default_certs(ssl.Purpose.SERVER_AUTH)
        load_pair(context, material)
        return context

    try:
        return ReloadingContext("database_client", "database_ca", files, made, "client")
    except TlsError as error:
        option = next((name for name, path in options.items() if path == error.file), "its files")
        raise DatabaseUrlError(
            f"storage.db_url: {option} {str(error.file)!r} cannot be loaded: {error.reason}"
        ) from None
