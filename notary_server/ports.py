"""What the operations need from the outside, with each contract in prose."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from .tuf.model import FileSummary, HeldKey, NewFile, Signature, SigningOrder, TrustState
from .tuf.names import Gun, KeyId, RoleName, Sha256Hex


@dataclass(frozen=True, slots=True)
class StoredFile:
    """One stored version of a role: the bytes exactly as received, times in UTC (aware)."""

    role: RoleName
    version: int
    sha256: Sha256Hex
    data: bytes
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Change:
    """One changefeed record (PROTOCOL.md, 14). `category` is `update` or `deletion`."""

    id: int
    created_at: datetime
    gun: str
    version: int
    sha256: str
    category: str


@dataclass(frozen=True, slots=True)
class Repository:
    """One stored GUN as an operator lists it: the latest file of every role, number of stored rows, bytes."""

    gun: Gun
    latest: Mapping[RoleName, FileSummary]
    rows: int
    size: int


@dataclass(frozen=True, slots=True)
class KeyChange:
    """What a new root does to the server's keys. Times are ns since 1970-01-01T00:00:00Z.

    Attributes:
        listed: those that it lists for the online roles; none of them is to be retired.
        dropped: those that only the root before it listed.
        due_ns: when these are to be retired.
    """

    listed: frozenset[KeyId]
    dropped: frozenset[KeyId]
    now_ns: int
    due_ns: int


class MetadataStore(Protocol):
    """Where metadata lives. All methods raise `StoreUnavailable` when the database cannot answer."""

    async def current(self, gun: Gun, role: RoleName) -> StoredFile | None:
        """The current file of a role, as one consistent look at the GUN gives it.

        Timestamp: the highest stored version. Snapshot: the one whose SHA-256 the current timestamp lists.
        Others: the one whose SHA-256 the current snapshot lists. None if there is none. MUST see every
        commit that was acknowledged, by any instance, before the call.
        """

    async def current_pair(self, gun: Gun) -> tuple[StoredFile | None, StoredFile | None]:
        """The current timestamp and the snapshot it lists, as one look gives them."""

    async def by_checksum(self, gun: Gun, role: RoleName, sha256: Sha256Hex) -> StoredFile | None:
        """The file of exactly that GUN, role and digest. MUST NOT serve another GUN's or a deleted file."""

    async def by_version(self, gun: Gun, role: RoleName, version: int) -> StoredFile | None:
        """The file of exactly that GUN, role and version."""

    async def trust_state(self, gun: Gun, roles: Collection[RoleName]) -> TrustState:
        """Root, targets, snapshot, timestamp and `roles` in their latest version, and a summary of all roles."""

    async def commit(
        self, state: TrustState, files: Sequence[NewFile], keys: KeyChange | None = None
    ) -> None:
        """Store `files` and one changefeed record for the one timestamp among them, all or nothing, durably.

        With a root among the files, `keys` says what it does to the server's keys: it is noted for `Retirements`.

        Happens if and only if the GUN's latest timestamp (version and SHA-256) is still that of `state`
        (or still absent) and no stored version of any file's role is as high as the file's.
        MUST serialise with every other commit and delete of the GUN.

        Raises:
            HeadMoved: another writer was first, or a key of `keys.listed` is just being retired; nothing was stored.
        """

    async def delete(self, gun: Gun, *, keys_due_ns: int = 0) -> bool:
        """Remove every file of exactly this GUN; True, and a changefeed record, if there was any.

        The keys that its roots list for the online roles are noted for `Retirements` with it, due at `keys_due_ns`.
        """

    async def put_away_root(self, gun: Gun) -> bytes | None:
        """The newest root of a repository that an operator has put away; None if none is."""

    async def root_is_put_away(self, gun: Gun, sha256: Sha256Hex) -> bool:
        """Whether the root with that digest is one that an operator has put away."""

    async def changes(self, gun: Gun | None, change_id: int, records: int) -> list[Change]:
        """Records oldest first; all repositories if `gun` is None.

        `records` > 0: the first ones with id > `change_id`. `records` < 0: the last ones with
        id < `change_id`, or of all if `change_id` <= 0. `records` is never 0 and already bounded.
        A consumer that asks again with the last id it saw MUST never miss a record, also while many
        writers commit at once.
        """

    async def repositories(self, prefix: str = "") -> list[Repository]:
        """All stored GUNs that begin with `prefix`, by name."""

    async def ping(self) -> None:
        """Return if the table `tuf_files` can be read, else raise `StoreUnavailable`."""


