"""How a request for a token can fail, and what its client is told. Nothing here repeats what the client sent."""

from __future__ import annotations

from typing import Final

BAD_CREDENTIALS: Final = "incorrect user name or password"


class TokenRefused(Exception):
    """No token is given.

    Attributes:
        status: of the answer.
        code: as the distribution specification names the fault, which docker shows.
        oauth: as RFC 6749 (5.2) names it.
        reason: for the log; never sent.
    """

    status = 400
    code = "UNSUPPORTED"
    oauth = "invalid_request"

    def __init__(self, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason or message


class BadRequest(TokenRefused):
    """The request cannot be understood."""


class BadScope(TokenRefused):
    """What is asked for cannot be understood."""

    oauth = "invalid_scope"


class UnsupportedGrant(TokenRefused):
    """This service gives tokens in other ways."""

    oauth = "unsupported_grant_type"


class BadCredentials(TokenRefused):
    """Whoever asks is not who they say, as far as we know. One text for every reason."""

    status = 401
    code = "UNAUTHORIZED"
    oauth = "invalid_grant"

    def __init__(self, reason: str) -> None:
        super().__init__(BAD_CREDENTIALS, reason)


class TooManyFailures(TokenRefused):
    """This user or this address must wait.

    Attributes:
        wait: seconds.
    """

    status = 429
    code = "TOOMANYREQUESTS"
    oauth = "slow_down"

    def __init__(self, wait: int, reason: str) -> None:
        super().__init__(f"too many failed attempts; try again in {wait} seconds", reason)
        self.wait = wait


class Busy(TokenRefused):
    """More passwords wait to be checked than can be in good time."""

    status = 503
    code = "UNAVAILABLE"
    oauth = "temporarily_unavailable"
    wait = 1
