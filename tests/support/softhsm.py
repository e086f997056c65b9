"""A real SoftHSM token in a directory of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from notary_signer.token.module import find_module
from notary_signer.token.settings import TokenSettings

LABEL = "notary-test"
PIN = "8141-planted-pin"


@dataclass(frozen=True)
class SoftHsm:
    """Where the token lives and how to log in. `environ` is what a process needs to find it."""

    directory: Path
    conf: Path
    module: Path
    label: str
    pin_file: Path

    def settings(self, **changes: Any) -> TokenSettings:
        """How the signer would use it, with `changes`."""
        usual: dict[str, Any] = {"label": self.label, "pin_file": str(self.pin_file)}
        return TokenSettings(**{**usual, **changes})

    @property
    def tokens(self) -> Path:
        """SoftHSM's object store."""
        return self.directory / "tokens"

    @property
    def environ(self) -> dict[str, str]:
        """The environment with SOFTHSM2_CONF."""
        return {**os.environ, "SOFTHSM2_CONF": str(self.conf)}


def prepare(directory: Path, pin: str = PIN) -> SoftHsm:
    """A SoftHSM configuration with an empty store and a PIN file, no token yet."""
    tokens = directory / "tokens"
    tokens.mkdir(parents=True)
    conf = directory / "softhsm2.conf"
    conf.write_text(f"directories.tokendir = {tokens}\nobjectstore.backend = file\nlog.level = ERROR\n")
    pin_file = directory / "pin"
    pin_file.touch(0o600)
    pin_file.write_text(pin + "\n")
    return SoftHsm(directory, conf, find_module(None), LABEL, pin_file)


def make(directory: Path, pin: str = PIN) -> SoftHsm:
    """A token initialised by the signer's own function, in a process of its own."""
    hsm = prepare(directory, pin)
    run(
        hsm,
        "from notary_signer.token.initialise import initialise_token\n"
        "initialise_token(settings, bytearray(pin_file.read_bytes().strip()))",
    )
    return hsm


def run(hsm: SoftHsm, code: str) -> str:
    """Run Python in a process of its own, where `module`, `label`, `pin_file` and `settings` are the token's; its output."""
    names = (
        "import sys; from pathlib import Path; module, label, pin_file = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])\n"
        "from notary_signer.token.settings import TokenSettings\n"
        "settings = TokenSettings(module=str(module), label=label, pin_file=str(pin_file))"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"{names}\n{code}", str(hsm.module), hsm.label, str(hsm.pin_file)],
        env=hsm.environ, check=True, timeout=60, capture_output=True, text=True,
    )  # fmt: skip
    return done.stdout


def copy(original: SoftHsm, directory: Path) -> SoftHsm:
    """Another store with the same token: faster than making one."""
    copied = prepare(directory, original.pin_file.read_text().strip())
    shutil.copytree(original.tokens, copied.tokens, dirs_exist_ok=True)
    return copied
