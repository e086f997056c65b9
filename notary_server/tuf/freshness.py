"""What of the server-signed roles is due for renewal at a given time, and what must be signed to renew it.

Neither root's `expires` nor the dates of its certificates matter here: clients judge those by themselves, and
verifiers that pin keys need fresh timestamps beyond them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from .generate import (
    NextTimestamp,
    VersionsExhaustedError,
    describe,
    following,
    kept_entries,
    next_snapshot,
)
from .instant import SECOND
from .model import HeldKey, SigningOrder, TrustState
from .names import ROOT, SNAPSHOT, TIMESTAMP, Gun, KeyId, RoleName
from .online import signers
from .parse import ParseError, parse_root, parse_snapshot, parse_timestamp
from .publish import Lifetimes

SPREAD: Final = 8
"""Renewals ahead of time are spread over this part of a lifetime: over 42 hours of a fortnight's timestamps, so that a
hundred thousand that were signed together are renewed at less than one a second."""
_SHARES: Final = 2**32


@dataclass(frozen=True, slots=True)
class Horizon:
    """Until when the files must be valid, in nanoseconds since 1970-01-01T00:00:00Z; what expires earlier is due."""

    timestamp: int
    snapshot: int

    @classmethod
    def now(cls, now_ns: int) -> Horizon:
        """Due is what has expired."""
        return cls(now_ns, now_ns)

    @classmethod
    def ahead(cls, gun: Gun, now_ns: int, lifetimes: Lifetimes) -> Horizon:
        """Due is what has lived for half of its life, and a while that depends on the GUN alone."""
        share = int.from_bytes(hashlib.sha256(gun.encode(errors="surrogatepass")).digest()[:4], "big")

        def left(lifetime: int) -> int:
            whole = lifetime * SECOND
            return whole // 2 - whole * share // (_SHARES * SPREAD)

        return cls(now_ns + left(lifetimes.timestamp), now_ns + left(lifetimes.snapshot))


@dataclass(frozen=True, slots=True)
class RenewalPlan:
    """What must be signed to renew a repository; nothing of it exists yet.

    Attributes:
        snapshot: the snapshot that must be signed first, None if the stored one stays.
        current: the bytes of the stored snapshot.
        next_timestamp: the timestamp to be signed in any case, as yet without its snapshot.
    """

    snapshot: SigningOrder | None
    current: bytes
    next_timestamp: NextTimestamp

    def timestamp(self, snapshot: bytes | None = None) -> SigningOrder:
        """The timestamp over `snapshot`, the bytes as sealed; over the stored one if None was made."""
        return self.next_timestamp.over(self.current if snapshot is None else snapshot)


def due(timestamp: bytes, snapshot: bytes, horizon: Horizon) -> frozenset[RoleName]:
    """Which of the current timestamp and snapshot, given as stored, must be renewed.

    A due snapshot asks for a new timestamp too, whether that is due or not. A file that cannot be read is served as it
    is: nothing is due.
    """
    try:
        snapshot_ends = parse_snapshot(snapshot).body.expires
        timestamp_ends = parse_timestamp(timestamp).body.expires
    except ParseError:
        return frozenset()
    ends = ((TIMESTAMP, timestamp_ends, horizon.timestamp), (SNAPSHOT, snapshot_ends, horizon.snapshot))
    return frozenset(role for role, end, needed in ends if end < needed)


def renewal(
    gun: Gun,
    state: TrustState,
    held: Mapping[KeyId, HeldKey],
    now_ns: int,
    lifetimes: Lifetimes,
    horizon: Horizon,
) -> RenewalPlan | None:
    """How to renew what is due; None if nothing is, or if the server cannot: then what is stored is served.

    `held` is the signer's answer about `publish.online_keys(state, ())`. A due snapshot that the server
    cannot sign stays, as its owner alone can replace it; the timestamp over it is renewed all the same.
    """
    stored_root, snapshot, timestamp = (state.files.get(role) for role in (ROOT, SNAPSHOT, TIMESTAMP))
    if stored_root is None or snapshot is None or timestamp is None:
        return None
    wanted = due(timestamp, snapshot, horizon)
    if not wanted:
        return None
    try:
        root = parse_root(stored_root).body
        expires = now_ns + lifetimes.timestamp * SECOND
        keys = signers(gun, root, TIMESTAMP, held)
        next_timestamp = NextTimestamp(gun, following(state, TIMESTAMP, keys), expires, keys)
        snapshot_keys = signers(gun, root, SNAPSHOT, held) if SNAPSHOT in wanted else ()
        version = following(state, SNAPSHOT, snapshot_keys) if snapshot_keys else 0
    except (ParseError, VersionsExhaustedError):
        return None
    if not keys:
        return None
    if snapshot_keys:
        entries = kept_entries(parse_snapshot(snapshot).body) | {ROOT: describe(stored_root)}
        expires = now_ns + lifetimes.snapshot * SECOND
        order = next_snapshot(gun, entries, version, expires, snapshot_keys)
        return RenewalPlan(order, snapshot, next_timestamp)
    return RenewalPlan(None, snapshot, next_timestamp) if TIMESTAMP in wanted else None
