"""The signer's HTTP API as values: what both daemons agree on. The OpenAPI document describes the same.

All bodies are JSON; binary members are standard base64. Every call carries `X-Request-ID`.

    POST /v1/keys                 CreateKeyRequest   -> Key        (the unused one if there is one, else a new one)
    POST /v1/keys/describe        DescribeRequest    -> DescribeResponse
    POST /v1/keys/{key_id}/sign   SignRequest        -> SignResponse
    POST /v1/keys/{key_id}/retire RetireRequest      -> Key
    GET  /v1/keys/{key_id}                           -> Key
    GET  /v1/health                                  -> Health     (200 ready, 503 not ready)
    GET  /v1/metrics                                 -> text in the Prometheus format

Errors: {"error": {"code": ..., "message": ...}} with the codes of `ErrorCode`.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Algorithm = Literal["ecdsa", "rsa", "ed25519"]
OnlineRole = Literal["snapshot", "timestamp"]
KeyState = Literal["pending", "active", "retired", "destroyed"]
"""Made and never used; in use; signs no more; and the private half is gone too."""
ErrorCode = Literal[
    "BAD_REQUEST",  # 400: the body or the address cannot be understood
    "KEY_UNKNOWN",  # 404
    "KEY_REFUSED",  # 403: policy says no: wrong GUN, role, payload, version, or a retired key
    "CLIENT_REFUSED",  # 403: this client may not do that
    "TOO_MANY_KEYS",  # 429 with Retry-After: this client made too many keys in too short a time
    "TOKEN_UNAVAILABLE",  # 503: the token, the registry or the audit log cannot be used right now
    "INTERNAL",  # 500
]


class CreateKeyRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Ask for a key to sign `role` of `gun` with."""

    gun: str
    role: OnlineRole
    algorithm: Algorithm


class Key(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A held key. `public`: DER SubjectPublicKeyInfo, or 32 raw bytes for ed25519. Never a private half.

    `highest_version`: of what it has signed, 0 if that is nothing. The key signs no version below.
    """

    key_id: str
    algorithm: Algorithm
    public: bytes
    gun: str
    role: OnlineRole
    state: KeyState
    highest_version: int


class DescribeRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Ask which of `key_ids` are held (64 at most)."""

    key_ids: list[str]


class DescribeResponse(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Those that are held, retired ones left out; an ID that is absent is not held."""

    keys: list[Key]


class SignRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Ask for a signature over `payload`, the canonical form of a snapshot's or timestamp's `signed`, in either dialect."""

    gun: str
    role: OnlineRole
    payload: bytes


class SignResponse(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`method` as in metadata: `ecdsa` (r and s of 32 bytes each), `rsapss`, `eddsa`."""

    key_id: str
    method: str
    signature: bytes


class RetireRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Retire a key of `gun`; retiring a retired key succeeds."""

    gun: str


class Health(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whether the signer is ready, and what is wrong with each part that is not."""

    ready: bool
    problems: dict[str, str]


class ErrorBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What went wrong: a code for programs, a sentence for people."""

    code: ErrorCode
    message: str


class ErrorResponse(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of every answer that is not a success."""

    error: ErrorBody
