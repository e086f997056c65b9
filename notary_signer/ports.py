"""What the signer's operations need from the outside, with each contract in prose."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal, Protocol

from notary_common.wire import Algorithm, KeyState, OnlineRole

Keeping = Literal["wrapped", "resident"]
"""`wrapped`: the registry has the private key, encrypted under the token's key-encryption key (KEK).
`resident`: the key is an object of the token, found by its key ID."""

Dialect = Literal["notary", "tuf-1.0"]
"""Of the metadata that a key signs."""

AES_KWP: Final = "AES256-KWP"
"""AES key wrap with padding (RFC 5649) under a KEK of 256 bits."""


@dataclass(frozen=True, slots=True)
class PrivatePart:
    """How to get at a private key through the token.

    Attributes:
        keeping: where the key is.
        kek_label: label of the KEK that wrapped it; empty for a resident key.
        blob: the wrapped key; empty for a resident key, and once it is destroyed.
        keywrap: how it was wrapped; says nothing of a resident key.
    """

    keeping: Keeping
    kek_label: str
    blob: bytes = field(repr=False)
    keywrap: str = AES_KWP


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that the token just made. `public` is as in `notary_common.wire.Key`."""

    key_id: str
    algorithm: Algorithm
    public: bytes
    private: PrivatePart


def key_state(
    last_used: datetime | None, retired_at: datetime | None, destroyed_at: datetime | None
) -> KeyState:
    """`pending` until the first signature, then `active`; `retired`, and at last `destroyed`, for good."""
    if destroyed_at is not None:
        return "destroyed"
    if retired_at is not None:
        return "retired"
    return "pending" if last_used is None else "active"


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """One row of the registry, times in UTC (aware).

    Attributes:
        last_used: when the key signed last, to the minute or so; None if it has never signed.
        deleted_at: when the key was retired, or None.
        destroyed_at: when its private half was destroyed, or None.
        highest_version: of all it has signed; None if none, or none since this is noted.
        dialect: what it signs for good; None before its first signature.
    """

    key_id: str
    algorithm: Algorithm
    public: bytes
    private: PrivatePart
    gun: str
    role: OnlineRole
    last_used: datetime | None
    deleted_at: datetime | None
    destroyed_at: datetime | None = None
    highest_version: int | None = None
    dialect: Dialect | None = None

    @property
    def state(self) -> KeyState:
        """What it may still do."""
        return key_state(self.last_used, self.deleted_at, self.destroyed_at)


Noting = Literal["noted", "rollback", "gone"]
"""The version is on disk; a higher one was signed, or in another dialect; the key is retired or not held."""


class KeyRegistry(Protocol):
    """The records of all keys. All methods raise `RegistryUnavailable` when the database cannot answer.

    Nothing is remembered between calls: what one signer process did, or an operator's command, every other sees
    at its next call. Rows that another program made (Notary's own signer encrypts keys under a passphrase) are
    not seen.
    """

    async def unused(self, gun: str, role: OnlineRole, algorithm: Algorithm) -> KeyRecord | None:
        """The oldest key made for exactly that which is neither used nor retired.

        Who is given it may take days to use it: from now on it counts as fresh for `KeyCatalogue.abandoned`.
        """

    async def add_unless_unused(self, key: NewKey, gun: str, role: OnlineRole) -> KeyRecord:
        """Store `key` durably, or return the unused key if another one is there by now.

        MUST serialise with every other call for the same GUN, role and algorithm, of any process: they
        all return the same record until it is used or retired. `key` was stored if and only if the
        record has its ID.
        """

    async def get(self, key_id: str) -> KeyRecord | None:
        """The record of a key, retired or not."""

    async def describe(self, key_ids: list[str]) -> list[KeyRecord]:
        """The records of those of `key_ids` that are held and not retired."""

    async def note_version(self, key_id: str, version: int, dialect: Dialect = "notary") -> Noting:
        """Make `version` the highest that the key has signed, and now the time of its last use, durably; with its first
        use `dialect` becomes the key's.

        MUST be one comparison and change with respect to every other call for the key, of any process on any
        machine: nothing is done if a higher version was noted or another dialect, or the key was retired. The same version again
        is fine: a publish whose commit lost the race is planned anew, often with the version it had.
        """

    async def retire(self, key_id: str) -> None:
        """Set `deleted_at` to now, durably, unless it is set."""

    async def newest_kek(self, labels: list[str]) -> str:
        """The last of `labels` (one at least) that any key was ever wrapped under; the first if none was."""

    async def ping(self) -> None:
        """Return if the table can be read, else raise `RegistryUnavailable`."""


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """What an operator sees of one row, times in UTC (aware); of a foreign one no times.

    Attributes:
        state: `foreign` is a key of Notary's own signer, which this one cannot use.
        keeping: None for a foreign one.
        activated_at: of the first signature; None also where that was before this was noted.
    """

    key_id: str
    gun: str
    role: str
    algorithm: str
    state: KeyState | Literal["foreign"]
    keeping: Keeping | None
    kek_label: str
    keywrap: str
    highest_version: int | None
    created_at: datetime | None
    activated_at: datetime | None
    last_used: datetime | None
    retired_at: datetime | None
    destroyed_at: datetime | None


