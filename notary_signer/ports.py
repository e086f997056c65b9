"""What the signer's operations need from the outside, with each contract in prose."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal, Protocol

from notary_common.wire import Algorithm, KeyState, OnlineRole

Keeping = Literal["wrapped", "resident"]
"""`wrapped`: the registry has the private key, encrypted under the token's key-encryption key (KEK).
`resident`: the key is an object of the token, found by its key ID."""

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


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """One row of the registry, times in UTC (aware).

    Attributes:
        last_used: when the key signed last, to the minute or so; None if it has never signed.
        deleted_at: when the key was retired, or None.
    """

    key_id: str
    algorithm: Algorithm
    public: bytes
    private: PrivatePart
    gun: str
    role: OnlineRole
    last_used: datetime | None
    deleted_at: datetime | None

    @property
    def state(self) -> KeyState:
        """`retired` for good, else `pending` until the first signature, then `active`."""
        if self.deleted_at is not None:
            return "retired"
        return "pending" if self.last_used is None else "active"


class KeyRegistry(Protocol):
    """The records of all keys. All methods raise `RegistryUnavailable` when the database cannot answer.

    Rows that another program made (Notary's own signer encrypts keys under a passphrase) are not seen.
    """

    async def unused(self, gun: str, role: OnlineRole, algorithm: Algorithm) -> KeyRecord | None:
        """The oldest key made for exactly that which is neither used nor retired."""

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

    async def mark_used(self, key_id: str) -> bool:
        """Set `last_used` to now, durably; False, and nothing done, if the key is retired or gone."""

    async def retire(self, key_id: str) -> None:
        """Set `deleted_at` to now, durably, unless it is set."""

    async def ping(self) -> None:
        """Return if the table can be read, else raise `RegistryUnavailable`."""


class Token(Protocol):
    """The PKCS#11 token. All methods raise `TokenUnavailable` when it does not answer within its deadline,
    and `TokenFault` when it works but cannot do what is asked."""

    async def generate(self, algorithm: Algorithm, label: str) -> NewKey:
        """Make a key pair inside the token. `label` tells operators what a resident key is for."""

    async def sign(self, key_id: str, algorithm: Algorithm, private: PrivatePart, payload: bytes) -> bytes:
        """The signature over `payload` (hashing included) as Notary metadata carries it."""

    async def discard(self, key: NewKey) -> None:
        """Forget a key that nobody will use; a resident one is destroyed in the token."""

    async def ping(self) -> None:
        """Return if the token has just signed with a key that went through its KEK."""


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
