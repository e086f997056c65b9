"""Decide on a publish: is this upload acceptable for this repository now, and what must be signed next?

The rules are those of PROTOCOL.md, 9 to 13, with the sound answers of its part 24. The same steps, with the
same numbers, stand in docs/design/publish-cycle.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .model import HeldKey, NewFile, SigningOrder, TrustState, Upload
from .names import Gun, KeyId, RoleName


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
    """

    files: tuple[NewFile, ...]
    snapshot: SigningOrder | None

    def timestamp(self, snapshot: bytes) -> SigningOrder:
        """The timestamp over `snapshot`, the bytes as sealed (or as uploaded by the client)."""
        raise NotImplementedError


def needed_roles(uploads: Sequence[Upload]) -> frozenset[RoleName]:
    """The stored roles that deciding needs besides the base roles: uploaded ones and their ancestors."""
    raise NotImplementedError


def online_keys(state: TrustState, uploads: Sequence[Upload]) -> frozenset[KeyId]:
    """The key IDs (as computed) that the signer must be asked about before `plan` can decide.

    Never raises on a bad upload: what cannot be read names no keys, and `plan` says why it is refused.
    """
    raise NotImplementedError


def plan(
    gun: Gun,
    state: TrustState,
    uploads: Sequence[Upload],
    held: Mapping[KeyId, HeldKey],
    now_ns: int,
    lifetimes: Lifetimes,
) -> PublishPlan:
    """Decide on an upload whose parts already passed `parse.check_part` one by one.

    Raises:
        InvalidUpdate: a rule is broken; `name` says whose.
        VersionConflict: a stored version of a role is not lower.
    """
    raise NotImplementedError
