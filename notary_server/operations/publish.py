"""Publish: accept an upload whole or refuse it whole. The numbered steps stand in docs/design/publish-cycle.md."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from notary_server.errors import HeadMoved, InvalidRole, NoFilename, VersionConflict
from notary_server.tuf.model import Upload
from notary_server.tuf.names import SNAPSHOT, Gun, RoleName, is_role
from notary_server.tuf.parse import Limits, check_part
from notary_server.tuf.publish import PublishPlan, needed_roles, online_keys, plan

from .context import Context
from .off_loop import off_loop
from .signing import sign_plan

ATTEMPTS: Final = 8
"""How often a publish is planned because another process committed first. A client whose own version is stale
learns so from the second plan; only publishes of other roles and renewals can make a third one necessary."""
BACKOFF: Final = 0.02
"""Seconds: the longest pause before the second attempt; each further one doubles it."""


def collect(parts: Iterable[tuple[str, Callable[[], bytes]]], limits: Limits) -> list[Upload]:
    """The uploads that a form's parts stand for: by part the name first, then the content; of one role the last.

    `parts` are file names as spelled and what finds the contents; both may raise errors of their own.

    Raises:
        NoFilename: nothing is left of a name without its `.json`.
        InvalidRole: a part is named after no valid role.
        MalformedJson: a part is not JSON, or its common members have wrong types.
    """
    uploads: dict[str, Upload] = {}
    for name, content in parts:
        role = name.removesuffix(".json")
        if not role:
            raise NoFilename("a part of the upload names no file")
        if not is_role(role):
            raise InvalidRole("a part of the upload is named after no valid role", role)
        data = content()
        check_part(RoleName(role), data, limits)
        uploads[role] = Upload(RoleName(role), data)
    return list(uploads.values())


async def publish(context: Context, gun: Gun, uploads: Sequence[Upload]) -> None:
    """Store an upload and what the server signs over it, all or nothing. Returns when it is durable.

    Raises:
        InvalidUpdate: a rule is broken.
        VersionConflict: a stored version is not lower, or others publish to this repository without a pause.
        StoreUnavailable, SignerUnavailable: one of the two cannot be asked; nothing is stored.
        SignerRefused: the signer said no, or its signature does not verify; nothing is stored.
    """
    async with context.turn(gun), context.publishing:
        for attempt in range(ATTEMPTS):
            if attempt:
                await asyncio.sleep(random.uniform(0, BACKOFF * 2**attempt))  # noqa: S311 - spreads load, no secret
            try:
                await _publish_once(context, gun, uploads)
                return
            except HeadMoved:
                # 6. Somebody was: look again.
                continue
    raise VersionConflict("this repository is busy: others publish to it at the same time; run publish again")


async def _publish_once(context: Context, gun: Gun, uploads: Sequence[Upload]) -> None:
    size = sum(len(upload.data) for upload in uploads)
    # 1. What is stored, in one consistent look.
    needed = await off_loop(size, needed_roles, uploads)
    state = await context.store.trust_state(gun, needed)
    size += sum(len(data) for data in state.files.values())
    # 2. Which of the keys that root gives to snapshot and timestamp the signer holds.
    wanted = await off_loop(size, online_keys, state, uploads)
    held = await context.signer.describe_keys(wanted) if wanted else {}
    # 3. Decide: refused here, or a plan.
    now_ns = context.clock.now_ns()
    decided = await off_loop(size, plan, gun, state, uploads, held, now_ns, context.lifetimes)
    # 4. Sign and seal the snapshot, unless the client brought one, then the timestamp over it.
    signed = await sign_plan(context.signer, decided, _client_snapshot(decided))
    # 5. Store all of it if nobody was faster. A client that leaves, or a server that stops, must not tear it apart.
    await asyncio.shield(context.store.commit(state, [*decided.files, *signed]))


def _client_snapshot(decided: PublishPlan) -> bytes:
    return next((file.data for file in decided.files if file.role == SNAPSHOT), b"")
