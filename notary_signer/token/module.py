"""The PKCS#11 module: found as configured, or SoftHSM where distributions put it; initialised, and given back."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from .problems import TokenProblem

if TYPE_CHECKING:
    from pkcs11._pkcs11 import lib as Library

    from .native import Native

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


class Module:
    """A module that is initialised. Only one thread of the process may use it."""

    def __init__(self, path: Path, arguments: str | None = None) -> None:
        """Load and initialise it.

        Args:
            path: the shared library.
            arguments: what C_Initialize hands to the module (`pkcs11.module_arguments`), None for nothing.

        Raises:
            TokenProblem: it cannot be loaded or initialised.
        """
        from pkcs11.exceptions import PKCS11Error  # noqa: PLC0415 - the configuration looks for modules without it

        from .native import Native  # noqa: PLC0415

        self.path = path
        self._arguments = arguments
        try:
            self.native: Native = Native(path)
            self.library: Library = self._load()
        except (PKCS11Error, OSError) as error:
            raise TokenProblem(
                f"the PKCS#11 module {path} cannot be initialised ({_words(error)}): check pkcs11.module and "
                "pkcs11.module_arguments; for SoftHSM, SOFTHSM2_CONF and that its token directory exists and is yours"
            ) from None

    def _load(self) -> Library:
        import pkcs11  # noqa: PLC0415
        from pkcs11 import _pkcs11  # noqa: PLC0415

        if self._arguments is None:
            return pkcs11.lib(str(self.path))
        arguments, native = self._arguments, self.native

        class WithArguments(_pkcs11.lib):
            """python-pkcs11 initialises a module in its constructor, with nothing to tell it."""

            def initialize(self) -> None:
                native.initialize(arguments)

        return WithArguments(str(self.path))

    def close(self) -> None:
        """Give everything back; what the module refuses to take is gone with C_Finalize anyway."""
        from pkcs11.exceptions import PKCS11Error  # noqa: PLC0415

        with suppress(PKCS11Error):
            if self._arguments is None:
                self.library.finalize()
            else:
                self.native.finalize()


def _words(error: Exception) -> str:
    """What can be said of an error without repeating what a module or the system wrote."""
    from .native import CallFailed  # noqa: PLC0415

    return str(error) if isinstance(error, CallFailed) else type(error).__name__
