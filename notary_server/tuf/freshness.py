"""What of the server-signed roles is due for renewal at a given time, and what must be signed to renew it.

Neither root's `expires` nor the dates of its certificates matter here: clients judge those by themselves, and
verifiers that pin keys need fresh timestamps beyond them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

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
from .names import ROOT, SNAPSHOT, TIMESTAMP, Gun, KeyId
from .online import signers
from .parse import ParseError, parse_root, parse_snapshot, parse_timestamp
from .publish import Lifetimes


class Due(Enum):
    """What has expired. `SNAPSHOT` asks for a new timestamp too, whether that has expired or not."""

    NOTHING = "nothing"
    TIMESTAMP = "timestamp"
    SNAPSHOT = "snapshot"


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


def due(timestamp: bytes, snapshot: bytes, now_ns: int) -> Due:
    """What has expired of the current timestamp and snapshot, given as stored; `now_ns` since 1970-01-01T00:00:00Z.

    A file that cannot be read is served as it is: nothing is due.
    """
    try:
        snapshot_ends = parse_snapshot(snapshot).body.expires
        timestamp_ends = parse_timestamp(timestamp).body.expires
    except ParseError:
        return Due.NOTHING
    if snapshot_ends < now_ns:
        return Due.SNAPSHOT
    return Due.TIMESTAMP if timestamp_ends < now_ns else Due.NOTHING


def renewal(
    gun: Gun, state: TrustState, held: Mapping[KeyId, HeldKey], now_ns: int, lifetimes: Lifetimes
) -> RenewalPlan | None:
    """How to renew what is due; None if nothing is, or if the server cannot: then what is stored is served.

    `held` is the signer's answer about `publish.online_keys(state, ())`. An expired snapshot that the server
    cannot sign stays, as its owner alone can replace it; the timestamp over it is renewed all the same.
    """
    stored_root, snapshot, timestamp = (state.files.get(role) for role in (ROOT, SNAPSHOT, TIMESTAMP))
    if stored_root is None or snapshot is None or timestamp is None:
        return None
    wanted = due(timestamp, snapshot, now_ns)
    if wanted is Due.NOTHING:
        return None
    try:
        root = parse_root(stored_root).body
        expires = now_ns + lifetimes.timestamp * SECOND
        keys = signers(gun, root, TIMESTAMP, held)
        next_timestamp = NextTimestamp(gun, following(state, TIMESTAMP), expires, keys)
        snapshot_keys = signers(gun, root, SNAPSHOT, held) if wanted is Due.SNAPSHOT else ()
        version = following(state, SNAPSHOT) if snapshot_keys else 0
    except (ParseError, VersionsExhaustedError):
        return None
    if not keys:
        return None
    if snapshot_keys:
        entries = kept_entries(parse_snapshot(snapshot).body) | {ROOT: describe(stored_root)}
        expires = now_ns + lifetimes.snapshot * SECOND
        order = next_snapshot(gun, entries, version, expires, snapshot_keys)
        return RenewalPlan(order, snapshot, next_timestamp)
    if parse_timestamp(timestamp).body.expires < now_ns:
        return RenewalPlan(None, snapshot, next_timestamp)
    return None
