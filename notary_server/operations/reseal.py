"""Renew a repository's timestamp, and its snapshot where the server signs it: ahead of time, or once expired."""

from __future__ import annotations

import asyncio
from enum import Enum
from typing import Final

import structlog

from notary_server.errors import HeadMoved, KeyGone, SignerRefused, VersionPassed
from notary_server.ports import StoredFile
from notary_server.tuf.freshness import Horizon
from notary_server.tuf.model import TrustState
from notary_server.tuf.names import SNAPSHOT, TIMESTAMP, Gun

from .context import Context
from .dialects import due, expiries, online_keys, renewal
from .off_loop import off_loop
from .signing import sign_plan

ATTEMPTS: Final = 5
"""How often a lost race is followed by another look; nearly always the winner has renewed already."""
_NEVER: Final = 2**63
"""The expiry of files that cannot be read: they are served as they are."""

_log = structlog.stdlib.get_logger("notary")


class Outcome(Enum):
    """What became of a renewal. `NEEDLESS`: nothing is due, or no longer. `IMPOSSIBLE`: what the log says."""

    DONE = "done"
    NEEDLESS = "needless"
    IMPOSSIBLE = "impossible"


async def is_due(context: Context, gun: Gun, timestamp: StoredFile) -> bool:
    """Whether this current timestamp, or the snapshot it vouches for, has expired.

    Raises:
        StoreUnavailable: the database cannot answer.
    """
    expires = context.expiries.get(timestamp.sha256)
    if expires is None:
        snapshot = await context.store.current(gun, SNAPSHOT)
        if snapshot is None:
            expires = _NEVER
        else:
            expires = await off_loop(len(snapshot.data), _earlier_expiry, timestamp.data, snapshot.data)
        context.expiries.remember(timestamp.sha256, expires)
    return expires < context.clock.now_ns()


async def reseal(context: Context, gun: Gun) -> None:
    """Sign and store what has expired. Afterwards the current files are the best there are: renewed by us, by another
    writer who was first, or expired ones that cannot be renewed, which the log then says.

    Raises:
        StoreUnavailable, SignerUnavailable: one of the two cannot be asked.
    """
    task = context.renewing.get(gun)
    if task is None:
        task = asyncio.create_task(_renew(context, gun, Horizon.now(context.clock.now_ns())))
        context.renewing[gun] = task
        task.add_done_callback(lambda _: context.renewing.pop(gun, None))
    # A reader who leaves must not end what the others wait for.
    await asyncio.shield(task)


async def refresh(context: Context, gun: Gun) -> Outcome:
    """Sign and store what is to be renewed ahead of time (`Horizon.ahead`). The signer is asked only if something is.

    Raises:
        StoreUnavailable, SignerUnavailable: one of the two cannot be asked.
    """
    return await _renew(context, gun, Horizon.ahead(gun, context.clock.now_ns(), context.lifetimes))


async def renew_now(context: Context, gun: Gun) -> Outcome:
    """Sign and store all that the server can, whether it is due or not: for when clients have seen higher versions.

    Raises:
        StoreUnavailable, SignerUnavailable: one of the two cannot be asked.
    """
    return await _renew(context, gun, Horizon(_NEVER, _NEVER))


async def _renew(context: Context, gun: Gun, horizon: Horizon) -> Outcome:
    for _ in range(ATTEMPTS):
        state = await context.store.trust_state(gun, ())
        size = sum(len(data) for data in state.files.values())
        roles = await off_loop(size, due, state, horizon)
        if not roles:
            return Outcome.NEEDLESS
        wanted = await off_loop(size, online_keys, state)
        held = await context.signer.describe_keys(wanted) if wanted else {}
        now_ns = context.clock.now_ns()
        plan = await off_loop(size, renewal, state, held, now_ns, context.lifetimes, horizon)
        if plan is None:
            _settle(context, state)
            if TIMESTAMP not in roles:
                return Outcome.NEEDLESS
            reason = "the stored root does not allow it" if held else "the signer holds none of its keys"
            _log.warning("metadata cannot be renewed", gun=gun, reason=reason)
            return Outcome.IMPOSSIBLE
        try:
            await context.store.commit(state, await sign_plan(context.signer, plan, plan.current))
            return Outcome.DONE
        except (HeadMoved, KeyGone, VersionPassed):
            continue
        except SignerRefused as error:
            _log.error("metadata cannot be renewed: the signer refuses", gun=gun, reason=error.message)
            return Outcome.IMPOSSIBLE
    _log.warning("metadata was not renewed: other writers were always first", gun=gun)
    return Outcome.NEEDLESS


def _settle(context: Context, state: TrustState) -> None:
    """Remember that this timestamp stays until it expires itself, although its snapshot may have expired: that
    snapshot is its owner's to renew, and readers need not wait for the signer to say so again."""
    if due(state, Horizon.now(context.clock.now_ns())) == {SNAPSHOT}:
        ends = expiries(state.files[TIMESTAMP], state.files[SNAPSHOT])
        context.expiries.remember(state.latest[TIMESTAMP].sha256, _NEVER if ends is None else ends[0])


def _earlier_expiry(timestamp: bytes, snapshot: bytes) -> int:
    ends = expiries(timestamp, snapshot)
    return _NEVER if ends is None else min(ends)
