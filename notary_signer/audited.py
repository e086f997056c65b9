"""Between HTTP and the use cases: may this client do that, how often, and the record without which nothing is given out.

A signature leaves only after its record is durable. A key that is made or retired cannot be taken back, so a record
`begun` is durable before, and one that says how it ended before the answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

from notary_common.wire import Algorithm, Key, OnlineRole

from . import policy
from .clients import Clients, Identity, Operation
from .creations import CreationLimit
from .errors import AuditUnavailable, ClientRefused, KeyUnknown, SignerError
from .metrics import Metrics
from .operations import Signed, SignerService
from .ports import AuditEvent, AuditLog, KeyRegistry
from .refusals import Refusals

_UNEXPECTED: Final = "an unexpected error; the signer's log has the details"
PARTS: Final = ("registry", "token", "audit")
"""What a signature needs, by the names under which health tells of them."""
_FAILURES: Final = 500
"""HTTP statuses from here on are no refusals: something does not work."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, and the ID of the request."""

    identity: Identity
    request_id: str


@dataclass(slots=True)
class _Act:
    """What is being done, and what its record says of it so far."""

    event: AuditEvent

    def told(self, **facts: Any) -> None:
        """Know more of it."""
        self.event = replace(self.event, **facts)


class AuditedSigner:
    """The use cases of `SignerService` for clients that are known by name."""

    def __init__(
        self,
        service: SignerService,
        registry: KeyRegistry,
        audit: AuditLog,
        clients: Clients,
        creations: CreationLimit,
        metrics: Metrics,
    ) -> None:
        self._service = service
        self._registry = registry
        self._audit = audit
        self._clients = clients
        self._creations = creations
        self._metrics = metrics
        self._refusals = Refusals()

    async def permit(self, caller: Caller, operation: Operation, gun: str | None = None) -> None:
        """Return if the caller may do that.

        Raises:
            ClientRefused: it may not; there is a record of it, or of how many there were.
        """
        problem = self._clients.problem(caller.identity, operation, gun)
        if problem is None:
            return
        name = caller.identity.name
        for client, count in self._refusals.ended().items():
            reason = (
                f"{count} more requests of this client within a minute, which have no records of their own"
            )
            await self._audit.append(AuditEvent(client, "refusals", "refused", reason=reason))
        if self._refusals.takes(name):
            await self._audit.append(
                AuditEvent(name, operation, "refused", caller.request_id, problem, gun=gun or "")
            )
        raise ClientRefused(problem)

    async def create_key(
        self, caller: Caller, gun: str, role: OnlineRole, algorithm: Algorithm
    ) -> tuple[Key, bool]:
        """See `SignerService.create_key`.

        Raises:
            ClientRefused, TooManyKeys: the caller may not, or not now.
            AuditUnavailable: there would be no record of it.
        """
        await self.permit(caller, "create_key", gun)
        about = AuditEvent(caller.identity.name, "create_key", "done", caller.request_id, gun=gun, role=role)
        async with self._recorded(about) as act:
            fit = policy.gun_problem(gun) is None
            if fit and await self._registry.unused(gun, role, algorithm) is None:
                key, new = await self._make_key(about, gun, role, algorithm)
            else:
                key, new = await self._service.create_key(gun, role, algorithm)
            if new:
                self._creations.made(caller.identity.name)
                self._metrics.key_created()
            act.told(key_id=key.key_id, reason="" if new else "the unused key was given out again")
        return key, new

    async def _make_key(
        self, about: AuditEvent, gun: str, role: OnlineRole, algorithm: Algorithm
    ) -> tuple[Key, bool]:
        with self._creations.room(about.actor):
            await self._audit.append(replace(about, outcome="begun"))
            return await self._service.create_key(gun, role, algorithm)

    async def key(self, caller: Caller, key_id: str) -> Key:
        """See `SignerService.key`. A key of a repository that is not the caller's is unknown to it."""
        await self.permit(caller, "describe")
        key = await self._service.key(key_id)
        if self._clients.problem(caller.identity, "describe", key.gun) is not None:
            raise KeyUnknown("this signer holds no such key")
        return key

    async def describe(self, caller: Caller, key_ids: list[str]) -> list[Key]:
        """See `SignerService.describe`, likewise."""
        await self.permit(caller, "describe")
        keys = await self._service.describe(key_ids)
        return [key for key in keys if self._clients.problem(caller.identity, "describe", key.gun) is None]

    async def sign(self, caller: Caller, key_id: str, gun: str, role: OnlineRole, payload: bytes) -> Signed:
        """See `SignerService.sign`; also raises what `create_key` does, but `TooManyKeys`."""
        await self.permit(caller, "sign", gun)
        about = AuditEvent(
            caller.identity.name, "sign", "done", caller.request_id, gun=gun, role=role, key_id=key_id
        )
        async with self._recorded(about) as act:
            signed = await self._service.sign(key_id, gun, role, payload)
            act.told(version=signed.version, payload_sha256=signed.payload_sha256)
        return signed

    async def retire(self, caller: Caller, key_id: str, gun: str) -> Key:
        """See `SignerService.retire`; also raises what `create_key` does, but `TooManyKeys`."""
        await self.permit(caller, "retire_key", gun)
        about = AuditEvent(
            caller.identity.name, "retire_key", "done", caller.request_id, gun=gun, key_id=key_id
        )
        async with self._recorded(about) as act:
            await self._audit.append(replace(about, outcome="begun"))
            key = await self._service.retire(key_id, gun)
            act.told(role=key.role)
        return key

    async def health(self, caller: Caller) -> dict[str, str]:
        """See `SignerService.health`; `audit` is one of the parts."""
        await self.permit(caller, "health")
        return await self.condition()

    async def condition(self) -> dict[str, str]:
        """The same, for who runs this process."""
        problems = await self._service.health()
        try:
            await self._audit.ping()
        except AuditUnavailable as error:
            problems["audit"] = error.message
        return problems

    async def exposition(self, caller: Caller) -> bytes:
        """All metrics in the Prometheus text format."""
        await self.permit(caller, "metrics")
        return self._metrics.exposition()

    @asynccontextmanager
    async def _recorded(self, about: AuditEvent) -> AsyncIterator[_Act]:
        """Append the record of an act when the block ends, whichever way; nothing leaves before it is durable."""
        act = _Act(about)
        try:
            yield act
        except AuditUnavailable:
            raise  # What could not be recorded had no effect, or its record `begun` is there.
        except SignerError as error:
            refused = error.status < _FAILURES
            await self._audit.append(
                replace(act.event, outcome="refused" if refused else "failed", reason=error.message)
            )
            raise
        except (Exception, asyncio.CancelledError):
            await self._audit.append(replace(act.event, outcome="failed", reason=_UNEXPECTED))
            raise
        await self._audit.append(act.event)
