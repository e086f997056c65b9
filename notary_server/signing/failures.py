"""How one call to one signer ends without the answer that was asked for. `signers.py` decides what follows from it."""

from __future__ import annotations

from typing import Literal

Kind = Literal["connection", "tls", "timeout", "not_ready", "fault"]
"""Nobody listens or the connection broke; a certificate is refused; silence; 503; and 500 or an answer that is none."""


class NotAskedError(Exception):
    """The signer could not be asked, or says that it cannot answer now. Says nothing about any key.

    Attributes:
        kind: what for the metrics.
        reason: the same for people, without the signer's name.
        certain: False if a busy signer may look the same, so that one such failure proves nothing.
    """

    def __init__(self, kind: Kind, reason: str, *, certain: bool) -> None:
        super().__init__(reason)
        self.kind = kind
        self.reason = reason
        self.certain = certain


class FaultError(Exception):
    """The signer failed at this call, or its answer cannot be understood; the text is for people."""


class KeyNotHeldError(Exception):
    """The signer answered that it holds no such key."""


class KeyRefusedError(Exception):
    """The signer's policy says no to this use of this key; the text is the signer's."""
