"""The signers of the list: which of them a call goes to, and who is next when it cannot be asked (docs/adr/0024)."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from contextvars import Context
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final, TypeVar

from notary_common import wire
from notary_common.log import get_logger

from ..errors import NotaryError, SignerRefused, SignerUnavailable
from ..metrics import SignerMetrics
from .circuit import Circuit
from .failures import FaultError, KeyNotHeldError, KeyRefusedError, NotAskedError
from .transport import Call, Endpoint, Transport

PATIENCE: Final = 3.0
"""Seconds that one signer may take while another could be asked instead; the last one has all that is left."""
LAST_RESORT: Final = 2.0
"""Seconds for a signer that is known not to answer, asked because no other is left: clients are told to wait, not kept."""
PROBE: Final = 4.0
"""Seconds for the question whether a signer is ready; health as a whole has five."""
FAULTS: Final = 2
"""Signers that a call may fail in with a 500: one may have an old token; if two agree, it is the call."""

Answer = TypeVar("Answer")
HEALTH: Final = Call("health", "GET", "/v1/health", None, wire.Health)

_log = get_logger("notary")


@dataclass(eq=False, slots=True)
class _Signer:
    """One of the list.

    Attributes:
        calls: how many wait for its answer at the moment.
        probing: asks it again and again while its circuit is open.
    """

    name: str
    transport: Transport
    circuit: Circuit = field(default_factory=Circuit)
    calls: int = 0
    probing: asyncio.Task[None] | None = None

    def rank(self, affinity: str) -> bytes:
        """Its place in the order for `affinity`, which every server works out alike and without asking anybody."""
        return blake2b(f"{affinity} {self.name}".encode(), digest_size=8).digest()


class Signers:
    """Asks them on behalf of one server process. They share one registry, so the answer of any of them counts."""

    def __init__(self, endpoints: Sequence[Endpoint], timeout: float, metrics: SignerMetrics) -> None:
        """Nothing is opened yet. `timeout`: seconds for one call, all signers together."""
        self._signers = [_Signer(endpoint.name, Transport(endpoint)) for endpoint in endpoints]
        self._timeout = timeout
        self._metrics = metrics
        for signer in self._signers:
            metrics.circuit(signer.name, is_open=False)

    async def close(self) -> None:
        """Stop probing, and close all connections."""
        for signer in self._signers:
            if signer.probing is not None:
                signer.probing.cancel()
                with suppress(asyncio.CancelledError):
                    await signer.probing
            await signer.transport.close()

    async def call(self, call: Call[Answer], affinity: str) -> Answer:
        """The answer of the first signer that gives one.

        Args:
            affinity: calls of one affinity go to one signer, as long as that one has no more to do than the others.

        Raises:
            SignerUnavailable: at least one could not be asked, and no other gave an answer.
            SignerRefused: the signers failed at this very call, or one refused.
            KeyNotHeldError, KeyRefusedError, TooManyKeys: as one of them answered.
        """
        end = time.monotonic() + self._timeout
        tried: list[_Signer] = []
        failures: list[NotAskedError | FaultError] = []
        while (signer := self._next(affinity, tried)) is not None:
            left = end - time.monotonic()
            if tried and left <= 0:
                break
            if tried:
                self._metrics.failover(tried[-1].name)
            tried.append(signer)
            try:
                return await self._ask(signer, call, self._share(signer, tried, left))
            except (NotAskedError, FaultError) as error:
                failures.append(error)
                if sum(isinstance(failure, FaultError) for failure in failures) == FAULTS:
                    break
        raise _outcome(failures) from failures[-1]

    async def ready(self) -> None:
        """Ask all of them whether they are ready; return if one is.

        Raises:
            SignerUnavailable: none is; the text says what is wrong with each.
        """
        problems = await asyncio.gather(*map(self._problem, self._signers))
        if None not in problems:
            said = (
                f"{signer.name}: {problem}" for signer, problem in zip(self._signers, problems, strict=True)
            )
            raise SignerUnavailable("no signer is ready; " + "; ".join(said))

    def _next(self, affinity: str, tried: Collection[_Signer]) -> _Signer | None:
        left = [signer for signer in self._signers if signer not in tried]
        return min(left, key=lambda one: (one.circuit.open, one.calls, one.rank(affinity)), default=None)

    def _share(self, signer: _Signer, tried: Collection[_Signer], left: float) -> float:
        """How much of what is left of a call's time this signer may take."""
        if signer.circuit.open:
            return min(left, LAST_RESORT)
        others = [other.circuit.open for other in self._signers if other not in tried]
        if not all(others):
            return min(left / 2, PATIENCE)
        # What is left out may be back by then; what is asked now may only be slow.
        return max(left - LAST_RESORT, left / 2) if others else left

    async def _ask(self, signer: _Signer, call: Call[Answer], seconds: float) -> Answer:
        begun = time.monotonic()
        signer.calls += 1
        try:
            answer = await signer.transport.call(call, seconds)
        except NotAskedError as error:
            # Busy with this call, or not ready for any: that it says only when it is asked so.
            says_so = call.operation == "health" and error.kind == "not_ready"
            self._failed(signer, error, certain=error.certain or says_so)
            raise
        except FaultError:
            # Neither for nor against it: it answers, and other calls may well succeed.
            self._metrics.failure(signer.name, "fault")
            raise
        except (KeyNotHeldError, KeyRefusedError, NotaryError):
            self._answered(signer)
            raise
        else:
            self._answered(signer)
            return answer
        finally:
            signer.calls -= 1
            self._metrics.call(signer.name, call.operation, time.monotonic() - begun)

    def _failed(self, signer: _Signer, error: NotAskedError, *, certain: bool) -> None:
        self._metrics.failure(signer.name, error.kind)
        if signer.circuit.failed(certain=certain):
            self._metrics.circuit(signer.name, is_open=True)
            _log.warning(
                "a signer does not answer; the others are asked first",
                signer=signer.name,
                reason=error.reason,
            )
            # In a context of its own: what the probe finds belongs to no request.
            signer.probing = asyncio.create_task(self._probe(signer), context=Context())

    def _answered(self, signer: _Signer) -> None:
        if signer.circuit.answered():
            self._metrics.circuit(signer.name, is_open=False)
            _log.warning("a signer answers again", signer=signer.name)

    async def _probe(self, signer: _Signer) -> None:
        """Ask until it answers: no client's call has to find out."""
        while signer.circuit.open:
            await asyncio.sleep(signer.circuit.pause(random.random()))  # noqa: S311 - spreads load, no secret
            if signer.circuit.open:
                await self._problem(signer)

    async def _problem(self, signer: _Signer) -> str | None:
        """Why it is not ready, None if it is."""
        try:
            health = await self._ask(signer, HEALTH, min(self._timeout, PROBE))
        except NotAskedError as error:
            return error.reason
        except KeyNotHeldError:
            return "the address is not a signer's"
        except (FaultError, KeyRefusedError, NotaryError) as error:
            return str(error)
        return None if health.ready else "it is not ready"


def _outcome(failures: Sequence[NotAskedError | FaultError]) -> NotaryError:
    """What a call has come to that no signer answered. One that could not be asked might have."""
    unasked = [failure for failure in failures if isinstance(failure, NotAskedError)]
    if not unasked:
        return SignerRefused(str(failures[-1]))
    if len(failures) == 1:
        return SignerUnavailable(f"the signer: {unasked[-1].reason}")
    return SignerUnavailable(f"none of {len(failures)} signers can be asked; the last: {failures[-1]}")
