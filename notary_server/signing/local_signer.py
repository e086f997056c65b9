"""A signer inside this process: Ed25519 keys in memory, lost when it ends. For trying things out."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from notary_server.errors import SignerRefused
from notary_server.tuf import keys
from notary_server.tuf.model import HeldKey, PublicKey, Signature, SigningOrder
from notary_server.tuf.names import Gun, KeyId, RoleName


@dataclass(slots=True)
class _Pair:
    held: HeldKey
    private: Ed25519PrivateKey = field(repr=False)


class LocalSigner:
    """Implements `ports.RemoteSigner`. Whatever algorithm is asked for, keys are Ed25519, as in Notary."""

    def __init__(self) -> None:
        self._pairs: dict[KeyId, _Pair] = {}
        self._unused: dict[tuple[Gun, RoleName], HeldKey] = {}

    async def create_key(self, gun: Gun, role: RoleName, algorithm: str) -> HeldKey:
        """The unused key of that GUN and role, else a new one."""
        unused = self._unused.get((gun, role))
        if unused is not None:
            return unused
        private = Ed25519PrivateKey.generate()
        public = PublicKey("ed25519", private.public_key().public_bytes_raw())
        held = HeldKey(keys.key_id(public), public, gun, role)
        self._pairs[held.key_id] = _Pair(held, private)
        self._unused[gun, role] = held
        return held

    async def describe_keys(self, key_ids: Collection[KeyId]) -> dict[KeyId, HeldKey]:
        """Those of `key_ids` that are held."""
        return {wanted: self._pairs[wanted].held for wanted in key_ids if wanted in self._pairs}

    async def sign(self, order: SigningOrder) -> tuple[Signature, ...]:
        """One signature by each key of the order.

        Raises:
            SignerRefused: a key is not held, or was made for another GUN or role.
        """
        return tuple(self._sign(order, held.key_id) for held in order.keys)

    async def retire_key(self, gun: Gun, key_id: KeyId) -> bool:
        """Forget a key; whether there was one for that GUN."""
        pair = self._pairs.get(key_id)
        if pair is None or pair.held.gun != gun:
            return False
        del self._pairs[key_id]
        if self._unused.get((gun, pair.held.role)) == pair.held:
            del self._unused[gun, pair.held.role]
        return True

    async def ping(self) -> None:
        """Always ready."""

    def _sign(self, order: SigningOrder, wanted: KeyId) -> Signature:
        pair = self._pairs.get(wanted)
        if pair is None or (pair.held.gun, pair.held.role) != (order.gun, order.role):
            raise SignerRefused(f"no key here may sign the {order.role} of this repository")
        if self._unused.get((order.gun, order.role)) == pair.held:
            del self._unused[order.gun, order.role]
        return Signature(wanted, "eddsa", pair.private.sign(order.payload))
