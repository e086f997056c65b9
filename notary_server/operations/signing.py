"""Have what is planned signed, and seal it. Nothing here is stored."""

from __future__ import annotations

from typing import Protocol

from notary_common import tracing
from notary_server.ports import RemoteSigner
from notary_server.tuf.generate import new_file, seal
from notary_server.tuf.model import NewFile, SigningOrder
from notary_server.tuf10 import generate as standard


class Plan(Protocol):
    """What a publish and a renewal have in common: perhaps a snapshot, and a timestamp over it."""

    @property
    def snapshot(self) -> SigningOrder | None:
        """The snapshot to be signed, None if there is one already."""

    def timestamp(self, snapshot: bytes) -> SigningOrder:
        """The timestamp over these very bytes."""


async def sign_plan(signer: RemoteSigner, plan: Plan, existing_snapshot: bytes) -> list[NewFile]:
    """The snapshot, if the plan has one, and the timestamp over it or over `existing_snapshot`.

    Raises:
        SignerUnavailable, SignerRefused: as the signer answers; SignerRefused also if a signature does not verify.
    """
    files = []
    vouched = existing_snapshot
    if plan.snapshot is not None:
        files.append(await _sign(signer, plan.snapshot))
        vouched = files[0].data
    files.append(await _sign(signer, plan.timestamp(vouched)))
    return files


async def _sign(signer: RemoteSigner, order: SigningOrder) -> NewFile:
    signatures = await signer.sign(order)
    # Sealing verifies what the signer gave.
    with tracing.span("seal", role=order.role):
        if isinstance(order, standard.StandardOrder):
            return new_file(order.role, order.version, standard.seal(order, signatures))
        return new_file(order.role, order.version, seal(order, signatures))
