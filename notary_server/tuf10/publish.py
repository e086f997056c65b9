"""Decide on a publish of TUF 1.0 metadata: is this upload acceptable now, and what must be signed next?

The steps are those of the first dialect (docs/design/publish-cycle.md), the rules those of the TUF specification. What
is accepted can be read by a client whole: every role that is delegated to is there and meets its threshold.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tuf.api.metadata import MetaFile, Root, Targets

from ..tuf.document import Document
from ..tuf.generate import VersionsExhaustedError, following
from ..tuf.model import HeldKey, NewFile, TrustState
from ..tuf.names import BASE_ROLES, ROOT, SNAPSHOT, TARGETS, TIMESTAMP, Gun, KeyId, RoleName, Sha256Hex
from ..tuf.publish import Lifetimes
from ..tuf.publish import online_keys as notary_keys
from ..tuf.refusal import conflict, invalid
from . import generate, online
from .delegations import BadTargetsError, bins, verify_tree
from .file import LIMITS, BadFileError, StandardFile
from .generate import NextTimestamp, StandardOrder
from .names import is_standard
from .online import OnlineKey
from .verify import verify

ROOM_FOR_SIGNATURES: Final = 32_768
"""Bytes of a snapshot that are kept for the signatures of as many keys as one role may have."""


@dataclass(frozen=True, slots=True)
class StandardPlan:
    """An accepted upload.

    Attributes:
        files: the uploaded files to be stored, root first.
        snapshot: the snapshot that the server must sign.
        next_timestamp: the timestamp that the server must sign after it, as yet without its snapshot.
    """

    files: tuple[NewFile, ...]
    snapshot: StandardOrder
    next_timestamp: NextTimestamp

    def timestamp(self, snapshot: bytes) -> StandardOrder:
        """The timestamp over `snapshot`, the bytes as sealed."""
        return self.next_timestamp.over(snapshot)


def needed_roles(state: TrustState, uploads: Sequence[StandardFile]) -> frozenset[RoleName]:
    """The stored roles whose bytes deciding needs besides the base roles, which `state` has.

    Never raises on a bad upload: what cannot be read needs nothing, and `plan` says why it is refused.
    """
    uploaded = {file.role: file for file in uploads}
    untouched = _untouched(_stored(state, TARGETS), uploaded)
    return frozenset(state.latest.keys() - set(BASE_ROLES) - uploaded.keys() - untouched)


def online_keys(root: StandardFile | None) -> frozenset[KeyId]:
    """The signer's IDs of the keys that it must be asked about before `plan` or a renewal can decide. Never raises."""
    try:
        return frozenset() if root is None else online.candidates(root.root())
    except BadFileError:
        return frozenset()


def listed_keys(root: bytes) -> frozenset[KeyId]:
    """The same for a stored root, in whichever dialect it is."""
    if is_standard(root):
        return online_keys(StandardFile(ROOT, root))
    return notary_keys({ROOT: Document(ROOT, root)}, ())


def plan(
    state: TrustState,
    uploads: Sequence[StandardFile],
    held: Mapping[KeyId, HeldKey],
    now_ns: int,
    lifetimes: Lifetimes,
) -> StandardPlan:
    """Decide on an upload whose parts already passed `StandardFile.check` one by one.

    `state` has the bytes of `needed_roles`; `held` is the signer's answer about the `online_keys` of the uploaded root,
    else of the stored one; `now_ns` counts nanoseconds since 1970-01-01T00:00:00Z.

    Raises:
        InvalidUpdate: a rule is broken; `name` says whose.
        VersionConflict: a stored version of a role is not lower.
    """
    return _Planning(state, {file.role: file for file in uploads}, held, now_ns, lifetimes).plan()


def _stored(state: TrustState, role: RoleName) -> StandardFile | None:
    data = state.files.get(role)
    return None if data is None else StandardFile(role, data)


def _untouched(stored: StandardFile | None, uploaded: Mapping[RoleName, StandardFile]) -> frozenset[RoleName]:
    try:
        before: Targets | None = None if stored is None else stored.targets()
        after = uploaded[TARGETS].targets() if TARGETS in uploaded else before
    except BadFileError:
        return frozenset()
    return frozenset() if after is None else bins(before, after)