@dataclass(frozen=True, slots=True)
class Signed:
    """When a repository was last signed, as a page of `Renewals` tells.

    Attributes:
        stored_ns: when its latest timestamp was stored, in nanoseconds since 1970-01-01T00:00:00Z; None if it has
            none, or the row does not say.
        holder: who renews it at the moment; empty if it rests; None if neither.
    """

    gun: Gun
    stored_ns: int | None
    holder: str | None


class Renewals(Protocol):
    """Which repositories were signed how long ago, and leases on renewing them. Times are ns since 1970-01-01T00:00:00Z.

    A lease saves work only: what keeps two renewals from being stored is `MetadataStore.commit`. All methods raise
    `StoreUnavailable` when the database cannot answer.
    """

    async def page(self, after: str, size: int) -> Sequence[Signed]:
        """The `size` repositories that follow `after` in the database's own order; fewer at the end.

        Costs the same however many versions are stored, and reads no metadata. The first page follows "".
        """

    async def take(self, gun: Gun, holder: str, until_ns: int) -> bool:
        """Whether `holder` now has the lease; False if another has, or the repository rests."""

    async def release(self, gun: Gun, holder: str) -> None:
        """Give the lease back; nothing if it is not `holder`'s."""

    async def rest(self, gun: Gun, holder: str, until_ns: int) -> None:
        """Give the lease back, and let nobody take it before `until_ns`."""

    async def sweep_out(self, now_ns: int) -> None:
        """Remove every lease and rest that has ended, also of those who died."""


@dataclass(frozen=True, slots=True)
class Retirement:
    """A key to be retired. `tries`: how often the signer refused so far."""

    gun: Gun
    key_id: KeyId
    tries: int


class Retirements(Protocol):
    """Keys that no root lists any more, until the signer has retired them. Times are ns since 1970-01-01T00:00:00Z.

    A key that is taken is kept out of every new root of its GUN until it is given back, settled, or the time is over
    (`MetadataStore.commit`). All methods raise `StoreUnavailable` when the database cannot answer.
    """

    async def due(self, now_ns: int, size: int) -> Sequence[Retirement]:
        """Up to `size` that are due and that nobody has taken, those due longest first."""

    async def take(self, key: Retirement, holder: str, now_ns: int, until_ns: int) -> bool:
        """Whether `holder` may retire it now.

        False if another has it, or if the current root of its GUN lists it: it is in use again, and due no more.
        MUST serialise with every commit and delete of the GUN.
        """

    async def settle(self, key: Retirement, holder: str) -> None:
        """The signer has said that it signs no more; nothing if it is not `holder`'s."""

    async def give_back(self, key: Retirement, holder: str) -> None:
        """The signer could not be asked; nothing if it is not `holder`'s."""

    async def postpone(self, key: Retirement, holder: str, due_ns: int) -> None:
        """The signer refused; try again at `due_ns`. Nothing if it is not `holder`'s."""


class RemoteSigner(Protocol):
    """The process that holds the online keys. "Held", "unknown" and "could not ask" are three answers.

    All methods raise `SignerUnavailable` when the signer cannot be asked within the deadline,
    and `SignerRefused` when it was asked and said no for another reason than not knowing the key.
    """

    async def create_key(self, gun: Gun, role: RoleName, algorithm: str) -> HeldKey:
        """The unused key of that GUN, role and algorithm if there is one, else a new one.

        "Unused": has never signed. So the same key comes back until it has signed something.
        `algorithm` is `ecdsa`, `rsa` or `ed25519`.
        """

    async def describe_keys(self, key_ids: Collection[KeyId]) -> dict[KeyId, HeldKey]:
        """Those of `key_ids` that the signer holds, whatever GUN they were made for; others are absent."""

    async def sign(self, order: SigningOrder) -> tuple[Signature, ...]:
        """One signature over `order.payload` by each of `order.keys`, in their order.

        `KeyGone`, a kind of `SignerRefused`, when one of them is no longer held: `describe_keys` knows it from then on.
        """

    async def retire_key(self, gun: Gun, key_id: KeyId) -> bool:
        """Have a key sign no more, for good; may be repeated. False if there is no such key, or it is not `gun`'s."""

    async def ping(self) -> None:
        """Return if the signer is ready to sign; of several, if one is."""


class Clock(Protocol):
    """The time, so that tests may set it."""

    def now_ns(self) -> int:
        """Nanoseconds since 1970-01-01T00:00:00Z."""
