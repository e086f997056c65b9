"""Where `make run` keeps everything: one folder that is not part of the project's sources."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
DEFAULT_PORT = 4443


class LocalError(Exception):
    """Something the person at the keyboard has to know and can mend; the text says how."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The files of one local installation."""

    root: Path = PROJECT / ".run"

    @property
    def tls(self) -> Path:
        """The throw-away authority and the certificates."""
        return self.root / "tls"

    @property
    def server_config(self) -> Path:
        """The server's configuration."""
        return self.root / "server-config.json"

    @property
    def signer_config(self) -> Path:
        """The signer's configuration."""
        return self.root / "signer-config.json"

    @property
    def softhsm_conf(self) -> Path:
        """SoftHSM's configuration."""
        return self.root / "softhsm2.conf"

    @property
    def tokens(self) -> Path:
        """SoftHSM's own store."""
        return self.root / "tokens"

    @property
    def token_made(self) -> Path:
        """Exists once the token is initialised."""
        return self.root / "token-initialised"

    @property
    def pin_file(self) -> Path:
        """The token's PIN."""
        return self.root / "pin"

    @property
    def lock(self) -> Path:
        """Held while `make run` runs, so that it does not run twice over the same data."""
        return self.root / "lock"

    @property
    def demo(self) -> Path:
        """The demonstration's own trust data and keys, apart from the person's ~/.notary."""
        return self.root / "demo"

    def server_port(self) -> int:
        """The port in the server's configuration.

        Raises:
            LocalError: there is none yet.
        """
        try:
            address = json.loads(self.server_config.read_text())["server"]["http_addr"]
        except FileNotFoundError:
            raise LocalError(
                "Nothing was started here yet. Type `make run` in another terminal first."
            ) from None
        return int(str(address).rpartition(":")[2])

    def environ(self) -> dict[str, str]:
        """The environment of the daemons and their commands."""
        # NOTARY_SERVER_* and NOTARY_SIGNER_* stay: they override the files, as everywhere.
        return os.environ | {"SOFTHSM2_CONF": str(self.softhsm_conf)}


def console_script(name: str) -> str:
    """The project's own command `name`; Debian has others of that name."""
    return str(Path(sys.executable).parent / name)


def port_from_environment(variable: str, default: int) -> int:
    """The TCP port that `variable` gives.

    Raises:
        LocalError: it is no port number.
    """
    text = os.environ.get(variable, "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 65535):
        raise LocalError(f"{variable}={text} is no port: give a number from 1 to 65535.")
    return int(text)