@dataclass(frozen=True, slots=True)
class _Planning:
    """One run of `plan`, step by step."""

    state: TrustState
    uploaded: Mapping[RoleName, StandardFile]
    held: Mapping[KeyId, HeldKey]
    now_ns: int
    lifetimes: Lifetimes

    @property
    def gun(self) -> Gun:
        return self.state.gun

    def plan(self) -> StandardPlan:
        for role in (SNAPSHOT, TIMESTAMP):
            if role in self.uploaded:
                raise invalid("ErrValidation", f"the server signs the {role} itself; leave it out")
        root = self._root()
        self._refuse_expired()
        self._verify_targets(root)
        snapshot_keys, timestamp_keys = self._keys(root, SNAPSHOT), self._keys(root, TIMESTAMP)
        files = tuple(self._newer())
        version = self._following(SNAPSHOT, snapshot_keys)
        expires = generate.following_expiry(self.now_ns, self.lifetimes.snapshot)
        order = generate.next_snapshot(self.gun, self._entries(), version, expires, snapshot_keys)
        if len(order.payload) > LIMITS.lengths[SNAPSHOT] - ROOM_FOR_SIGNATURES:
            raise invalid(
                "ErrBadSnapshot", "the repository has too many roles: clients would not read its snapshot"
            )
        expires = generate.following_expiry(self.now_ns, self.lifetimes.timestamp)
        timestamp = NextTimestamp(
            self.gun, self._following(TIMESTAMP, timestamp_keys), expires, timestamp_keys, version
        )
        return StandardPlan(files, order, timestamp)

    def _root(self) -> Root:
        """The chain of trust: a new root follows the published one, and both agree to it."""
        stored, uploaded = _stored(self.state, ROOT), self.uploaded.get(ROOT)
        try:
            if uploaded is not None:
                return self._next_root(stored, uploaded)
            if stored is not None:
                return stored.root()
        except BadFileError as error:
            raise invalid("ErrBadRoot", f"the root file is not valid: {error}") from None
        raise invalid("ErrValidation", "the repository has no root yet, and none was sent")

    def _next_root(self, stored: StandardFile | None, uploaded: StandardFile) -> Root:
        published = 0 if stored is None else stored.version
        if stored is not None and uploaded.version == published:
            raise conflict(_new(uploaded), self.state.latest[ROOT])
        if uploaded.version != published + 1:
            raise BadFileError(f"its version is {uploaded.version}, and the next one is {published + 1}")
        if not uploaded.root().consistent_snapshot:
            raise BadFileError("consistent_snapshot must be true: files are served by their version")
        if stored is not None:
            _verify_by_published(stored.root(), uploaded)
        verify(uploaded.root(), uploaded)
        return uploaded.root()

    def _refuse_expired(self) -> None:
        now = generate.moment(self.now_ns)
        for role, file in self.uploaded.items():
            if file.metadata.signed.is_expired(now):
                raise invalid(
                    "ErrBadRoot" if role == ROOT else "ErrBadTargets",
                    f"the {role} file has expired; sign it again",
                )

    def _verify_targets(self, root: Root) -> None:
        if TARGETS not in self.uploaded and TARGETS not in self.state.files:
            raise invalid("ErrValidation", "the repository has no targets file yet, and none was sent")
        targets = {role: file for role, file in self.uploaded.items() if role != ROOT}
        untouched = _untouched(_stored(self.state, TARGETS), self.uploaded)
        published = untouched & self.state.latest.keys()
        try:
            verify_tree(root, targets, lambda role: _stored(self.state, role), published)
        except BadTargetsError as error:
            raise invalid("ErrBadTargets" if targets else "ErrBadRoot", str(error)) from None

    def _keys(self, root: Root, role: RoleName) -> tuple[OnlineKey, ...]:
        reason = online.misuse(self.gun, root, self.held) if ROOT in self.uploaded else None
        if reason is not None:
            raise invalid("ErrBadRoot", reason)
        keys = online.signers(self.gun, root, role, self.held)
        if not keys:
            raise invalid(
                "ErrBadRoot",
                f"the server does not hold enough of the {role} keys that root asks for; list the key that "
                f"GET /v2/GUN/_trust/tuf/{role}.key.json gives",
            )
        return keys

    def _entries(self) -> dict[str, MetaFile]:
        """What the stored snapshot lists, and what this upload brings. Nothing is ever left out: clients of an earlier
        snapshot refuse one that lacks a file."""
        stored = _stored(self.state, SNAPSHOT)
        try:
            entries = {} if stored is None else dict(stored.snapshot().meta)
        except BadFileError as error:
            raise invalid("ErrBadSnapshot", f"the published snapshot cannot be read: {error}") from None
        for role, file in self.uploaded.items():
            if role != ROOT:
                name, entry = generate.entry_of(role, file.version, file.data)
                entries[name] = entry
        if len(entries) > LIMITS.roles:
            raise invalid("ErrBadTargets", f"a repository has at most {LIMITS.roles} roles")
        return entries

    def _newer(self) -> Iterator[NewFile]:
        for role in sorted(self.uploaded, key=lambda role: (role != ROOT, role != TARGETS, role)):
            new, stored = _new(self.uploaded[role]), self.state.latest.get(role)
            if stored is not None and stored.version >= new.version:
                raise conflict(new, stored)
            yield new

    def _following(self, role: RoleName, keys: tuple[OnlineKey, ...]) -> int:
        try:
            return following(self.state, role, [key.held for key in keys])
        except VersionsExhaustedError as error:
            raise invalid("ErrValidation", str(error)) from None


def _verify_by_published(published: Root, uploaded: StandardFile) -> None:
    try:
        verify(published, uploaded)
    except BadFileError as error:
        raise BadFileError(
            f"it is not signed with the root keys that are published already: {error}"
        ) from None


def _new(file: StandardFile) -> NewFile:
    sha256 = Sha256Hex(file.meta.hashes["sha256"].hex())
    return NewFile(file.role, file.version, file.data, sha256)
