"""The signer's errors: a small closed tree. Each class names its wire code and HTTP status.

Texts are read by operators in logs and by the trust server: they never hold payloads, PINs, key material
or the words of a foreign exception.
"""

from __future__ import annotations

from typing import ClassVar

from notary_common.wire import ErrorCode


class StartRefused(Exception):
    """The signer cannot start as configured; the text says what is wrong and what to do."""


class SignerError(Exception):
    """Base of every error that the signer answers with; `message` is one sentence for people."""

    code: ClassVar[ErrorCode] = "INTERNAL"
    status: ClassVar[int] = 500

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class BadRequest(SignerError):
    """The body or the address cannot be understood."""

    code = "BAD_REQUEST"
    status = 400


class KeyUnknown(SignerError):
    """The signer holds no key of that ID."""

    code = "KEY_UNKNOWN"
    status = 404


class KeyRefused(SignerError):
    """Policy says no: another GUN or role, an unfit payload, or a retired key."""

    code = "KEY_REFUSED"
    status = 403


class ClientRefused(SignerError):
    """The client's certificate names nobody who may do that."""

    code = "CLIENT_REFUSED"
    status = 403


class TooManyKeys(SignerError):
    """This client made too many keys in too short a time; waiting is the remedy.

    Attributes:
        retry_after: seconds until it may make another one.
    """

    code = "TOO_MANY_KEYS"
    status = 429

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Unavailable(SignerError):
    """Something the signer depends on cannot be asked right now; waiting is the remedy."""

    code = "TOKEN_UNAVAILABLE"
    status = 503


class TokenUnavailable(Unavailable):
    """The PKCS#11 token is gone, locked, overloaded or too slow."""


class RegistryUnavailable(Unavailable):
    """The database of key records cannot be reached or refuses to work."""


class AuditUnavailable(Unavailable):
    """The audit log cannot be written; nothing is signed or changed without its record."""


class TokenFault(SignerError):
    """The token works but could not do this: a damaged wrapped key, an algorithm it lacks, a wrong signature."""
