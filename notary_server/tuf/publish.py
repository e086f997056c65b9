"""Decide on a publish: is this upload acceptable for this repository now, and what must be signed next?

The rules are those of docs/reference/protocol.md, 9 to 13, with the sound answers of its part 24. Their order
is that of Notary's own server, so that an upload with several faults is refused for the same one. The same
steps, with the same numbers, stand in docs/design/publish-cycle.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from . import generate, online
from .certificates import BadRootError, have_ended, stored_root, trust_root
from .delegations import BadTargetsError, verify_targets, verify_uploaded
from .document import Document
from .generate import NextTimestamp, VersionsExhaustedError
from .instant import SECOND
from .model import (
    FileMeta,
    HeldKey,
    NewFile,
    Root,
    SigningOrder,
    Snapshot,
    Targets,
    Trusted,
    TrustState,
)
from .names import (
    ROOT,
    SNAPSHOT,
    TARGETS,
    TIMESTAMP,
    Gun,
    KeyId,
    RoleName,
    Sha256Hex,
    ancestors,
    is_delegation,
)
from .parse import ParseError
from .refusal import conflict, invalid
from .verify import BadSignaturesError, trust

MAX_LISTED: Final = 4096
"""Files that a client-signed snapshot may list: each is compared with what is stored."""

Accepted = Trusted[Root] | Trusted[Targets] | Trusted[Snapshot]


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """How long what the server signs is valid, in seconds."""

    snapshot: int = 3 * 365 * 86_400
    timestamp: int = 14 * 86_400


@dataclass(frozen=True, slots=True)
class PublishPlan:
    """An accepted upload.

    Attributes:
        files: the uploaded files to be stored, root first, targets by depth, then a client-signed snapshot.
        snapshot: the snapshot that the server must sign, None if the client signed it.
        next_timestamp: the timestamp that the server must sign after it, as yet without its snapshot.
    """

    files: tuple[NewFile, ...]
    snapshot: SigningOrder | None
    next_timestamp: NextTimestamp

    def timestamp(self, snapshot: bytes) -> SigningOrder:
        """The timestamp over `snapshot`, the bytes as sealed (or as uploaded by the client)."""
        return self.next_timestamp.over(snapshot)


def needed_roles(uploads: Sequence[Document]) -> frozenset[RoleName]:
    """The stored roles that deciding needs besides the base roles.

    They are the uploaded delegations, their ancestors, and the delegations that an uploaded snapshot lists.
    Never raises on a bad upload: what cannot be read needs nothing, and `plan` says why it is refused.
    """
    uploaded = _by_role(uploads)
    named = {role for role in uploaded if is_delegation(role)}
    needed = named.union(*map(ancestors, named))
    if SNAPSHOT in uploaded:
        try:
            listed = uploaded[SNAPSHOT].snapshot().body.meta
        except ParseError:
            listed = {}
        if len(listed) <= MAX_LISTED:
            needed |= {RoleName(name) for name in listed if is_delegation(name)}
    return frozenset(needed - {TARGETS})


def online_keys(stored: Mapping[RoleName, Document], uploads: Sequence[Document]) -> frozenset[KeyId]:
    """The key IDs (as computed) that the signer must be asked about before `plan` can decide.

    Without uploads: those that `freshness.renewal` needs.
    Never raises on a bad upload: what cannot be read names no keys, and `plan` says why it is refused.
    """
    root = _by_role(uploads).get(ROOT, stored.get(ROOT))
    try:
        return frozenset() if root is None else online.candidates(root.root().body)
    except ParseError:
        return frozenset()


def plan(
    state: TrustState,
    stored: Mapping[RoleName, Document],
    uploads: Sequence[Document],
    held: Mapping[KeyId, HeldKey],
    now_ns: int,
    lifetimes: Lifetimes,
) -> PublishPlan:
    """Decide on an upload whose parts already passed `Document.check` one by one.

    `stored` are the files of `state`; `held` is the signer's answer about `online_keys(stored, uploads)`; `now_ns` counts nanoseconds since
    1970-01-01T00:00:00Z. A part named `timestamp` is never looked at; of several parts for one role the last counts.

    Raises:
        InvalidUpdate: a rule is broken; `name` says whose.
        VersionConflict: a stored version of a role is not lower.
    """
    return _Planning(state.gun, state, stored, _by_role(uploads), held, now_ns, lifetimes).plan()


def _by_role(uploads: Sequence[Document]) -> dict[RoleName, Document]:
    return {upload.role: upload for upload in uploads}


@dataclass(frozen=True, slots=True)
class _Planning:
    """One run of `plan`, step by step."""

    gun: Gun
    state: TrustState
    stored: Mapping[RoleName, Document]
    uploaded: Mapping[RoleName, Document]
    held: Mapping[KeyId, HeldKey]
    now_ns: int
    lifetimes: Lifetimes

    def plan(self) -> PublishPlan:
        current = self._stored_root()  # 3.1
        root = self._root(current)  # 3.2
        targets = self._targets(root.body)  # 3.3
        uploaded_snapshot = self._uploaded_snapshot(root, targets)  # 3.4
        order = None if uploaded_snapshot is not None else self._next_snapshot(root, targets)
        next_timestamp = self._next_timestamp(root.body)  # 3.5
        accepted: list[Accepted] = [root] if ROOT in self.uploaded else []
        accepted += [file for role, file in targets.items() if role in self.uploaded]
        accepted += [] if uploaded_snapshot is None else [uploaded_snapshot]
        files = tuple(self._newer(accepted))  # 3.6
        self._check_whole(root.body, targets, uploaded_snapshot)  # 3.7
        return PublishPlan(files, order, next_timestamp)

    # 3.1 The trust anchor: the latest stored root, whatever its dates. Once its certificates have ended nothing
    # but a successor is taken, as clients cannot follow anything else.
    def _stored_root(self) -> Trusted[Root] | None:
        if ROOT not in self.stored:
            return None
        try:
            root = stored_root(self.gun, self.stored[ROOT].root())
        except (ParseError, BadRootError) as error:
            raise invalid("ErrBadRoot", f"the published root cannot be used: {error}") from None
        if ROOT not in self.uploaded and have_ended(self.gun, root, self.now_ns):
            raise invalid(
                "ErrBadRoot",
                "the certificate in the published root has expired; publish a root with a new certificate, "
                "signed with the old root key and the new one",
            )
        return root

    # 3.2
    def _root(self, current: Trusted[Root] | None) -> Trusted[Root]:
        if ROOT not in self.uploaded:
            if current is None:
                raise invalid("ErrValidation", "the repository has no root yet, and none was sent")
            return current
        try:
            parsed = self.uploaded[ROOT].root()
            published = 1 if current is None else current.body.version
            if parsed.body.version not in {published, published + 1}:
                raise invalid("ErrBadRoot", self._wrong_root_version(parsed.body.version, current))
            root = trust_root(self.gun, parsed, self.now_ns, current)
        except (ParseError, BadRootError) as error:
            raise invalid("ErrBadRoot", f"the root file is not valid: {error}") from None
        if root.body.expires < self.now_ns:
            raise invalid("ErrBadRoot", "the root file has expired; sign it again")
        return root

    @staticmethod
    def _wrong_root_version(version: int, current: Trusted[Root] | None) -> str:
        if current is None:
            return f"the first root of a repository has version 1, not {version}"
        published = current.body.version
        return f"root version {version} does not follow version {published}, which is published; update and try again"

    # 3.3
    def _targets(self, root: Root) -> dict[RoleName, Trusted[Targets]]:
        files = {role: file for role, file in self.uploaded.items() if role == TARGETS or is_delegation(role)}
        try:
            return verify_uploaded(root, files, self.stored, self.now_ns)
        except BadTargetsError as error:
            raise invalid("ErrBadTargets", str(error)) from None

    # 3.4 with a snapshot in the upload: what of the rest has been seen must be what it lists.
    def _uploaded_snapshot(
        self, root: Trusted[Root], targets: Mapping[RoleName, Trusted[Targets]]
    ) -> Trusted[Snapshot] | None:
        if SNAPSHOT not in self.uploaded:
            return None
        role = root.body.roles[SNAPSHOT]
        try:
            parsed = self.uploaded[SNAPSHOT].snapshot()
            snapshot = trust(parsed, root.body.keys, role.keyids, role.threshold)
        except (ParseError, BadSignaturesError) as error:
            raise invalid("ErrBadSnapshot", f"the snapshot file is not valid: {error}") from None
        if snapshot.body.expires < self.now_ns:
            raise invalid("ErrBadSnapshot", "the snapshot file has expired; sign it again")
        for name, actual in self._seen(targets).items():
            if not generate.same_hashes(snapshot.body.meta.get(name, FileMeta()), actual):
                raise invalid(
                    "ErrBadSnapshot", f"the snapshot does not list {name} as it was sent or is published"
                )
        return snapshot

    # 3.4 without one: the server makes it, if root lets it.
    def _next_snapshot(
        self, root: Trusted[Root], targets: Mapping[RoleName, Trusted[Targets]]
    ) -> SigningOrder:
        if TARGETS not in targets and TARGETS not in self.stored:
            raise invalid("ErrValidation", "the repository has no targets file yet, and none was sent")
        self._refuse_misuse(root.body)
        keys = online.signers(self.gun, root.body, SNAPSHOT, self.held)
        if not keys:
            raise invalid(
                "ErrBadHierarchy",
                "no snapshot was sent, and the server does not hold the snapshot keys that root asks for; "
                "publish with the snapshot key, or hand the role to the server (notary key rotate GUN snapshot -r)",
                missing=SNAPSHOT,
            )
        entries = self._previous_entries() | self._seen(targets)
        expires = self.now_ns + self.lifetimes.snapshot * SECOND
        return generate.next_snapshot(self.gun, entries, self._following(SNAPSHOT, keys), expires, keys)

    def _previous_entries(self) -> dict[RoleName, FileMeta]:
        """What the stored snapshot lists, but targets as it is stored: an old server may have listed another.

        If there is a stored snapshot that cannot be read, all that is known to be stored is listed instead:
        a file too many harms nobody, a missing one would be lost.
        """
        stored = self.stored.get(SNAPSHOT)
        try:
            entries = {} if stored is None else generate.kept_entries(stored.snapshot().body)
        except ParseError:
            entries = {
                role: FileMeta({"sha256": bytes.fromhex(summary.sha256)}, summary.length)
                for role, summary in self.state.latest.items()
                if generate.listable(role)
            }
        # Not looked at if it is replaced: it may be large.
        if TARGETS in self.stored and TARGETS not in self.uploaded:
            actual = self.stored[TARGETS].meta
            if not generate.matches(entries.get(TARGETS, FileMeta()), actual):
                entries[TARGETS] = actual
        return entries

    def _seen(self, targets: Mapping[RoleName, Trusted[Targets]]) -> dict[RoleName, FileMeta]:
        """How every file is listed that this upload has made us look at."""
        return {role: self._latest(role).meta for role in (ROOT, *targets)}

    def _latest(self, role: RoleName) -> Document:
        return self.uploaded[role] if role in self.uploaded else self.stored[role]

    # 3.5
    def _next_timestamp(self, root: Root) -> NextTimestamp:
        self._refuse_misuse(root)
        keys = online.signers(self.gun, root, TIMESTAMP, self.held)
        if not keys:
            raise invalid(
                "ErrBadRoot",
                "the server does not hold the timestamp keys that root asks for; "
                "publish a root that lists its key (notary key rotate GUN timestamp -r)",
            )
        expires = self.now_ns + self.lifetimes.timestamp * SECOND
        return NextTimestamp(self.gun, self._following(TIMESTAMP, keys), expires, keys)

    def _refuse_misuse(self, root: Root) -> None:
        """A stored root that lists server keys wrongly does no harm, as they do not sign then; a new one may not."""
        reason = online.misuse(self.gun, root, self.held) if ROOT in self.uploaded else None
        if reason is not None:
            raise invalid("ErrBadRoot", reason)

    def _following(self, role: RoleName, keys: tuple[HeldKey, ...]) -> int:
        try:
            return generate.following(self.state, role, keys)
        except VersionsExhaustedError as error:
            raise invalid("ErrValidation", str(error)) from None

    # 3.6
    def _newer(self, accepted: Sequence[Accepted]) -> Iterator[NewFile]:
        for file in accepted:
            upload = self.uploaded[file.parsed.role]
            sha256 = Sha256Hex(upload.meta.hashes["sha256"].hex())
            new = NewFile(upload.role, file.body.version, upload.data, sha256)
            stored = self.state.latest.get(new.role)
            if stored is not None and stored.version >= new.version:
                raise conflict(new, stored)
            yield new

    # 3.7 What Notary's server never looked at: that all of it together can be read afterwards.
    def _check_whole(
        self,
        root: Root,
        targets: Mapping[RoleName, Trusted[Targets]],
        snapshot: Trusted[Snapshot] | None,
    ) -> None:
        if snapshot is not None:
            self._check_listed(snapshot.body)
        if ROOT in self.uploaded and TARGETS not in targets:
            try:
                verify_targets(root, self.stored[TARGETS])
            except BadTargetsError as error:
                raise invalid(
                    "ErrBadRoot",
                    f"under the new root the published targets cannot be used ({error}); publish both together",
                ) from None

    def _check_listed(self, snapshot: Snapshot) -> None:
        if len(snapshot.meta) > MAX_LISTED:
            raise invalid("ErrBadSnapshot", f"the snapshot lists more than {MAX_LISTED} files")
        for name, entry in snapshot.meta.items():
            role = RoleName(name)
            file = self.uploaded.get(role, self.stored.get(role)) if generate.listable(name) else None
            if file is None:
                raise invalid(
                    "ErrBadSnapshot", f"the snapshot lists {name}, which is neither sent nor published"
                )
            # Files are found by their SHA-256: one that is listed without it could not be read.
            if "sha256" not in entry.hashes or not generate.matches(entry, file.meta):
                raise invalid(
                    "ErrBadSnapshot",
                    f"the snapshot does not list the latest {name}, or gives a wrong hash or length; run publish again",
                )
