"""Keys from files: a PEM bundle of certificates, a JSON Web Key Set. Read whole or not at all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from notary_common.tls import TlsError

from .token.keys import KeyRing, KeysError, merged, read_bundle, read_jwks

MAX_FILE_BYTES: Final = 1 << 20
"""A key set has a few kilobytes; anything longer is the wrong file."""


class KeyFileError(TlsError):
    """A bundle or key set cannot be used: for whoever starts or watches, one more file that cannot be."""


@dataclass(frozen=True, slots=True)
class KeyFiles:
    """Where an issuer's keys are, as far as they are in files; None where there is no such file."""

    bundle: Path | None = None
    jwks: Path | None = None

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files that there are, for whoever watches them."""
        return tuple(path for path in (self.bundle, self.jwks) if path is not None)

    def load(self) -> KeyRing:
        """The keys of all files.

        Raises:
            KeyFileError: a file cannot be used.
        """
        rings = []
        if self.bundle is not None:
            rings.append(_read(self.bundle, read_bundle))
        if self.jwks is not None:
            rings.append(_read(self.jwks, read_jwks))
        return merged(rings)


def _read(path: Path, parse: Callable[[bytes], KeyRing]) -> KeyRing:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise KeyFileError(path, f"cannot be read ({error.strerror})") from None
    if len(data) > MAX_FILE_BYTES:
        raise KeyFileError(path, f"is longer than {MAX_FILE_BYTES} bytes; is it the right file?")
    try:
        return parse(data)
    except KeysError as error:
        raise KeyFileError(path, str(error)) from None
