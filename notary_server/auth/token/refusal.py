"""Why a token does not open the door: a closed set of reasons, each with what an operator needs to find the cause."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

MAX_SHOWN: Final = 120
"""Characters of a value from a token that a log line repeats."""


class Reason(StrEnum):
    """Every reason there is. The values are what logs and `auth explain --json` say."""

    NO_TOKEN = "no-token"  # noqa: S105 - a reason, not a secret
    SEVERAL_CREDENTIALS = "several-credentials"
    MALFORMED = "malformed"
    TOO_LARGE = "too-large"
    ALGORITHM = "algorithm"
    ISSUER = "issuer"
    NO_KEY = "no-key-named"
    UNKNOWN_KEY = "unknown-key"
    CHAIN = "certificate-chain"
    KEY_MISMATCH = "key-does-not-fit"
    SIGNATURE = "signature"
    AUDIENCE = "audience"
    EXPIRED = "expired"
    NOT_YET_VALID = "not-yet-valid"
    ACCESS = "access"


_ASKED_FOR: Final = frozenset({Reason.NO_TOKEN, Reason.SEVERAL_CREDENTIALS})


@dataclass(frozen=True, slots=True)
class Refusal:
    """One refusal.

    Attributes:
        text: the reason for people, without any part of the token but names it uses.
        facts: the same for machines: what was seen and what was wanted.
    """

    reason: Reason
    text: str
    facts: Mapping[str, str | int] = field(default_factory=dict)

    @property
    def error(self) -> str | None:
        """What a challenge says about it (RFC 6750, 3.1); None where no usable token came."""
        if self.reason in _ASKED_FOR:
            return None
        return "insufficient_scope" if self.reason is Reason.ACCESS else "invalid_token"


def shown(value: object) -> str:
    """A value from a token, which anybody may have made, as it may stand in a log: short and printable."""
    text = value if isinstance(value, str) else type(value).__name__
    printable = "".join(c if c.isprintable() else "?" for c in text[: MAX_SHOWN + 1])
    return printable if len(printable) <= MAX_SHOWN else printable[:MAX_SHOWN] + "..."
