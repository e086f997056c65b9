"""`ports.RemoteSigner` over the signer's HTTP API: mutual TLS, or a Unix socket on one host."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from typing import Final, cast

from notary_common import wire

from ..errors import KeyGone, SignerRefused, VersionPassed
from ..metrics import SignerMetrics
from ..tuf import keys
from ..tuf.model import HeldKey, PublicKey, Signature, SigningOrder
from ..tuf.names import Gun, KeyId, RoleName
from .failures import KeyNotHeldError, KeyRefusedError
from .known_keys import KnownKeys
from .signers import Signers
from .transport import Call, Endpoint

MAX_DESCRIBED: Final = 64
"""Keys in one describe call; the signer takes no more."""


class HttpSigner:
    """Implements `ports.RemoteSigner`. Nothing that the signer says about a key is believed without its ID.

    A key that the signer holds is asked for once: one that was retired since shows when it refuses to sign.
    """

    def __init__(self, endpoints: Sequence[Endpoint], timeout: float, metrics: SignerMetrics) -> None:
        """Nothing is opened yet.

        Args:
            endpoints: signers that share one registry; one at least.
            timeout: seconds for one call, whichever of them it takes.
        """
        self._signers = Signers(endpoints, timeout, metrics)
        self._known = KnownKeys()

    async def close(self) -> None:
        """Close all connections."""
        await self._signers.close()

    async def create_key(self, gun: Gun, role: RoleName, algorithm: str) -> HeldKey:
        """See `ports.RemoteSigner.create_key`."""
        # The signer checks both words; anything else is its refusal.
        body = wire.CreateKeyRequest(gun, cast(wire.OnlineRole, str(role)), cast(wire.Algorithm, algorithm))
        try:
            key = await self._signers.call(Call("create", "POST", "/v1/keys", body, wire.Key), gun)
        except (KeyNotHeldError, KeyRefusedError):
            raise SignerRefused("the signer refused to make a key") from None
        held = _held(key)
        if (held.gun, held.role, held.key.keytype) != (gun, role, algorithm):
            raise SignerRefused("the signer gave a key that was made for something else")
        self._known.remember(held)
        return held

    async def describe_keys(self, key_ids: Collection[KeyId]) -> dict[KeyId, HeldKey]:
        """See `ports.RemoteSigner.describe_keys`."""
        held = self._known.among(key_ids)
        wanted = [key for key in dict.fromkeys(key_ids) if key not in held]
        for begin in range(0, len(wanted), MAX_DESCRIBED):
            for described in await self._describe(wanted[begin : begin + MAX_DESCRIBED]):
                self._known.remember(described)
                held[described.key_id] = described
        return held

    async def _describe(self, key_ids: list[KeyId]) -> list[HeldKey]:
        body = wire.DescribeRequest([str(key) for key in key_ids])
        call = Call("describe", "POST", "/v1/keys/describe", body, wire.DescribeResponse)
        try:
            answer = await self._signers.call(call, key_ids[0])
        except (KeyNotHeldError, KeyRefusedError):
            raise SignerRefused("the signer refused to describe its keys") from None
        held = [_held(key) for key in answer.keys]
        if not {key.key_id for key in held} <= set(key_ids):
            raise SignerRefused("the signer described a key that nobody asked for")
        return held

    async def sign(self, order: SigningOrder) -> tuple[Signature, ...]:
        """See `ports.RemoteSigner.sign`. The signatures are verified where they are sealed."""
        try:
            return await self._sign_by_each(order)
        except SignerRefused:
            # The answer may be about what was remembered of the keys: if that is past, another plan is needed.
            self._known.forget(key.key_id for key in order.keys)
            held = await self.describe_keys([key.key_id for key in order.keys])
            if len(held) < len(order.keys):
                raise KeyGone("the signer no longer holds a key that it described") from None
            if any(key.highest_version > order.version for key in held.values()):
                raise VersionPassed("a key has signed a higher version meanwhile") from None
            raise

    async def _sign_by_each(self, order: SigningOrder) -> tuple[Signature, ...]:
        if len(order.keys) == 1:
            return (await self._sign_once(order, order.keys[0]),)
        calls = (self._sign_once(order, key) for key in order.keys)
        signatures = []
        for outcome in await asyncio.gather(*calls, return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome
            signatures.append(outcome)
        return tuple(signatures)

    async def _sign_once(self, order: SigningOrder, key: HeldKey) -> Signature:
        body = wire.SignRequest(order.gun, cast(wire.OnlineRole, str(order.role)), order.payload)
        call = Call("sign", "POST", f"/v1/keys/{key.key_id}/sign", body, wire.SignResponse)
        try:
            answer = await self._signers.call(call, order.gun)
        except KeyNotHeldError:
            raise SignerRefused("the signer no longer holds a key that it described") from None
        except KeyRefusedError as error:
            raise SignerRefused(str(error)) from None
        if answer.key_id != key.key_id:
            raise SignerRefused("the signer signed with another key than it was asked to")
        return Signature(keyid=answer.key_id, method=answer.method, sig=answer.signature)

    async def retire_key(self, gun: Gun, key_id: KeyId) -> bool:
        """See `ports.RemoteSigner.retire_key`."""
        call = Call("retire", "POST", f"/v1/keys/{key_id}/retire", wire.RetireRequest(gun), wire.Key)
        try:
            key = await self._signers.call(call, gun)
        except (KeyNotHeldError, KeyRefusedError):
            return False
        if key.key_id != key_id or key.state not in {"retired", "destroyed"}:
            raise SignerRefused("the signer did not retire the key that it was asked to")
        self._known.forget([key_id])
        return True

    async def ping(self) -> None:
        """See `ports.RemoteSigner.ping`."""
        await self._signers.ready()


def _held(key: wire.Key) -> HeldKey:
    public = PublicKey(keytype=key.algorithm, public=key.public)
    computed = keys.key_id(public)
    if computed != key.key_id:
        raise SignerRefused("the signer gave a key whose ID is not its own")
    return HeldKey(computed, public, Gun(key.gun), RoleName(key.role), key.highest_version)
