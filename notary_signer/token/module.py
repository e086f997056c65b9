"""Find the PKCS#11 module: as configured, or SoftHSM where distributions put it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from .problems import TokenProblem

USUAL_PATHS: Final = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib64/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
)


def find_module(configured: Path | None) -> Path:
    """The module's shared library.

    Raises:
        TokenProblem: the configured file is missing, or none is configured and SoftHSM is not installed.
    """
    if configured is not None:
        if not configured.is_file():
            raise TokenProblem(f"pkcs11.module: there is no file {configured}")
        return configured
    for path in map(Path, USUAL_PATHS):
        if path.is_file():
            return path
    raise TokenProblem(
        "no PKCS#11 module found: install SoftHSM (Debian, Ubuntu: apt-get install softhsm2) or set pkcs11.module"
    )
