"""PURE: which online keys of a repository a signer does not hold, and what its owner runs then."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from notary_server.inspection.advice import rotation
from notary_server.tuf import online
from notary_server.tuf.model import HeldKey
from notary_server.tuf.names import ROOT, SNAPSHOT, TIMESTAMP, Gun, KeyId, RoleName
from notary_server.tuf.parse import parse_root
from notary_server.tuf10 import online as standard_online
from notary_server.tuf10.file import StandardFile
from notary_server.tuf10.names import is_standard


@dataclass(frozen=True, slots=True)
class Lacking:
    """A role whose keys the signer lacks; `advice`: what its owner does, unless the keys are brought."""

    role: RoleName
    key_ids: tuple[KeyId, ...]
    advice: str


def lacking(gun: Gun, root: bytes, held: Mapping[KeyId, HeldKey]) -> list[Lacking]:
    """The online roles that cannot be signed with `held`, the signer's answer, as a verified `root` asks for."""
    if is_standard(root):
        return _lacking_standard(gun, root, held)
    body = parse_root(root).body
    found: list[Lacking] = []
    for role in (TIMESTAMP, SNAPSHOT):
        if not online.signers(gun, body, role, held):
            advice = rotation(gun, role)
            if role == SNAPSHOT:
                # Whose the snapshot key is cannot be seen from outside.
                advice += "   (unless the owner holds that key)"
            found.append(
                Lacking(role, tuple(computed for _, computed, _ in online.listed(body, role)), advice)
            )
    return found


def _lacking_standard(gun: Gun, root: bytes, held: Mapping[KeyId, HeldKey]) -> list[Lacking]:
    body = StandardFile(ROOT, root).root()
    return [
        Lacking(
            role,
            tuple(computed for _, computed in standard_online.listed(body, role)),
            f"publish a root of {gun} with the key of GET /v2/{gun}/_trust/tuf/{role}.key.json",
        )
        for role in (TIMESTAMP, SNAPSHOT)
        if not standard_online.signers(gun, body, role, held)
    ]
