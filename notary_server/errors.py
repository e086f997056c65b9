"""The server's errors: a small closed tree. Each class names its Notary code and HTTP status.

Only `http/render.py` turns them into responses. Texts here are read by people at a `notary` or `docker`
prompt: they say what happened and what to do next, and never hold long hexadecimal strings (an admission
controller searches error texts for "401").
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

UpdateErrorName = Literal["ErrBadRoot", "ErrBadTargets", "ErrBadSnapshot", "ErrValidation", "ErrBadHierarchy"]
"""Names that clients turn into typed errors (PROTOCOL.md, 2)."""

Detail = str | dict[str, object] | list[object]


class NotaryError(Exception):
    """Base of every error the server can answer with.

    Attributes:
        message: one sentence for people.
        detail: the public `detail` member, None when there is none.
    """

    code: ClassVar[str] = "UNKNOWN"
    status: ClassVar[int] = 500

    def __init__(self, message: str, detail: Detail | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail

    @property
    def headers(self) -> Mapping[str, str]:
        """What the answer's header says besides."""
        return {}


def shown_by_clients(name: UpdateErrorName, message: str, missing: str | None = None) -> dict[str, object]:
    """The only `detail` shape whose text the clients in the field print (PROTOCOL.md, 2; USERS.md, 5.4)."""
    error: dict[str, object] = {"Msg": message}
    if missing is not None:
        error = {"Missing": missing, "Msg": message}
    return {"Name": name, "Error": error}


class MetadataNotFound(NotaryError):
    """No such file, repository or route."""

    code = "METADATA_NOT_FOUND"
    status = 404


class MalformedUpload(NotaryError):
    """The body is not the multipart form that it should be."""

    code = "MALFORMED_UPLOAD"
    status = 400


class NoFilename(NotaryError):
    """A part of the upload names no file."""

    code = "NO_FILENAME"
    status = 400


class InvalidRole(NotaryError):
    """A part is named after no valid role; `detail` is that name."""

    code = "INVALID_ROLE"
    status = 400


class MalformedJson(NotaryError):
    """A part is not JSON, or its common members have wrong types."""

    code = "MALFORMED_JSON"
    status = 400


class InvalidUpdate(NotaryError):
    """Validation failed. `name` is the typed error that clients rebuild from `detail`."""

    code = "INVALID_UPDATE"
    status = 400

    def __init__(self, name: UpdateErrorName, message: str, missing: str | None = None) -> None:
        super().__init__(message, shown_by_clients(name, message, missing))
        self.name = name


class VersionConflict(NotaryError):
    """A stored version of a role is not lower than the uploaded one: usually a lost race."""

    code = "VERSION"
    status = 400

    def __init__(self, message: str) -> None:
        super().__init__(message, shown_by_clients("ErrValidation", message))


class Unauthorized(NotaryError):
    """No token, or one that does not grant what the request wants; `detail` lists that.

    Attributes:
        challenge: the value of `WWW-Authenticate` (RFC 6750, 3).
        subject, issuer: whom a good token names, and who vouches for that; empty without one.
        reason: why, in a word of a closed set (`auth.token.refusal.Reason`), for metrics.
    """

    code = "UNAUTHORIZED"
    status = 401

    def __init__(
        self,
        message: str,
        challenge: str,
        detail: Detail,
        *,
        subject: str = "",
        issuer: str = "",
        reason: str = "access",
    ) -> None:
        super().__init__(message, detail)
        self.challenge = challenge
        self.reason = reason
        self.subject = subject
        self.issuer = issuer

    @property
    def headers(self) -> Mapping[str, str]:
        """Where a token can be had, and what it must grant."""
        return {"WWW-Authenticate": self.challenge}


class InvalidParameters(NotaryError):
    """A changefeed query that cannot be understood."""

    code = "INVALID_PARAMETERS"
    status = 400


class InvalidGun(NotaryError):
    """An upload to a GUN that this server does not take."""

    code = "INVALID_GUN"
    status = 400

    def __init__(self, message: str) -> None:
        super().__init__(message, shown_by_clients("ErrValidation", message))


class Unavailable(NotaryError):
    """Something this server depends on cannot be asked right now; waiting is the remedy (Retry-After)."""

    code = "UNAVAILABLE"
    status = 503
    retry_after: int = 5

    @property
    def headers(self) -> Mapping[str, str]:
        """When to try again, in seconds."""
        return {"Retry-After": str(self.retry_after)}


class TooManyRequests(NotaryError):
    """More writes than one client, or one repository, may have in a while; waiting is the remedy.

    Attributes:
        retry_after: seconds until the next one is taken.
        repeated: whether the same was said, for the same reason, a short while ago.
    """

    code = "TOOMANYREQUESTS"
    status = 429

    def __init__(self, message: str, retry_after: int, *, repeated: bool = False) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.repeated = repeated

    @property
    def headers(self) -> Mapping[str, str]:
        """When to try again, in seconds."""
        return {"Retry-After": str(self.retry_after)}


class StoreUnavailable(Unavailable):
    """The database cannot be reached or refuses to work."""


class SignerUnavailable(Unavailable):
    """The signer cannot be asked. Never to be read as "the signer does not know this key"."""


class TooManyKeys(Unavailable):
    """The signer makes no more keys for this server for now. 503, since old clients show no words for 429 either, and
    what is in front of a server knows what to do with it."""

    def __init__(self, retry_after: int | None) -> None:
        text = "too many new keys were asked for in a short time; try again later"
        super().__init__(text, text)
        if retry_after is not None:
            self.retry_after = retry_after


class SignerRefused(NotaryError):
    """The signer was asked and said no; a fault of ours or a policy, never the client's."""


class KeyGone(SignerRefused):
    """The signer no longer holds a key that it described before. Operations ask afresh and plan again."""


class VersionPassed(SignerRefused):
    """A key has signed a higher version: for another writer, for a repository of this name that was deleted, or before
    the database was restored. Operations plan again, above it."""


class HeadMoved(NotaryError):
    """Another writer committed to this GUN since it was read. Operations plan again; never rendered as is."""
