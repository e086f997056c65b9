"""PURE: what the owner of a repository is told to run."""

from __future__ import annotations

import shlex

from notary_server.tuf.names import RoleName


def rotation(gun: str, role: RoleName) -> str:
    """The command that gives an online role a key of the new signer; names are quoted, for they are other people's."""
    return f"notary key rotate {shlex.quote(gun)} {role} -r"
