"""What the signer does: create, describe, sign, retire. Policy first, then the token, then the registry."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, cast

from notary_common.wire import Algorithm, Key, OnlineRole, SignResponse

from . import encoding, policy
from .errors import BadRequest, KeyRefused, KeyUnknown, SignerError, TokenFault
from .ports import Dialect, KeyRecord, KeyRegistry, Token

MAX_DESCRIBED: Final = 64
"""Keys in one describe call: a role has one or two."""
USE_IS_NOTED_EVERY: Final = timedelta(minutes=1)
"""`last_used` may lag behind by this much while the version stays the same, which spares a durable write."""


@dataclass(frozen=True, slots=True)
class Signed:
    """A signature and what the audit record says of it."""

    response: SignResponse
    version: int
    payload_sha256: str


def _wire(record: KeyRecord) -> Key:
    return Key(
        key_id=record.key_id,
        algorithm=record.algorithm,
        public=record.public,
        gun=record.gun,
        role=record.role,
        state=record.state,
        highest_version=record.highest_version or 0,
    )


def _check_version(record: KeyRecord, version: int, dialect: Dialect) -> None:
    other = policy.dialect_problem(record.dialect, dialect)
    if other is not None:
        raise KeyRefused(other)
    problem = policy.version_problem(record.highest_version, version)
    if problem is not None:
        raise KeyRefused(problem)


class SignerService:
    """The use cases over a registry and a token."""

    def __init__(
        self,
        registry: KeyRegistry,
        token: Token,
        lifetimes: Mapping[OnlineRole, timedelta] = policy.MAX_LIFETIME,
    ) -> None:
        """`lifetimes`: how long what is signed may be valid, by role."""
        self._registry = registry
        self._token = token
        self._lifetimes = lifetimes

    async def create_key(self, gun: str, role: OnlineRole, algorithm: Algorithm) -> tuple[Key, bool]:
        """The unused key for that, or a new one; and whether it is new.

        Raises:
            BadRequest: no key can be made for such a GUN.
        """
        problem = policy.gun_problem(gun)
        if problem is not None:
            raise BadRequest(problem)
        record = await self._registry.unused(gun, role, algorithm)
        if record is not None:
            return _wire(record), False
        made = await self._token.generate(algorithm, f"{gun} {role}", await self._kek_in_use())
        # If this fails, nobody knows whether the row is there: so the key is kept, or a row could name
        # a resident key that is gone.
        record = await self._registry.add_unless_unused(made, gun, role)
        if record.key_id != made.key_id:
            await self._token.discard(made)
        return _wire(record), record.key_id == made.key_id

    async def _kek_in_use(self) -> str | None:
        """The KEK for new keys, None if the token has none: what wraps a key already, every signer's token holds."""
        labels = await self._token.keks()
        if len(labels) > 1:
            return await self._registry.newest_kek(labels)
        return labels[0] if labels else None

    async def key(self, key_id: str) -> Key:
        """One key, retired or not.

        Raises:
            KeyUnknown: the signer does not hold it.
        """
        return _wire(await self._record(key_id))

    async def describe(self, key_ids: list[str]) -> list[Key]:
        """Those of `key_ids` that are held and not retired.

        Raises:
            BadRequest: too many at once.
        """
        if len(key_ids) > MAX_DESCRIBED:
            raise BadRequest(f"at most {MAX_DESCRIBED} keys can be described at once")
        return [_wire(record) for record in await self._registry.describe(key_ids)]

    async def sign(self, key_id: str, gun: str, role: OnlineRole, payload: bytes) -> Signed:
        """A signature over `payload`, given out only when its version is on disk as the highest of the key.

        The token works while the registry notes the version. If only the note succeeds, no harm is done: the
        same version may be signed again.

        Raises:
            KeyUnknown: the signer does not hold the key.
            KeyRefused: it was made for something else, is retired, has signed a higher version, or the payload
                is not to be signed.
            TokenFault: the token signed wrongly or not at all.
        """
        record = await self._record(key_id)
        now = datetime.now(UTC)
        problem = (
            policy.key_problem(record.gun, record.role, gun, role)
            or (f"the key is {record.state}" if record.deleted_at is not None else None)
            or policy.payload_problem(role, payload, now, self._lifetimes)
        )
        if problem is not None:
            raise KeyRefused(problem)
        version, dialect = policy.payload_version(payload), policy.payload_dialect(payload)
        _check_version(record, version, dialect)
        signing = self._token.sign(key_id, record.algorithm, record.private, payload)
        # Both are waited for, so that nothing goes on behind the back of an answer.
        outcomes = await asyncio.gather(
            signing, self._note(record, version, dialect, now), return_exceptions=True
        )
        for outcome in reversed(outcomes):
            if isinstance(outcome, BaseException):
                raise outcome
        signature = cast(bytes, outcomes[0])
        if not encoding.verifies(record.algorithm, record.public, signature, payload):
            raise TokenFault("the token made a signature that does not verify")
        response = SignResponse(key_id, encoding.METHODS[record.algorithm], signature)
        return Signed(response, version, hashlib.sha256(payload).hexdigest())

    async def _note(self, record: KeyRecord, version: int, dialect: Dialect, now: datetime) -> None:
        """Return when the version is on disk.

        Raises:
            KeyRefused: another signer was faster with a higher one, or the key was retired meanwhile.
        """
        recently = record.last_used is not None and now - record.last_used < USE_IS_NOTED_EVERY
        if recently and record.highest_version == version:
            return
        outcome = await self._registry.note_version(record.key_id, version, dialect)
        if outcome == "gone":
            raise KeyRefused("the key is retired")
        if outcome == "rollback":
            _check_version(await self._record(record.key_id), version, dialect)
            raise KeyRefused("the key is retired")  # between the two looks

    async def retire(self, key_id: str, gun: str) -> Key:
        """Retire a key of `gun` for good; it stays in the registry and the token, and signs no more.

        Raises:
            KeyUnknown: the signer does not hold it.
            KeyRefused: it belongs to another GUN.
        """
        record = await self._record(key_id)
        if record.gun != gun:
            raise KeyRefused("the key was made for another repository")
        await self._registry.retire(key_id)
        return _wire(await self._record(key_id))

    async def health(self) -> dict[str, str]:
        """What is wrong with each part that does not work; empty when the signer is ready to sign."""
        problems: dict[str, str] = {}
        for name, part in (("registry", self._registry), ("token", self._token)):
            try:
                await part.ping()
            except SignerError as error:
                problems[name] = error.message
        return problems

    async def _record(self, key_id: str) -> KeyRecord:
        record = await self._registry.get(key_id)
        if record is None:
            raise KeyUnknown("this signer holds no such key")
        return record
