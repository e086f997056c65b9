"""How a token's KEK takes keys out and in again: which mechanism, and what it really does.

| keywrap (registry)  | what it is                                          | mechanism                       |
|---------------------|-----------------------------------------------------|---------------------------------|
| `AES256-KWP`        | RFC 5649                                            | CKM_AES_KEY_WRAP_KWP, or _PAD   |
| `AES256-KW-PKCS7`   | PKCS#7 padding to eight bytes, then RFC 3394        | CKM_AES_KEY_WRAP_PKCS7, or _PAD |
| `AES256-KW`         | RFC 3394: whole multiples of eight bytes only       | CKM_AES_KEY_WRAP                |

CKM_AES_KEY_WRAP_PAD means the first in SoftHSM 2.6 and the second in NSS 3.87 (PKCS#11 3.1 deprecates it for that),
so it is asked: 16 bytes become 24 with RFC 5649, and 32 with PKCS#7, which always adds something. The token wraps a
key that nobody outside sees, so nothing can be padded here: where only CKM_AES_KEY_WRAP is left, only P-256 keys,
whose encoding has one length, are wrapped by it.
"""

from __future__ import annotations

from typing import Final

from pkcs11 import Attribute, KeyType, Mechanism, SecretKey, Session
from pkcs11.exceptions import PKCS11Error

from notary_signer.ports import AES_KWP

KW_PKCS7: Final = "AES256-KW-PKCS7"
KW: Final = "AES256-KW"

_PROBE_BITS: Final = 128
_MEANING_OF_PAD: Final = {24: AES_KWP, 32: KW_PKCS7}
"""What CKM_AES_KEY_WRAP_PAD is, by the length of a wrapped key of 16 bytes."""
_FIXED: Final = ((AES_KWP, Mechanism.AES_KEY_WRAP_KWP), (KW_PKCS7, Mechanism.AES_KEY_WRAP_PKCS7))

Wrappings = dict[str, Mechanism]
"""The mechanism for each `keywrap` that a token can do, the best first."""


def wrappings(session: Session, kek: SecretKey) -> Wrappings:
    """What `kek` can do, found by wrapping a key of the session and looking at what comes out.

    Raises:
        pkcs11.PKCS11Error: the token makes no AES key to try with, or is gone.
    """
    listed = session.token.slot.get_mechanisms()
    found: Wrappings = {}
    probe = session.generate_key(
        KeyType.AES,
        _PROBE_BITS,
        store=False,
        template={Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: True},
    )
    try:
        for keywrap, mechanism in _FIXED:
            if mechanism in listed and _length(kek, probe, mechanism) is not None:
                found[keywrap] = mechanism
        if Mechanism.AES_KEY_WRAP_PAD in listed:
            meaning = _MEANING_OF_PAD.get(_length(kek, probe, Mechanism.AES_KEY_WRAP_PAD) or 0)
            if meaning is not None:
                found.setdefault(meaning, Mechanism.AES_KEY_WRAP_PAD)
        if Mechanism.AES_KEY_WRAP in listed and _length(kek, probe, Mechanism.AES_KEY_WRAP) is not None:
            found[KW] = Mechanism.AES_KEY_WRAP
    finally:
        probe.destroy()
    return {keywrap: found[keywrap] for keywrap in (AES_KWP, KW_PKCS7, KW) if keywrap in found}


def _length(kek: SecretKey, probe: SecretKey, mechanism: Mechanism) -> int | None:
    """Bytes of the wrapped probe, None if the token does not do it."""
    try:
        return len(kek.wrap_key(probe, mechanism=mechanism))  # type: ignore[attr-defined]
    except PKCS11Error:
        return None