class KeyCatalogue(Protocol):
    """The records as operators and the collection of unused keys need them. Raises as `KeyRegistry`."""

    async def entries(self, key_id_prefix: str = "", gun_prefix: str = "") -> list[KeyEntry]:
        """All rows whose key ID and GUN begin so, foreign ones too, in the order of their making."""

    async def abandoned(self, before: datetime, limit: int) -> list[KeyRecord]:
        """At most so many keys that never signed and of which nobody heard since `before`; not destroyed ones."""

    async def retire_abandoned(self, key_id: str, before: datetime) -> bool:
        """Retire a key that is still as `abandoned` said, in one comparison and change; whether it was."""

    async def destroy(self, key_id: str, before: datetime) -> bool:
        """Overwrite the private half of a key that was retired at or before `before`; whether that was done now."""

    async def wrapped_otherwise(
        self, algorithm: Algorithm, kek_label: str, keywrap: str, after: str, limit: int
    ) -> list[KeyRecord]:
        """At most so many keys of `algorithm` with an ID above `after`, in their order, not wrapped exactly so."""

    async def swap(self, key_id: str, old: PrivatePart, new: PrivatePart) -> bool:
        """Replace one wrapped form of a key by another, in one comparison and change; False if `old` is not there."""

    async def kek_uses(self) -> dict[tuple[Algorithm, str, str], int]:
        """How many keys there are of each algorithm, KEK label and way of wrapping, retired ones too."""


class Token(Protocol):
    """The PKCS#11 token. All methods raise `TokenUnavailable` when it does not answer within its deadline,
    and `TokenFault` when it works but cannot do what is asked."""

    async def generate(self, algorithm: Algorithm, label: str, kek_label: str | None = None) -> NewKey:
        """Make a key pair inside the token.

        Args:
            algorithm: of the pair.
            label: tells operators what a resident key is for.
            kek_label: the KEK that wraps it, unless it is resident; None: the newest that the token has.
        """

    async def keks(self) -> list[str]:
        """The labels of its KEKs that may guard keys, the newest last."""

    async def sign(self, key_id: str, algorithm: Algorithm, private: PrivatePart, payload: bytes) -> bytes:
        """The signature over `payload` (hashing included) as Notary metadata carries it."""

    async def discard(self, key: NewKey) -> None:
        """Forget a key that nobody will use; a resident one is destroyed in the token."""

    async def destroy(self, key: KeyRecord) -> None:
        """Destroy a resident key for good; nothing if the token does not hold it (any more), or it is a wrapped one."""

    async def ping(self) -> None:
        """Return if the token has just signed with a key that went through its KEK."""


class KekStore(Protocol):
    """The key-encryption keys of a token, by label: `notary-kek-1`, `notary-kek-2`, ... Raises as `Token`.

    New keys are wrapped under the newest that wraps a key of the registry already (`KeyRegistry.newest_kek`): one that
    was only brought into the token may not be in the other signers' tokens yet.
    """

    async def keks(self) -> list[str]:
        """See `Token.keks`."""

    async def keywraps(self) -> dict[Algorithm, str]:
        """How keys of each algorithm are wrapped now; those that the token keeps resident are absent."""

    async def make_kek(self, label: str) -> None:
        """Make one that does not exist yet."""

    async def destroy_kek(self, label: str) -> None:
        """Destroy one: whatever is still wrapped under it is lost for ever."""

    async def rewrap(self, key: KeyRecord, kek_label: str) -> PrivatePart:
        """The key wrapped anew, after what was wrapped has been unwrapped again and has signed for `key.public`."""


AuditOutcome = Literal["begun", "done", "refused", "failed"]
"""`begun` comes before an effect that cannot be held back until its record is durable; one of the others follows it,
unless the process died in between."""


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """What the audit log says of one act. Never key material, a PIN or a payload.

    Attributes:
        actor: the client's identity, or `operator:` and the name of the user who ran a command.
        action: `create_key`, `sign`, `retire_key`, and what commands do: `destroy_key`, `rewrap_key`, ...
        reason: why it was refused or failed, in the signer's own words; empty if it was done.
        gun, role, key_id, version, payload_sha256: what it was about, as far as that is known.
    """

    actor: str
    action: str
    outcome: AuditOutcome
    request_id: str = ""
    reason: str = ""
    gun: str = ""
    role: str = ""
    key_id: str = ""
    version: int | None = None
    payload_sha256: str = ""


class AuditLog(Protocol):
    """An append-only record of all acts, each entry chained to the one before by its hash."""

    async def append(self, event: AuditEvent) -> None:
        """Return when the entry is durable.

        Raises:
            AuditUnavailable: it cannot be written; the act it is about must not have an effect.
        """

    async def ping(self) -> None:
        """Return if the last entry could be written, or one can be again, else raise `AuditUnavailable`."""


class Journal(Protocol):
    """The audit log in the hands of one actor: an operator's command, or the signer itself."""

    async def append(self, action: str, outcome: AuditOutcome = "done", **about: Any) -> None:
        """Append an entry; `about`: further members of `AuditEvent`. Raises as `AuditLog.append`."""
