"""`python -m deploy.compose.init`: the certificates and the token's PIN, before anything else of docker-compose.yml starts.

Every service has a volume of its own for what it may see; only the authority's has the authority's key. What is there
and good stays as it is, so this runs at every `up`, and renews what ends within a week.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from deploy.local.files import write_pin
from deploy.local.pki import Authority, outlives

MADE: Final = Path("/made")
"""The volumes, one folder each."""
NOTARY: Final = 10001
"""The user of the images of this project."""
POSTGRES: Final = 999
"""The user in the image postgres."""
HAPROXY: Final = 99
"""The user in the image haproxy."""
_RENEW_AUTHORITY: Final = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Certificate:
    """What one service shows.

    Attributes:
        service: whose volume it is put into.
        name: of the files, there and at the authority's.
        owner: the user that may read the key.
        hosts: names and addresses that it answers to; none for a client.
        common_name: the subject; for PostgreSQL the user.
        joined: certificate and key in one file, as HAProxy has them.
    """

    service: str
    name: str
    owner: int
    hosts: tuple[str, ...] = ()
    common_name: str | None = None
    joined: bool = False


def certificates(public: Iterable[str]) -> list[Certificate]:
    """All certificates; `public`: under which names and addresses clients call the proxy."""
    return [
        Certificate("proxy", "proxy", HAPROXY, tuple(public), joined=True),
        Certificate("server", "server", NOTARY, ("server-1", "server-2")),
        Certificate("server", "signer-client", NOTARY, common_name="notary-server"),
        Certificate("server", "database-client", NOTARY, common_name="notary_server"),
        Certificate("signer", "signer", NOTARY, ("signer",)),
        Certificate("signer", "database-client", NOTARY, common_name="notary_signer"),
        Certificate("database", "database", POSTGRES, ("database",)),
    ]


def make(folder: Path, public: Iterable[str]) -> list[str]:
    """Make what is missing below `folder`; what was done, a sentence each."""
    done: list[str] = []
    authority = Authority(folder / "authority", "Authority of this compose project")
    if not outlives(authority.certificate, _RENEW_AUTHORITY):
        for file in authority.folder.glob("*.pem"):
            file.unlink()
        authority = Authority(folder / "authority", "Authority of this compose project")
        done.append("The authority was about to end and was made anew: give clients the new ca.pem.")
    for one in certificates(public):
        issued = f"{one.service}-{one.name}"
        if not authority.usable(issued, one.hosts):
            authority.issue(issued, one.hosts, common_name=one.common_name)
            done.append(f"Made the certificate {one.name} of {one.service}.")
        pair, there = authority.pair(issued), folder / one.service
        if one.joined:
            joined = pair.certificate.read_bytes() + pair.key.read_bytes()
            _give(there / f"{one.name}.pem", joined, one.owner, 0o400)
        else:
            _give(there / f"{one.name}.pem", pair.certificate.read_bytes(), one.owner, 0o444)
            _give(there / f"{one.name}-key.pem", pair.key.read_bytes(), one.owner, 0o400)
        _give(there / "ca.pem", authority.files.certificate.read_bytes(), one.owner, 0o444)
    pin = folder / "signer" / "pin"
    if not pin.exists():
        write_pin(pin)
        shutil.chown(pin, NOTARY, NOTARY)
        done.append("Made a PIN for the token.")
    # `token change-pin` puts another file in its place.
    shutil.chown(folder / "signer", NOTARY, NOTARY)
    return done


def _give(path: Path, data: bytes, owner: int, mode: int) -> None:
    """Put a file in place, whole, if it is not there as it should be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.read_bytes() == data:
        return
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
    shutil.chown(new, owner, owner)
    new.chmod(mode)
    new.replace(path)


def main() -> None:
    """Make everything for the names in NOTARY_HOSTNAMES, separated by blanks, besides this machine's own."""
    public = ["localhost", "127.0.0.1", "::1", "proxy", *os.environ.get("NOTARY_HOSTNAMES", "").split()]
    for line in make(MADE, public) or ["Certificates and PIN are there."]:
        sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    main()
