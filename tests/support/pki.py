"""Certificates for tests: the same throw-away authority that `make run` uses, and the names of this machine."""

from __future__ import annotations

from pathlib import Path

from deploy.local.pki import Authority, Pair

LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")
"""What every test server answers to."""

__all__ = ["LOCAL_NAMES", "Authority", "Pair", "local_pki"]


def local_pki(folder: Path) -> Authority:
    """An authority with pairs `server`, `signer` (both for this machine) and `server-client` in `folder`.

    `server-client` is what the server shows to the signer.
    """
    authority = Authority(folder, "Test CA")
    authority.issue("server", LOCAL_NAMES)
    authority.issue("signer", LOCAL_NAMES)
    authority.issue("server-client", common_name="notary-server")
    return authority
