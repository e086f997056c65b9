"""Publish: accept an upload whole or refuse it whole. The numbered steps stand in docs/design/publish-cycle.md."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from notary_common import tracing
from notary_server.errors import (
    HeadMoved,
    InvalidRole,
    KeyGone,
    NoFilename,
    NotaryError,
    VersionConflict,
    VersionPassed,
)
from notary_server.ports import KeyChange
from notary_server.tuf.document import Document
from notary_server.tuf.instant import SECOND
from notary_server.tuf.model import NewFile, TrustState
from notary_server.tuf.names import ROOT, SNAPSHOT, TIMESTAMP, Gun, KeyId, RoleName, is_role
from notary_server.tuf.publish import PublishPlan, needed_roles, online_keys, plan
from notary_server.tuf.refusal import invalid
from notary_server.tuf10.file import StandardFile
from notary_server.tuf10.names import is_standard

from . import publish_standard
from .begun_anew import refuse_old_root
from .context import Context
from .off_loop import off_loop
from .signing import sign_plan

ATTEMPTS: Final = 8
"""How often a publish is planned because another process committed first. A client whose own version is stale
learns so from the second plan; only publishes of other roles and renewals can make a third one necessary."""
BACKOFF: Final = 0.02
"""Seconds: the longest pause before the second attempt; each further one doubles it."""

Upload = Document | StandardFile
"""One file of an upload, in the dialect that it is written in."""


async def collect(
    context: Context, size: int, parts: Iterable[tuple[str, Callable[[], bytes]]]
) -> list[Upload]:
    """The files that a form's parts stand for: by part the name first, then the content; of one role the last.

    `parts` are file names as spelled and what finds the contents; both may raise errors of their own. `size` is that
    of the whole form, in bytes.

    Raises:
        NoFilename: nothing is left of a name without its `.json`.
        InvalidRole: a part is named after no valid role.
        MalformedJson: a part is not JSON, or its common members have wrong types.
        Unavailable: a large part cannot be read now.
    """
    files, error = await off_loop(size, _split, parts)
    uploads: dict[RoleName, Upload] = {}
    for role, data in files:
        if is_standard(data):
            uploads[role] = StandardFile(role, data)
            await off_loop(len(data), uploads[role].check)
        else:
            uploads[role] = await context.reader.read(role, data, context.limits)
            uploads[role].check()
        # Many files that are read on the spot add up.
        await asyncio.sleep(0)
    if error is not None:
        raise error
    return list(uploads.values())


def _split(
    parts: Iterable[tuple[str, Callable[[], bytes]]],
) -> tuple[list[tuple[RoleName, bytes]], NotaryError | None]:
    """Roles and contents up to the first error of names or structure, and that error."""
    files: list[tuple[RoleName, bytes]] = []
    try:
        for name, content in parts:
            role = name.removesuffix(".json")
            if not role:
                raise NoFilename("a part of the upload names no file")
            data = content() if is_role(role) else publish_standard.part(role, content)
            if data is None:
                raise InvalidRole("a part of the upload is named after no valid role", role)
            files.append((RoleName(role), data))
    except NotaryError as error:
        return files, error
    return files, None


async def publish(context: Context, gun: Gun, uploads: Sequence[Upload]) -> Sequence[NewFile]:
    """Store an upload and what the server signs over it, all or nothing: the files stored, once they are durable.

    Raises:
        InvalidUpdate: a rule is broken.
        VersionConflict: a stored version is not lower, or others publish to this repository without a pause.
        StoreUnavailable, SignerUnavailable: one of the two cannot be asked; nothing is stored.
        Unavailable: other publishes took too long.
        SignerRefused: the signer said no, or its signature does not verify; nothing is stored.
    """
    async with context.turn(gun):
        for attempt in range(ATTEMPTS):
            if attempt:
                await asyncio.sleep(random.uniform(0, BACKOFF * 2**attempt))  # noqa: S311 - spreads load, no secret
            try:
                return await _publish_once(context, gun, uploads)
            except (HeadMoved, KeyGone, VersionPassed):
                # 6. Somebody was, or a key was retired or has gone further meanwhile: look again.
                continue
    raise VersionConflict("this repository is busy: others publish to it at the same time; run publish again")


async def _publish_once(context: Context, gun: Gun, all_uploads: Sequence[Upload]) -> Sequence[NewFile]:
    uploads = [upload for upload in all_uploads if isinstance(upload, Document)]
    if len(uploads) < len(all_uploads):
        return await publish_standard.publish_once(context, gun, all_uploads)
    # 1. What is stored, in one consistent look.
    state = await context.store.trust_state(gun, needed_roles(uploads))
    if is_standard(state.files.get(ROOT)):
        raise invalid("ErrValidation", "this repository holds TUF 1.0 metadata, as its first root did")
    root = next((upload.data for upload in uploads if upload.role == ROOT), None)
    await refuse_old_root(context, gun, state, root)
    stored = await _read_stored(context, state, uploads)
    # 2. Which of the keys that root gives to snapshot and timestamp the signer holds.
    wanted = online_keys(stored, uploads)
    held = await context.signer.describe_keys(wanted) if wanted else {}
    # 3. Decide: refused here, or a plan.
    now_ns = context.clock.now_ns()
    size = sum(len(file.data) for file in (*uploads, *stored.values()))
    with tracing.span("plan"):
        decided = await off_loop(size, plan, state, stored, uploads, held, now_ns, context.lifetimes)
    # 4. Sign and seal the snapshot, unless the client brought one, then the timestamp over it.
    signed = await sign_plan(context.signer, decided, _client_snapshot(decided))
    # 5. Store all of it if nobody was faster. A client that leaves, or a server that stops, must not tear it apart.
    files = [*decided.files, *signed]
    keys = _key_change(context, wanted, stored, uploads, now_ns)
    await asyncio.shield(context.store.commit(state, files, keys))
    return files


def _key_change(
    context: Context,
    listed: frozenset[KeyId],
    stored: Mapping[RoleName, Document],
    uploads: Sequence[Document],
    now_ns: int,
) -> KeyChange | None:
    """What a new root among `uploads`, which lists `listed`, does to the server's keys."""
    if not any(upload.role == ROOT for upload in uploads):
        return None
    dropped = online_keys(stored, ()) - listed
    return KeyChange(listed, dropped, now_ns, now_ns + context.key_grace * SECOND)


async def _read_stored(
    context: Context, state: TrustState, uploads: Sequence[Document]
) -> dict[RoleName, Document]:
    """The stored files; those are read that deciding may look at: others are replaced by the upload, or by the server."""
    replaced = {TIMESTAMP} | ({upload.role for upload in uploads} - {ROOT})
    return {
        role: Document(role, data) if role in replaced else await context.reader.read(role, data)
        for role, data in state.files.items()
    }


def _client_snapshot(decided: PublishPlan) -> bytes:
    return next((file.data for file in decided.files if file.role == SNAPSHOT), b"")
