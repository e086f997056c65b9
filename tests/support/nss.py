"""A token of NSS's softokn (libnss3), a module that differs from SoftHSM in much, in a directory of its own.

It wants a string at C_Initialize, is initialised by itself with an empty security officer's PIN, wraps with PKCS#7
padding, misses mechanisms and attributes that SoftHSM has, and sets no flag when a PIN is wrong.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from notary_signer.token.settings import TokenSettings

LABEL = "NSS Certificate DB"
PIN = "8141-planted-pin"
USUAL_PATHS = (
    "/usr/lib/x86_64-linux-gnu/libsoftokn3.so",
    "/usr/lib/x86_64-linux-gnu/nss/libsoftokn3.so",
    "/usr/lib/aarch64-linux-gnu/libsoftokn3.so",
    "/usr/lib/aarch64-linux-gnu/nss/libsoftokn3.so",
    "/usr/lib64/libsoftokn3.so",
)
_SET_UP = """
import sys
from pathlib import Path
from notary_signer.token.choice import choose
from notary_signer.token.initialise import initialise_token
from notary_signer.token.module import Module
from notary_signer.token.settings import TokenSettings
settings = TokenSettings(module=sys.argv[1], arguments=sys.argv[2], label=sys.argv[3], pin_file=sys.argv[4])
module = Module(Path(sys.argv[1]), sys.argv[2])
session = choose(module, settings).open(rw=True)
module.native.login(session, bytearray(), officer=True)
module.native.init_pin(session, bytearray(Path(sys.argv[4]).read_bytes().strip()))
session.close()
module.close()
print(initialise_token(settings, None, existing=True))
"""


@dataclass(frozen=True)
class Nss:
    """Where the token lives."""

    directory: Path
    module: Path
    pin_file: Path

    @property
    def arguments(self) -> str:
        """What C_Initialize wants to hear."""
        return f"configdir='sql:{self.directory}' certPrefix='' keyPrefix='' secmod='' flags="

    def settings(self, **changes: Any) -> TokenSettings:
        """How the signer would use it, with `changes`."""
        usual: dict[str, Any] = {
            "module": str(self.module),
            "arguments": self.arguments,
            "label": LABEL,
            "pin_file": str(self.pin_file),
        }
        return TokenSettings(**{**usual, **changes})


def make(directory: Path) -> Nss:
    """A token with a PIN and a KEK, made in a process of its own."""
    directory.mkdir(parents=True)
    pin_file = directory / "pin"
    pin_file.touch(0o600)
    pin_file.write_text(PIN + "\n")
    found = [Path(path) for path in USUAL_PATHS if Path(path).is_file()]
    assert found, "NSS's softokn is missing: deploy/local/bootstrap test installs libnss3"
    nss = Nss(directory, found[0], pin_file)
    command = [sys.executable, "-c", _SET_UP, str(nss.module), nss.arguments, LABEL, str(pin_file)]
    subprocess.run(command, check=True, timeout=60, capture_output=True)
    return nss
