"""Make the next snapshot and timestamp: what is to be signed, and the file once it is."""

from __future__ import annotations

from collections.abc import Sequence

from .model import Signature, SigningOrder


def seal(order: SigningOrder, signatures: Sequence[Signature]) -> bytes:
    """The finished file in Notary's travelling form (PROTOCOL.md, 4); each signature is verified first.

    Raises:
        SignerRefused: a signature does not verify, or one is missing.
    """
    raise NotImplementedError
