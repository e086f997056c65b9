"""What of the server-signed roles of a TUF 1.0 repository is due for renewal, and what must be signed to renew it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..tuf.freshness import Horizon
from ..tuf.generate import VersionsExhaustedError, following
from ..tuf.model import HeldKey, TrustState
from ..tuf.names import ROOT, SNAPSHOT, TIMESTAMP, KeyId, RoleName
from ..tuf.publish import Lifetimes
from . import generate
from .file import BadFileError, StandardFile
from .generate import NextTimestamp, StandardOrder
from .online import signers


@dataclass(frozen=True, slots=True)
class StandardRenewal:
    """What must be signed to renew a repository; nothing of it exists yet.

    Attributes:
        snapshot: the snapshot that must be signed first, None if the stored one stays.
        current: the bytes of the stored snapshot.
        next_timestamp: the timestamp to be signed in any case, as yet without its snapshot.
    """

    snapshot: StandardOrder | None
    current: bytes
    next_timestamp: NextTimestamp

    def timestamp(self, snapshot: bytes) -> StandardOrder:
        """The timestamp over `snapshot`, the bytes as sealed or stored."""
        return self.next_timestamp.over(snapshot)


def expiries(timestamp: bytes, snapshot: bytes) -> tuple[int, int] | None:
    """When the two expire, in nanoseconds since 1970-01-01T00:00:00Z; None if they cannot be read."""
    try:
        ends = [
            StandardFile(role, data).metadata.signed.expires
            for role, data in ((TIMESTAMP, timestamp), (SNAPSHOT, snapshot))
        ]
    except BadFileError:
        return None
    return generate.instant(ends[0]), generate.instant(ends[1])


def due(timestamp: bytes, snapshot: bytes, horizon: Horizon) -> frozenset[RoleName]:
    """Which of the two must be renewed, as `tuf.freshness.due`."""
    ends = expiries(timestamp, snapshot)
    if ends is None:
        return frozenset()
    late = ((TIMESTAMP, ends[0], horizon.timestamp), (SNAPSHOT, ends[1], horizon.snapshot))
    return frozenset(role for role, end, needed in late if end <= needed)


def renewal(
    state: TrustState,
    held: Mapping[KeyId, HeldKey],
    now_ns: int,
    lifetimes: Lifetimes,
    horizon: Horizon,
) -> StandardRenewal | None:
    """How to renew what is due; None if nothing is, or if the server cannot: then what is stored is served.

    `held` is the signer's answer about the `online_keys` of the stored root.
    """
    files = {role: state.files.get(role) for role in (ROOT, SNAPSHOT, TIMESTAMP)}
    if any(data is None for data in files.values()):
        return None
    root, snapshot, timestamp = (StandardFile(role, data or b"") for role, data in files.items())
    wanted = due(timestamp.data, snapshot.data, horizon)
    if not wanted:
        return None
    try:
        timestamp_keys = signers(state.gun, root.root(), TIMESTAMP, held)
        snapshot_keys = signers(state.gun, root.root(), SNAPSHOT, held)
        if not timestamp_keys or not (snapshot_keys or SNAPSHOT not in wanted):
            return None
        order, version = None, snapshot.version
        if SNAPSHOT in wanted:
            version = following(state, SNAPSHOT, [key.held for key in snapshot_keys])
            expires = generate.following_expiry(now_ns, lifetimes.snapshot)
            order = generate.next_snapshot(
                state.gun, snapshot.snapshot().meta, version, expires, snapshot_keys
            )
        expires = generate.following_expiry(now_ns, lifetimes.timestamp)
        following_timestamp = following(state, TIMESTAMP, [key.held for key in timestamp_keys])
    except (BadFileError, VersionsExhaustedError):
        return None
    next_timestamp = NextTimestamp(state.gun, following_timestamp, expires, timestamp_keys, version)
    return StandardRenewal(order, snapshot.data, next_timestamp)
