"""Publish TUF 1.0 metadata: the same steps as in Notary's dialect, decided by the rules of the specification."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from notary_common import tracing
from notary_server.errors import NotaryError
from notary_server.ports import KeyChange
from notary_server.tuf.document import Document
from notary_server.tuf.instant import SECOND
from notary_server.tuf.model import NewFile, TrustState
from notary_server.tuf.names import ROOT, Gun
from notary_server.tuf.refusal import invalid
from notary_server.tuf10.file import StandardFile
from notary_server.tuf10.names import is_role, is_standard
from notary_server.tuf10.publish import needed_roles, online_keys, plan

from .begun_anew import refuse_old_root
from .context import Context
from .off_loop import off_loop
from .signing import sign_plan


def part(name: str, content: Callable[[], bytes]) -> bytes | None:
    """The part of an upload whose name Notary does not know, if it is TUF 1.0 metadata of a role of that name."""
    if not is_role(name):
        return None
    try:
        data = content()
    except NotaryError:
        return None
    return data if is_standard(data) else None


async def publish_once(
    context: Context, gun: Gun, uploads: Sequence[Document | StandardFile]
) -> Sequence[NewFile]:
    """Look, decide, sign and store, once; the files stored.

    Raises:
        InvalidUpdate, VersionConflict: the upload is refused.
        HeadMoved, KeyGone, VersionPassed: look again.
        StoreUnavailable, SignerUnavailable, SignerRefused: nothing is stored.
    """
    files = [upload for upload in uploads if isinstance(upload, StandardFile)]
    if len(files) < len(uploads):
        raise invalid("ErrValidation", "the upload mixes TUF 1.0 metadata with that of Notary's dialect")
    state = await _look(context, gun, files)
    stored = _root(state)
    uploaded = next((file for file in files if file.role == ROOT), None)
    await refuse_old_root(context, gun, state, None if uploaded is None else uploaded.data)
    wanted = online_keys(uploaded or stored)
    held = await context.signer.describe_keys(wanted) if wanted else {}
    now_ns = context.clock.now_ns()
    with tracing.span("plan"):
        decided = await off_loop(_size(state, files), plan, state, files, held, now_ns, context.lifetimes)
    signed = await sign_plan(context.signer, decided, b"")
    keys = None
    if uploaded is not None:
        keys = KeyChange(wanted, online_keys(stored) - wanted, now_ns, now_ns + context.key_grace * SECOND)
    committed = [*decided.files, *signed]
    await asyncio.shield(context.store.commit(state, committed, keys))
    return committed


async def _look(context: Context, gun: Gun, files: Sequence[StandardFile]) -> TrustState:
    """What is stored, in one consistent look; a second one where the first says that more is needed."""
    state = await context.store.trust_state(gun, ())
    published = state.files.get(ROOT)
    if published is not None and not is_standard(published):
        raise invalid(
            "ErrValidation",
            "this repository is in Notary's dialect, as its first root was; take another name",
        )
    needed = await off_loop(_size(state, files), needed_roles, state, files)
    return await context.store.trust_state(gun, needed) if needed else state


def _root(state: TrustState) -> StandardFile | None:
    data = state.files.get(ROOT)
    return None if data is None else StandardFile(ROOT, data)


def _size(state: TrustState, files: Sequence[StandardFile]) -> int:
    return sum(len(data) for data in state.files.values()) + sum(len(file.data) for file in files)
