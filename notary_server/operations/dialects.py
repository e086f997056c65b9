"""Renewal in the dialect of the repository, which its stored files tell."""

from __future__ import annotations

from collections.abc import Mapping

from notary_server.tuf import freshness
from notary_server.tuf.freshness import Horizon, RenewalPlan
from notary_server.tuf.model import HeldKey, TrustState
from notary_server.tuf.names import ROOT, SNAPSHOT, TIMESTAMP, KeyId, RoleName
from notary_server.tuf.parse import ParseError, parse_snapshot, parse_timestamp
from notary_server.tuf.publish import Lifetimes
from notary_server.tuf10 import freshness as standard
from notary_server.tuf10.freshness import StandardRenewal
from notary_server.tuf10.names import is_standard
from notary_server.tuf10.publish import listed_keys


def expiries(timestamp: bytes, snapshot: bytes) -> tuple[int, int] | None:
    """When the two expire, in nanoseconds since 1970-01-01T00:00:00Z; None if they cannot be read."""
    if is_standard(timestamp):
        return standard.expiries(timestamp, snapshot)
    try:
        return parse_timestamp(timestamp).body.expires, parse_snapshot(snapshot).body.expires
    except ParseError:
        return None


def due(state: TrustState, horizon: Horizon) -> frozenset[RoleName]:
    """Which of the stored timestamp and snapshot must be renewed; none if there is none."""
    timestamp, snapshot = state.files.get(TIMESTAMP), state.files.get(SNAPSHOT)
    if timestamp is None or snapshot is None:
        return frozenset()
    look = standard.due if is_standard(timestamp) else freshness.due
    return look(timestamp, snapshot, horizon)


def online_keys(state: TrustState) -> frozenset[KeyId]:
    """The keys that the signer must be asked about before `renewal` can decide."""
    root = state.files.get(ROOT)
    return frozenset() if root is None else listed_keys(root)


def renewal(
    state: TrustState, held: Mapping[KeyId, HeldKey], now_ns: int, lifetimes: Lifetimes, horizon: Horizon
) -> RenewalPlan | StandardRenewal | None:
    """How to renew what is due; None if nothing is, or if the server cannot."""
    if is_standard(state.files.get(ROOT)):
        return standard.renewal(state, held, now_ns, lifetimes, horizon)
    return freshness.renewal(state.gun, state, held, now_ns, lifetimes, horizon)
